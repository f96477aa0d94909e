package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// An invalidation that Redis did not accept is kept here until it does. Until
// then this process does not read the key from Redis, so that its own callers
// are never served what they invalidated; other processes may be, until the
// queue has drained or the entry's hard TTL is over.

const (
	maxPending   = 100_000
	pendingBatch = 500
	pendingFirst = 50 * time.Millisecond
	pendingLast  = time.Second
)

// pendingError is an error that Is ErrPending, and its cause.
type pendingError struct{ error }

func (e pendingError) Error() string        { return e.error.Error() + "; its invalidation is queued" }
func (e pendingError) Is(target error) bool { return target == ErrPending }
func (e pendingError) Unwrap() error        { return e.error }

// errPendingFull says that an invalidation could not be queued any more.
var errPendingFull = errors.New("too many invalidations are queued already")

// queue keeps an invalidation that failed with cause for later and returns the
// error to report. intents are write intents of ours that may still be open.
func (c *Cache[T]) queue(op, key string, cause error, intents ...envelope.Token) error {
	if !c.pending.add(key, intents...) {
		return &OpError{Op: op, Key: key, Err: errors.Join(cause, errPendingFull)}
	}
	return &OpError{Op: op, Key: key, Err: pendingError{cause}}
}

// retry makes invalidations again: intents that may be open are closed first,
// else their keys would stay uncached until they end by themselves.
func (c *Cache[T]) retry(ctx context.Context, batch []owed) []error {
	keys := make([]string, len(batch))
	errs := make([]error, len(batch))
	for i, o := range batch {
		keys[i] = c.redisKey(o.key)
		for _, token := range o.intents {
			if _, err := c.store.EndWrite(ctx, keys[i], store.EndWrite{Token: token}); err != nil {
				errs[i] = err
			}
		}
	}
	for i, err := range c.sendInvalidations(ctx, keys) {
		errs[i] = errors.Join(errs[i], err)
	}
	return errs
}

// pending is the queue. One goroutine drains it, and exists only while it
// holds something.
type pending struct {
	size    atomic.Int64 // len(keys): lets readers pass without the lock
	send    func(ctx context.Context, batch []owed) []error
	closing <-chan struct{}
	drainer sync.WaitGroup

	mu      sync.Mutex // protects following
	keys    map[string]owed
	failure uint64
	drains  bool
	closed  bool
	empty   chan struct{} // non-nil while somebody waits for the queue to be empty
}

// owed is one invalidation in the queue.
type owed struct {
	key     string
	failure uint64 // number of its last failure
	intents []envelope.Token
}

func newPending(closing <-chan struct{}, send func(context.Context, []owed) []error) *pending {
	return &pending{send: send, closing: closing, keys: map[string]owed{}}
}

// has reports whether the key's invalidation is queued.
func (p *pending) has(key string) bool {
	if p.size.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.keys[key]
	return ok
}

// add queues a key. It reports false if the queue is full. After close what is
// added is only counted as left.
func (p *pending) add(key string, intents ...envelope.Token) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, ok := p.keys[key]
	if !ok && len(p.keys) >= maxPending {
		return false
	}
	p.failure++
	p.keys[key] = owed{key: key, failure: p.failure, intents: append(slices.Clone(o.intents), intents...)}
	p.size.Store(int64(len(p.keys)))
	if !p.drains && !p.closed {
		p.drains = true
		p.drainer.Go(p.drain)
	}
	return true
}

// drain retries until the queue is empty or the cache closes.
func (p *pending) drain() {
	wait := pendingFirst
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.closing:
			timer.Stop()
			return
		}
		if p.try() {
			wait = pendingFirst
		} else {
			wait = min(2*wait, pendingLast)
		}
		if p.done() {
			return
		}
	}
}

// try sends one batch and reports whether all of it was accepted.
func (p *pending) try() bool {
	batch := p.batch()
	errs := p.send(context.Background(), batch)
	p.mu.Lock()
	defer p.mu.Unlock()
	ok := true
	for i, o := range batch {
		switch {
		case errs[i] != nil:
			ok = false
		case p.keys[o.key].failure == o.failure: // else it failed again meanwhile
			delete(p.keys, o.key)
		}
	}
	p.size.Store(int64(len(p.keys)))
	return ok
}

func (p *pending) batch() (batch []owed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.keys {
		if batch = append(batch, o); len(batch) == pendingBatch {
			break
		}
	}
	return batch
}

// done reports whether the drainer may end, and lets those go who wait for it.
func (p *pending) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.keys) > 0 {
		return false
	}
	p.drains = false
	if p.empty != nil {
		close(p.empty)
		p.empty = nil
	}
	return true
}

// flush waits until the queue is empty or ctx ends.
func (p *pending) flush(ctx context.Context) error {
	p.mu.Lock()
	if len(p.keys) == 0 {
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
	return len(p.keys)
}
