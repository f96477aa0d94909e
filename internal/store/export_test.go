package store

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// ReadsOut is how many reads and batches may be on their way before others wait.
const ReadsOut = readsOut

// Collecting is the number of readers of the batch that collects.
func Collecting(s *Store) int { return s.lanes.collecting() }

func (l *lanes) collecting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.all[0].next; b != nil {
		return b.readers
	}
	return 0
}

// IdleHands is how many goroutines wait for a command.
func IdleHands(s *Store) int {
	s.detached.mu.Lock()
	defer s.detached.mu.Unlock()
	return len(s.detached.free)
}

// ParseReply is what an MGET of n keys makes of a reply.
func ParseReply(data []byte, n int) ([]Record, error) {
	return (&reply{data: data, usual: new(atomic.Int64)}).records(n)
}

// NewReply returns an empty reply, as go-redis fills it.
func NewReply() interface {
	io.Writer
	io.ReaderFrom
} {
	return &reply{}
}

// Unreleased is the record without its hold on a buffer, and without its clock.
func (r Record) Unreleased() Record {
	r.reply, r.clock = nil, nil
	return r
}

// Clock is the estimate of a server's clock.
type Clock struct{ clock clock }

func NewClock() *Clock { return &Clock{} }

func (c *Clock) Learn(redis int64, sent time.Time) { c.clock.learn(redis, redis, sent) }
func (c *Clock) Forget()                           { c.clock.forget() }
func (c *Clock) Latest() int64                     { return latestOf(c.clock.usable(time.Now())) }
func (c *Clock) Earliest() int64                   { return c.clock.usable(time.Now()).earliest(time.Now()) }

// Latest is the latest that the clock of the node of "k" can say in us, if it tells what
// is left of records there; else 0.
func (s *Store) Latest() int64 {
	return latestOf(s.nodeOf(context.Background(), "k").sample(time.Now()))
}

func latestOf(held *sample) int64 {
	if held == nil {
		return 0
	}
	return held.latest(time.Now())
}

// TellTime has the store believe for an hour that it knows the clock of its only node.
func TellTime(s *Store) {
	s.guards.only.redis.learn()
	s.guards.only.clock.held.Store(&sample{early: 1, late: 1, sent: time.Now().Add(time.Hour), here: time.Now()})
}

// TakeForImitation has the store believe that its only node is no Redis, so that its
// clock tells nothing of records.
func TakeForImitation(s *Store) { s.guards.only.other.learn() }

// Timed reports whether the clock of the record's node tells what is left of it.
func (r Record) Timed() bool { return r.clock != nil }

// TimedRecord is a record that was read now, at that time of its node in us.
func TimedRecord(now int64) *Record {
	return &Record{PTTL: noTTL, clock: &sample{early: now, late: now, sent: time.Now(), here: time.Now()}}
}

// Lesson is what one reply has taught.
type Lesson struct{ lesson }

func (l *Lesson) Learn()      { l.learn() }
func (l *Lesson) Holds() bool { return l.holds() }

// EachIn is what a reply of a script on n keys says of each.
func EachIn(reply any, n int) (replies []any, errs []error, ok bool) {
	replies, errs = make([]any, n), make([]error, n)
	return replies, errs, eachIn(reply, replies, errs)
}

// TakeForRedis has the store believe that a miniredis is Redis, whose scripts have many
// keys. It does not believe its clock without asking for it.
func TakeForRedis(s *Store) { s.guards.only.redis.learn() }

// ForgetNodesAfter shortens the time after which the breakers of s's client forget a node.
func ForgetNodesAfter(s *Store, d time.Duration) {
	s.guards.mu.Lock()
	defer s.guards.mu.Unlock()
	s.guards.forgotten = int64(d)
}
