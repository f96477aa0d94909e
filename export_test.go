package cache

import (
	"time"

	"github.com/larder-go/cache/internal/near"
)

// Patient gives Redis operations so long that a busy machine cannot make them
// time out. What is about budgets does without it.
func Patient() Option {
	return optionFunc(func(c *config) {
		c.budgets.ReadBudget, c.budgets.ScriptBudget = 30*time.Second, 30*time.Second
	})
}

// Waiting is the number of callers that wait for flights of c.
func Waiting[T any](c *Cache[T]) (n int) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	for f := range c.flights.all {
		n += f.waiters
	}
	return n
}

// Flights is the number of flights of c under way.
func Flights[T any](c *Cache[T]) int {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	return len(c.flights.all)
}

// Attending is the number of callers that wait for the end of a flight that is
// not for them.
func Attending[T any](c *Cache[T]) (n int) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	for f := range c.flights.all {
		n += f.attending
	}
	return n
}

// LimitPending makes c's queue hold n invalidations. Call it before any is queued.
func LimitPending[T any](c *Cache[T], n int) {
	c.pending.mu.Lock()
	defer c.pending.mu.Unlock()
	c.pending.limit = n
}

// HearsL1 reports whether the L1 of c has heard what c publishes, on the connection
// that it has now, and keeps values.
func HearsL1[T any](c *Cache[T]) bool { return c.near.heeds.Load() && c.near.member.Up() }

// L1Epoch is a number that changes with each drop that may concern the key.
func L1Epoch[T any](c *Cache[T], key string) any { return c.near.space.Epoch(key) }

// L1Stats is how full the memory is.
func L1Stats(l *L1) near.Stats { return l.memory.Stats() }

// DropClear ends c's lease of the clear token.
func DropClear[T any](c *Cache[T]) { c.clear.drop() }
