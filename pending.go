package cache

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/store"
)

// An invalidation that Redis did not accept is kept here until it does. Until
// then this process does not read the key from Redis, so that its own callers
// are never served what they invalidated; other processes may be, until the
// queue has drained or the entry's hard TTL is over.
// The same goes for the entries of a tag, and for the whole cache: which is what
// the queue becomes when it would hold too much.

// target is what an invalidation is about.
type target struct {
	kind targetKind
	name string // the key, or the Redis key of the tag's token
}

type targetKind uint8

const (
	oneKey targetKind = iota
	oneTag
	wholeCache
)

func keyTarget(key string) target { return target{kind: oneKey, name: key} }

func keyTargets(keys []string) []target {
	all := make([]target, len(keys))
	for i, key := range keys {
		all[i] = keyTarget(key)
	}
	return all
}

// maxPending is how many invalidations the queue holds.
const maxPending = 100_000

// pendingError is an error that Is ErrPending, and its cause.
type pendingError struct{ error }

func (e pendingError) Error() string        { return e.error.Error() + "; its invalidation is queued" }
func (e pendingError) Is(target error) bool { return target == ErrPending }
func (e pendingError) Unwrap() error        { return e.error }

// queue keeps an invalidation that failed with cause for later and returns the
// error to report. intents are write intents of ours that may still be open.
func (c *Cache[T]) queue(op string, about target, cause error, intents ...envelope.Token) error {
	c.pending.add(about, intents...)
	err := &OpError{Op: op, Err: pendingError{cause}}
	if about.kind == oneKey {
		err.Key = about.name
	}
	return err
}

// retry makes invalidations again: intents that may be open are closed first,
// else their keys would stay uncached until they end by themselves.
func (c *Cache[T]) retry(ctx context.Context, batch []owed) []error {
	errs := c.endIntents(ctx, batch)
	for kind, send := range map[targetKind]func([]string) []error{
		oneKey:     func(keys []string) []error { return c.sendInvalidations(ctx, keys) },
		oneTag:     func(keys []string) []error { return c.replaceTags(ctx, keys) },
		wholeCache: func([]string) []error { return []error{c.clearAgain(ctx)} },
	} {
		var names []string
		var at []int
		for i, o := range batch {
			if o.kind == kind {
				names, at = append(names, o.name), append(at, i)
			}
		}
		if len(names) == 0 {
			continue
		}
		for i, err := range send(names) {
			errs[at[i]] = errors.Join(errs[at[i]], err)
		}
	}
	return errs
}

// endIntents ends the intents of a batch. The errors are aligned with the batch.
func (c *Cache[T]) endIntents(ctx context.Context, batch []owed) []error {
	errs := make([]error, len(batch))
	var keys []string
	var ends []store.EndWrite
	var at []int
	for i, o := range batch {
		for _, token := range o.intents {
			keys, ends, at = append(keys, c.redisKey(o.name)), append(ends, store.EndWrite{Token: token}), append(at, i)
		}
	}
	for i, err := range c.store.EndWriteMany(ctx, keys, ends) {
		if err != nil {
			errs[at[i]] = err
		}
	}
	return errs
}

// pending is the queue. One goroutine drains it, and exists only while it
// holds something.
type pending struct {
	size    atomic.Int64 // len(all): lets readers pass without the lock
	landed  atomic.Int64 // batches with tags or the whole cache that Redis accepted
	limit   int
	send    func(ctx context.Context, batch []owed) []error
	logger  *slog.Logger
	closing <-chan struct{}
	hurried chan struct{} // Redis answers again
	drainer sync.WaitGroup

	mu      sync.Mutex // protects following
	all     map[target]owed
	failure uint64
	pass    uint64 // the number of the drainer's pass
	drains  bool
	closed  bool
	empty   chan struct{} // non-nil while somebody waits for the queue to be empty
}

// owed is one invalidation in the queue.
type owed struct {
	target
	failure uint64 // number of its last failure
	pass    uint64 // in which it was sent last
	intents []envelope.Token
}

func newPending(closing <-chan struct{}, logger *slog.Logger, send func(context.Context, []owed) []error) *pending {
	return &pending{
		limit: maxPending, send: send, logger: logger, closing: closing,
		hurried: make(chan struct{}, 1), all: map[target]owed{},
	}
}

// has reports whether an invalidation of the key is queued, or of everything.
func (p *pending) has(key string) bool {
	if p.size.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, one := p.all[keyTarget(key)]
	_, all := p.all[target{kind: wholeCache}]
	return one || all
}

// hasTag reports whether an invalidation is queued of the tag whose token is there,
// or of everything.
func (p *pending) hasTag(redisKey string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, one := p.all[target{kind: oneTag, name: redisKey}]
	_, all := p.all[target{kind: wholeCache}]
	return one || all
}

// mark is what concerned wants to know of the time before a record is read.
func (p *pending) mark() int64 { return p.landed.Load() }

// concerned reports whether one of the tags of an entry that was read is queued, or
// may have been when mark was taken, before the read. Which tags an entry has is
// known after the read only, and by then the queue may have drained:
//
//  1. W invalidates a tag; Redis fails, it is queued, W returns.
//  2. R starts, and reads an old entry and the old token of its tag.
//  3. The queue drains: the tag has a new token.
//  4. R finds nothing queued.
func (p *pending) concerned(space keyspace.Space, tags envelope.Tags, mark int64) bool {
	if tags.Len() == 0 {
		return false
	}
	if p.size.Load() > 0 {
		for i := range tags.Len() {
			if p.hasTag(space.TagKey(tags.At(i).ID)) {
				return true
			}
		}
	}
	return p.landed.Load() != mark // after the look into the queue: what left it counts
}

// hasRefs reports whether one of these tags is queued.
func (p *pending) hasRefs(tags []tagRef) bool {
	return p.size.Load() > 0 && slices.ContainsFunc(tags, func(t tagRef) bool { return p.hasTag(t.key) })
}

// add queues an invalidation. One more than the queue may hold makes it one of
// everything, which needs no memory; the intents that were owed end by themselves.
// After close what is added is only counted as left.
func (p *pending) add(about target, intents ...envelope.Token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, ok := p.all[about]
	if !ok && len(p.all) >= p.limit {
		clear(p.all)
		about, intents = target{kind: wholeCache}, nil
	}
	p.failure++
	// Those who hold a batch with o do not look beyond its intents.
	p.all[about] = owed{target: about, failure: p.failure, intents: append(o.intents, intents...)}
	p.size.Store(int64(len(p.all)))
	if !p.drains && !p.closed {
		p.drains = true
		p.drainer.Go(p.drain)
	}
}

// flush waits until the queue is empty or ctx ends.
func (p *pending) flush(ctx context.Context) error {
	p.mu.Lock()
	if len(p.all) == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.empty == nil {
		p.empty = make(chan struct{})
	}
	empty := p.empty
	p.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closing:
		return ErrClosed
	}
}

// close waits for the drainer, which the closing channel ends, and returns how
// many invalidations are left.
func (p *pending) close() int {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drainer.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}
