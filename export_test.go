package cache

// What the tests of the pure functions see: the default class, HashKey's
// encoding.
var (
	DefaultTTL = defaultTTL

	AppendHashParts = appendHashParts
)

// Examine lists the findings about one server.
var Examine = examine

// LimitPending makes c's queue hold n invalidations. Call it before any is queued.
func LimitPending[T any](c *Cache[T], n int) {
	c.pending.mu.Lock()
	defer c.pending.mu.Unlock()
	c.pending.limit = n
}

// DropClear ends c's lease of the clear token.
func DropClear[T any](c *Cache[T]) { c.clear.drop() }
