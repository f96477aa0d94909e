package near

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock is the memory's clock. Otter asks for the time at each look-up, for whose caller
// look decides by a reading of its own: so otter is told what the last reading was, by
// which it takes back the room of what has expired. It is a millisecond old at most where
// somebody reads, else as old as the last tick.
type clock struct {
	exact func() int64
	rough atomic.Int64

	mu     sync.Mutex // protects following
	timer  *time.Timer
	closed bool
}

// lag is how far the rough time is behind before it is written again: readers on all
// processors share it.
const lag = int64(time.Millisecond)

// now is the exact time, which it leaves behind.
func (c *clock) now() int64 {
	now := c.exact()
	if now-c.rough.Load() > lag {
		c.rough.Store(now) // an older one over a newer delays otter, and nothing else
	}
	return now
}

// NowNano and Tick are what otter calls.
func (c *clock) NowNano() int64 { return c.rough.Load() }

func (c *clock) Tick(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	ticks := make(chan time.Time, 1)
	c.timer = time.AfterFunc(d, func() { c.tick(ticks, d) })
	return ticks
}

// tick lets time pass for what expires while nobody reads.
func (c *clock) tick(ticks chan<- time.Time, d time.Duration) {
	c.now()
	select {
	case ticks <- time.Time{}: // nobody looks at it
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.timer.Reset(d)
	}
}

func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
