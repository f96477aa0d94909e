package cache

import "time"

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

// LimitPending makes the queue of invalidations of c hold n at most. It is for a
// cache that is not in use yet.
func LimitPending[T any](c *Cache[T], n int) { c.pending.limit = n }
