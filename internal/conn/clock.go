package conn

import (
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/mono"
)

// clockTime is for how long a sample of a server's clock is used. After a failover
// to a server whose clock differs, expiries that are judged by the clock are wrong
// by the difference for no longer than this.
const clockTime = time.Second

// drift is by how much the wall clock and the monotonic one may differ since a
// sample was taken. If it is more, the machine was suspended or its clock was set,
// and nobody knows for how long.
const drift = 20 * time.Millisecond

// clock tells what time it is on one node, within bounds that hold whatever the clocks
// of this machine say: no later than the sample's time plus what has passed since it was
// asked for, no earlier than that plus what has passed since it was here.
type clock struct {
	held  atomic.Pointer[Sample]
	asked atomic.Int64 // when a read was last sent that asks, by mono
}

// Sample is a server's time, in microseconds, and when it was asked for and was here.
// It was told as coarsely as late is above early; both are zero for none.
type Sample struct {
	early, late int64
	sent, here  time.Time
}

// learn takes a sample, unless a newer one is known or it was asked for before the
// server failed.
func (c *clock) learn(early, late int64, sent time.Time) {
	next := &Sample{early: early, late: late, sent: sent, here: time.Now()}
	for {
		held := c.held.Load()
		if held != nil && !sent.After(held.sent) || c.held.CompareAndSwap(held, next) {
			return
		}
	}
}

// learnMs is learn of a time in ms that a script has answered, where a sample is due.
func (c *clock) learnMs(now int64, sent time.Time) {
	if now > 0 && c.due(sent) {
		c.learn(now*1000, now*1000+999, sent)
	}
}

// forget drops what is known: the server may be another one soon.
func (c *clock) forget() {
	if c.held.Load() != nil {
		c.held.Store(&Sample{sent: time.Now()})
	}
}

// usable is the sample, if it may still be used at now; else nil.
func (c *clock) usable(now time.Time) *Sample {
	held := c.held.Load()
	if held == nil || held.early == 0 {
		return nil
	}
	mono, wall := held.passed(now)
	if mono >= clockTime || (wall-mono).Abs() > drift {
		return nil
	}
	return held
}

// passed is how long ago the sample was asked for, by both clocks of this machine.
func (s *Sample) passed(now time.Time) (mono, wall time.Duration) {
	return now.Sub(s.sent), now.Round(0).Sub(s.sent.Round(0))
}

// due reports whether a new sample is of use: after a quarter of a sample's time.
func (c *clock) due(now time.Time) bool {
	held := c.usable(now)
	return held == nil || now.Sub(held.sent) >= clockTime/4
}

// asks reports whether a read that goes out now should ask for the time: one of all
// that go out until its answer may be here.
func (c *clock) asks(now time.Time) bool {
	if !c.due(now) {
		return false
	}
	last, here := c.asked.Load(), mono.Now()
	return (last == 0 || here-last > int64(clockTime/20)) && c.asked.CompareAndSwap(last, here)
}

// Latest is the latest that the server's clock can say at now, in microseconds: should
// this machine have slept since, the wall clock tells for how long.
func (s *Sample) Latest(now time.Time) int64 {
	mono, wall := s.passed(now)
	return s.late + max(mono, wall).Microseconds()
}

// earliest is the earliest that the server's clock can say at now, in microseconds; 0 if
// that is not known.
func (s *Sample) earliest(now time.Time) int64 {
	if s == nil {
		return 0
	}
	return s.early + now.Sub(s.here).Microseconds()
}
