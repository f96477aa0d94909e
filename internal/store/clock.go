package store

import (
	"strings"
	"sync/atomic"
	"time"
)

// clockTime is for how long a sample of a server's clock is used. After a failover
// to a server whose clock differs, expiries that are judged by the clock are wrong
// by the difference for no longer than this.
const clockTime = time.Second

// drift is by how much the wall clock and the monotonic one may differ since a
// sample was taken. If it is more, the machine was suspended or its clock was set,
// and nobody knows for how long.
const drift = 20 * time.Millisecond

// clock tells what time it is on the only node of a deployment, within bounds that
// hold whatever the clocks of this machine say: no later than the sample's time plus
// what has passed since it was asked for, no earlier than that plus what has passed
// since it was here.
type clock struct {
	held atomic.Pointer[sample]
	kind atomic.Int32
}

// kinds of servers. One that a test runs may let its keys age without its clock, as
// miniredis does in FastForward: its clock proves nothing. It does not call itself
// Redis; what does has one clock for both.
const (
	unknownKind int32 = iota
	redisKind
	otherKind
)

// asked is what a pipeline of reads asks for beside its keys.
type asked struct{ time, kind bool }

// asks is what a pipeline that goes out now should ask for.
func (s *Store) asks(now time.Time) asked {
	if !s.locate.single() || s.clock.kind.Load() == otherKind || !s.clock.due(now) {
		return asked{}
	}
	return asked{time: true, kind: s.clock.kind.Load() == unknownKind}
}

// hear takes the answers. A server that refuses one of these commands is not asked
// again.
func (s *Store) hear(c *readManyCall, sent time.Time) {
	if c.info != nil {
		switch text, err := c.info.Result(); {
		case err == nil && strings.Contains(text, "redis_version:"):
			s.clock.kind.CompareAndSwap(unknownKind, redisKind)
		case err == nil || replied(err) && !Infrastructure(err):
			s.clock.kind.Store(otherKind)
		}
	}
	if c.time == nil {
		return
	}
	switch now, err := c.time.Result(); {
	case err == nil && s.clock.kind.Load() == redisKind:
		s.clock.learn(now.UnixMicro(), sent)
	case err != nil && replied(err) && !Infrastructure(err):
		s.clock.kind.Store(otherKind)
	}
}

// sample is the server's time in microseconds, zero for none, and when it was asked
// for and was here.
type sample struct {
	redis      int64
	sent, here time.Time
}

// learn takes a sample, unless a newer one is known or it was asked for before the
// server failed.
func (c *clock) learn(redis int64, sent time.Time) {
	next := &sample{redis: redis, sent: sent, here: time.Now()}
	for {
		held := c.held.Load()
		if held != nil && !sent.After(held.sent) || c.held.CompareAndSwap(held, next) {
			return
		}
	}
}

// forget drops what is known: the server may be another one soon.
func (c *clock) forget() {
	if c.held.Load() != nil {
		c.held.Store(&sample{sent: time.Now()})
	}
}

// usable is the sample, if it may still be used at now.
func (c *clock) usable(now time.Time) *sample {
	held := c.held.Load()
	if held == nil || held.redis == 0 {
		return nil
	}
	mono := now.Sub(held.sent)
	wall := now.Round(0).Sub(held.sent.Round(0))
	if mono >= clockTime || (wall-mono).Abs() > drift {
		return nil
	}
	return held
}

// due reports whether a read that goes out anyway should ask for the time.
func (c *clock) due(now time.Time) bool {
	held := c.usable(now)
	return held == nil || now.Sub(held.sent) >= clockTime/4
}

// Latest is the latest that Redis's clock can say now, in microseconds; 0 if that is
// not known, as it never is where there are several nodes. It sends nothing: reads
// with PTTLs ask for the time from time to time.
func (s *Store) Latest() int64 {
	now := time.Now()
	held := s.clock.usable(now)
	if held == nil {
		return 0
	}
	return held.redis + now.Sub(held.sent).Microseconds()
}

// Earliest is the earliest that Redis's clock can say now, in microseconds; 0 if that
// is not known.
func (s *Store) Earliest() int64 {
	now := time.Now()
	held := s.clock.usable(now)
	if held == nil {
		return 0
	}
	return held.redis + now.Sub(held.here).Microseconds()
}
