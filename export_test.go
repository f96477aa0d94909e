package cache

// What the tests of the pure functions see: the default class, HashKey's
// encoding.
var (
	DefaultTTL = defaultTTL

	AppendHashParts = appendHashParts
)

// DropClear ends c's lease of the clear token.
func DropClear[T any](c *Cache[T]) { c.region.Clear.Drop() }
