package telemetry

import (
	"sync/atomic"
	"unsafe"
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
func (c *Counter) Add() { c.shards[stack()%uint64(len(c.shards))].n.Add(1) }

// stack is a hash of where the goroutine's stack is, which is elsewhere for each that
// runs at the time. A goroutine stays with its shard, in the cache of its processor, and
// it takes a third of the time of a random number.
func stack() uint64 {
	const frames, spreads = 11, 0x9e3779b97f4a7c15 // 2 KiB, the smallest stack
	var here byte
	return uint64(uintptr(unsafe.Pointer(&here))) >> frames * spreads >> 32
}

// Load is how many were counted.
func (c *Counter) Load() (sum int64) {
	for i := range c.shards {
		sum += c.shards[i].n.Load()
	}
	return sum
}
