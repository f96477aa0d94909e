package telemetry

import (
	"math/rand/v2"
	"sync/atomic"
)

// Counter is a counter that goroutines on different processors add to without
// passing one cache line around.
type Counter struct {
	shards [8]struct {
		n atomic.Int64
		_ [56]byte // the rest of the cache line
	}
}

// Add counts one.
func (c *Counter) Add() { c.shards[rand.Uint32()%uint32(len(c.shards))].n.Add(1) }

// Load is how many were counted.
func (c *Counter) Load() (sum int64) {
	for i := range c.shards {
		sum += c.shards[i].n.Load()
	}
	return sum
}
