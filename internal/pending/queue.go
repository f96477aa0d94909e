// Package pending keeps invalidations that Redis did not accept until it does. Until
// then this process does not read their keys from Redis, so that its own callers
// are never served what they invalidated; other processes may be, until the
// queue has drained or the entry's hard TTL is over.
// The same goes for the entries of a tag, and for the whole cache: which is what
// the queue becomes when it would hold too much.
package pending

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
)

// Target is what an invalidation is about.
type Target struct {
	Kind Kind
	Name string // the key, or the Redis key of the tag's token
}

// Kind is how much an invalidation is about.
type Kind uint8

// The kinds of targets.
const (
	Key Kind = iota
	Tag
	All
)

// limit is how many invalidations a queue holds, unless it is told.
const limit = 100_000

// Options are what a queue is given.
type Options struct {
	// Keys and Tags invalidate again what is named, All the whole cache. The errors are
	// aligned with the names; nil if there is none.
	Keys, Tags func(ctx context.Context, names []string) []error
	All        func(ctx context.Context) error
	// End ends write intents, one of each key. Its errors are aligned with the keys.
	End func(ctx context.Context, keys []string, intents []envelope.Token) []error

	// Unasked is what errors are that say that Redis was not even asked.
	Unasked error
	// Outage reports whether an error says that Redis did not answer; it is true of Unasked.
	Outage func(error) bool
	// Closing ends the goroutine that sends, and Flush, which returns Closed.
	Closing <-chan struct{}
	Closed  error
	Logger  *slog.Logger
	Limit   int // 0: 100,000
}

// Queue is the queue. One goroutine drains it, and exists only while it holds
// something. Make it with [New].
type Queue struct {
	size    atomic.Int64 // len(all): lets readers pass without the lock
	epoch   atomic.Int64 // batches with tags or the whole cache that Redis accepted
	options Options
	hurried chan struct{} // Redis answers again
	drainer sync.WaitGroup

	mu      sync.Mutex // protects following
	all     map[Target]entry
	failure uint64
	pass    uint64 // the number of the drainer's pass
	drains  bool
	closed  bool
	empty   chan struct{} // non-nil while somebody waits for the queue to be empty
}

// entry is one invalidation in the queue.
type entry struct {
	Target
	failure uint64 // number of its last failure
	pass    uint64 // in which it was sent last
	intents []envelope.Token
}

// New returns an empty queue.
func New(o Options) *Queue {
	if o.Limit == 0 {
		o.Limit = limit
	}
	return &Queue{options: o, hurried: make(chan struct{}, 1), all: map[Target]entry{}}
}

// Len is how many invalidations are queued.
func (q *Queue) Len() int64 { return q.size.Load() }

// Has reports whether an invalidation of the target is queued, or of everything.
func (q *Queue) Has(kind Kind, name string) bool {
	if q.size.Load() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	_, one := q.all[Target{Kind: kind, Name: name}]
	_, all := q.all[Target{Kind: All}]
	return one || all
}

// Epoch is what [Queue.Overtook] wants to know of the time before a record is read.
func (q *Queue) Epoch() int64 { return q.epoch.Load() }

// Overtook reports whether one of the tags of an entry that was read is queued, or
// may have been in the epoch before the read. Which tags an entry has is
// known after the read only, and by then the queue may have drained:
//
//  1. W invalidates a tag; Redis fails, it is queued, W returns.
//  2. R starts, and reads an old entry and the old token of its tag.
//  3. The queue drains: the tag has a new token.
//  4. R finds nothing queued.
func (q *Queue) Overtook(space keyspace.Space, tags envelope.Tags, epoch int64) bool {
	if tags.Len() == 0 {
		return false
	}
	if q.size.Load() > 0 {
		for i := range tags.Len() {
			if q.Has(Tag, space.TagKey(tags.At(i).ID)) {
				return true
			}
		}
	}
	return q.epoch.Load() != epoch // after the look into the queue: what left it counts
}

// Add queues an invalidation. One more than the queue may hold makes it one of
// everything, which needs no memory; the intents that were open end by themselves.
// After Close nothing is queued any more: what is added is only counted as left.
//
// intents are write intents of this process that may still be open: they are ended first,
// else their keys would stay uncached until they end by themselves.
func (q *Queue) Add(about Target, intents ...envelope.Token) (queued bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o, ok := q.all[about]
	if !ok && len(q.all) >= q.options.Limit {
		clear(q.all)
		about, intents = Target{Kind: All}, nil
	}
	q.failure++
	// Those who hold a batch with o do not look beyond its intents.
	q.all[about] = entry{Target: about, failure: q.failure, intents: append(o.intents, intents...)}
	q.size.Store(int64(len(q.all)))
	if !q.drains && !q.closed {
		q.drains = true
		q.drainer.Go(q.drain)
	}
	return !q.closed
}

// Flush waits until the queue is empty or ctx ends.
func (q *Queue) Flush(ctx context.Context) error {
	q.mu.Lock()
	if len(q.all) == 0 {
		q.mu.Unlock()
		return nil
	}
	if q.empty == nil {
		q.empty = make(chan struct{})
	}
	empty := q.empty
	q.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-q.options.Closing:
		return q.options.Closed
	}
}

// Close waits for the drainer, which the closing channel ends, and returns how
// many invalidations are left.
func (q *Queue) Close() int {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.drainer.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.all)
}
