package store

import (
	"strconv"
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

// told is what a server answered to what it was asked beside keys.
type told struct {
	text       string // of INFO
	now        time.Time
	kind, time error // why there is none
}

// hear takes the answers. A server that refuses one of these commands is not asked
// again.
func (s *Store) hear(a asked, t told, sent time.Time) {
	if a.kind {
		switch {
		case t.kind == nil && strings.Contains(t.text, "redis_version:"):
			s.clock.kind.CompareAndSwap(unknownKind, redisKind)
		case t.kind == nil || declines(t.kind):
			s.clock.kind.Store(otherKind)
		}
	}
	if !a.time {
		return
	}
	switch {
	case t.time == nil && s.clock.kind.Load() == redisKind:
		s.clock.learn(t.now.UnixMicro(), sent)
	case t.time != nil && declines(t.time):
		s.clock.kind.Store(otherKind)
	}
}

// behind appends what is asked for to orders.
func (a asked) behind(orders []order) []order {
	if a.time {
		orders = append(orders, order{args: []any{"time"}})
	}
	if a.kind {
		orders = append(orders, order{args: []any{"info", "server"}})
	}
	return orders
}

// told is what was answered to those orders.
func (a asked) told(replies []any, errs []error) (t told) {
	if a.time {
		if t.time = errs[0]; t.time == nil {
			t.now, t.time = timeIn(replies[0])
		}
		replies, errs = replies[1:], errs[1:]
	}
	if a.kind {
		t.text, _ = replies[0].(string)
		t.kind = errs[0]
	}
	return t
}

// timeIn reads {seconds, microseconds}.
func timeIn(reply any) (time.Time, error) {
	list, _ := reply.([]any)
	var part [2]int64
	for i := range part {
		text, ok := "", len(list) == len(part)
		if ok {
			text, ok = list[i].(string)
		}
		var err error
		if part[i], err = strconv.ParseInt(text, 10, 64); !ok || err != nil {
			return time.Time{}, &AnswerError{Script: "time", Answer: reply}
		}
	}
	return time.Unix(part[0], part[1]*1000), nil
}

// declines reports whether err is a server's answer to the command.
func declines(err error) bool { return replied(err) && !Infrastructure(err) }

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
