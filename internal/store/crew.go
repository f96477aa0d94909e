package store

import (
	"context"
	"sync"
)

// crew counts the goroutines that run commands for callers who may leave. The
// zero value is ready for use.
type crew struct {
	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{} // closed with the last goroutine after close; nil before
}

// enter counts one goroutine more. It reports false once the crew is closed.
func (c *crew) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running++
	return true
}

// leave is the last thing a counted goroutine does.
func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.running == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// close lets nobody in any more and waits until all have left or ctx ends. It
// returns how many are left.
func (c *crew) close(ctx context.Context) int {
	c.mu.Lock()
	c.closed = true
	if c.running > 0 && c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return 0
	}
	select {
	case <-idle:
		return 0
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}
