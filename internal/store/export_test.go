package store

import (
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

// CollectingPeeks is Collecting for reads without PTTLs.
func CollectingPeeks(s *Store) int { return s.peeks.collecting() }

// Unreleased is the record without its hold on a buffer.
func (r Record) Unreleased() Record {
	r.reply = nil
	return r
}

// Clock is the estimate of a server's clock.
type Clock struct{ s Store }

func NewClock() *Clock { return &Clock{} }

func (c *Clock) Learn(redis int64, sent time.Time) { c.s.clock.learn(redis, sent) }
func (c *Clock) Forget()                           { c.s.clock.forget() }
func (c *Clock) Latest() int64                     { return c.s.Latest() }
func (c *Clock) Earliest() int64                   { return c.s.Earliest() }

// EachIn is what a reply of a script on n keys says of each.
func EachIn(reply any, n int) (replies []any, errs []error, ok bool) {
	replies, errs = make([]any, n), make([]error, n)
	return replies, errs, eachIn(reply, replies, errs)
}

// TakeForRedis has the store believe that a miniredis is Redis, whose scripts have many
// keys. It does not believe its clock without asking for it.
func TakeForRedis(s *Store) { s.clock.kind.Store(redisKind) }

// ForgetNodesAfter shortens the time after which the breakers of s's client forget a node.
func ForgetNodesAfter(s *Store, d time.Duration) {
	s.guards.mu.Lock()
	defer s.guards.mu.Unlock()
	s.guards.forgotten = int64(d)
}
