package store

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// idleHands is how many goroutines wait for the next errand at most. A goroutine
// that has run one has the stack that the client needs; a new one has to grow it.
const idleHands = 16

// crew is the goroutines that run commands for callers who may leave. The zero
// value is ready for use.
type crew struct {
	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{}  // closed with the last goroutine after close; nil before
	free    []chan *errand // of goroutines that wait; the last one waits for the shortest time
}

// errand is a call, run for a caller who may have left by the time it is done.
type errand struct {
	ctx    context.Context
	client redis.UniversalClient
	call   call
	done   chan error // buffered: nobody may be there to receive
}

// send has a goroutine of the crew run e. It reports false once the crew is closed.
func (c *crew) send(e *errand) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.running++
	var hand chan *errand
	if last := len(c.free) - 1; last >= 0 {
		hand, c.free = c.free[last], c.free[:last]
	}
	c.mu.Unlock()
	if hand == nil {
		hand = make(chan *errand, 1)
		go c.work(hand)
	}
	hand <- e
	return true
}

// work runs what is sent to hand, until nobody will send anything any more.
func (c *crew) work(hand chan *errand) {
	for e := range hand {
		if !c.runs(e, hand) {
			return
		}
	}
}

// runs runs e, and reports whether the goroutine waits for another. A hook of the
// client that exits the goroutine ends it.
func (c *crew) runs(e *errand, hand chan *errand) (stays bool) {
	returned := false
	defer func() { stays = c.rest(hand, returned) }()
	err := e.run()
	returned = true
	e.done <- err
	return true
}

// run makes the call.
func (e *errand) run() (err error) {
	defer contain(&err)
	return e.call.run(e.ctx, e.client)
}

// rest ends an errand, and reports whether its goroutine waits for another.
func (c *crew) rest(hand chan *errand, able bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked()
	if !able || c.closed || len(c.free) == idleHands {
		return false
	}
	c.free = append(c.free, hand)
	return true
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
	c.leaveLocked()
}

func (c *crew) leaveLocked() {
	c.running--
	if c.running == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// close lets nobody in any more, sends away who waits, and waits until all who run
// something have left or ctx ends. It returns how many are left.
func (c *crew) close(ctx context.Context) int {
	c.mu.Lock()
	c.closed = true
	for _, hand := range c.free {
		close(hand)
	}
	c.free = nil
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
