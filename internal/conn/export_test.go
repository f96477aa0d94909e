package conn

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// ReadsOut is how many reads and batches may be on their way before others wait.
const ReadsOut = readsOut

// Collecting is the number of readers of the batch that collects.
func Collecting(c *Client) int { return c.batcher.collecting() }

func (l *batcher) collecting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.all[0].next; b != nil {
		return len(b.seats)
	}
	return 0
}

// IdleWorkers is how many goroutines wait for a command.
func IdleWorkers(c *Client) int {
	c.workers.mu.Lock()
	defer c.workers.mu.Unlock()
	return len(c.workers.free)
}

// ParseReply is what an MGET of n keys makes of a reply.
func ParseReply(data []byte, n int) ([]Value, error) {
	values := make([]Value, n)
	return values, (&reply{data: data, usual: new(atomic.Int64)}).mget(values)
}

// NewReply returns an empty reply, as go-redis fills it.
func NewReply() interface {
	io.Writer
	io.ReaderFrom
} {
	return &reply{}
}

// Unreleased is the value without its hold on a buffer, and without its clock.
func (v Value) Unreleased() Value {
	v.reply, v.Clock = nil, nil
	return v
}

// Clock is the estimate of a server's clock.
type Clock struct{ clock clock }

func NewClock() *Clock { return &Clock{} }

func (c *Clock) Learn(redis int64, sent time.Time) { c.clock.learn(redis, redis, sent) }
func (c *Clock) Forget()                           { c.clock.forget() }
func (c *Clock) Latest() int64                     { return latestOf(c.clock.usable(time.Now())) }
func (c *Clock) Earliest() int64                   { return c.clock.usable(time.Now()).earliest(time.Now()) }

// Latest is the latest that the clock of the node of "k" can say in us, if it tells what
// is left of keys there; else 0.
func Latest(c *Client) int64 {
	return latestOf(c.NodeOf(context.Background(), "k").Sample(time.Now()))
}

func latestOf(held *Sample) int64 {
	if held == nil {
		return 0
	}
	return held.Latest(time.Now())
}

// TellTime has c believe for an hour that it knows the clock of its only node.
func TellTime(c *Client) {
	c.breakers.only.Learn(IsRedis)
	c.breakers.only.clock.held.Store(&Sample{early: 1, late: 1, sent: time.Now().Add(time.Hour), here: time.Now()})
}

// SortEach is what a reply of a script on n keys says of each.
func SortEach(reply any, n int) (replies []any, errs []error, ok bool) {
	ops := make([]Op, n)
	ok = sortEach(reply, ops)
	for _, o := range ops {
		replies, errs = append(replies, o.reply), append(errs, o.err)
	}
	return replies, errs, ok
}

// ForgetNodesAfter shortens the time after which the breakers of c's client forget a node.
func ForgetNodesAfter(c *Client, d time.Duration) {
	c.breakers.mu.Lock()
	defer c.breakers.mu.Unlock()
	c.breakers.forgotten = int64(d)
}
