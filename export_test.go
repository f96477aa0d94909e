package cache

// What the tests of the pure functions see: the default class, HashKey's
// encoding.
var (
	DefaultTTL = defaultTTL

	AppendHashParts = appendHashParts
)

// Examine lists the findings about one server.
var Examine = examine

// DropClear ends c's lease of the clear token.
func DropClear[T any](c *Cache[T]) { c.clear.drop() }
