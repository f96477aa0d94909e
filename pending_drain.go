package cache

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// This file is the goroutine that sends what is queued.

const (
	// pendingBatch is how many invalidations are sent at once.
	pendingBatch = 1_000
	// pendingDelay is between a failure and the first try to make up for it.
	pendingDelay = 50 * time.Millisecond
	// pendingPause is after a pass of which something failed; after each further one
	// it is twice as long, up to pendingLongest. After a pass that Redis accepted whole
	// there is none.
	pendingPause   = 50 * time.Millisecond
	pendingLongest = time.Second
)

// drain sends what is queued, in passes, until the queue is empty or the cache closes.
// The log is told when that begins and when it ends.
func (p *pending) drain() {
	began := time.Now()
	p.logger.Warn("invalidations are queued, because Redis failed", "queued", p.size.Load())
	for wait := pendingDelay; p.rest(wait); {
		switch failed := p.sendAll(); failed {
		case nil:
			wait = 0
		case store.ErrOpen: // it costs nothing to ask again soon
			wait = pendingPause
		default:
			wait = min(max(2*wait, pendingPause), pendingLongest)
		}
		if p.done() {
			p.logger.Info("the queue of invalidations is empty", "after", time.Since(began))
			return
		}
	}
}

// rest waits, unless Redis answers again. It reports false when the cache closes.
func (p *pending) rest(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.hurried:
	case <-p.closing:
	}
	return !p.over()
}

// over reports whether the cache closes.
func (p *pending) over() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}

// hurry ends the wait for the next pass.
func (p *pending) hurry() {
	select {
	case p.hurried <- struct{}{}:
	default: // it is told already
	}
}

// sendAll is a pass: each invalidation that is queued when it begins is sent once, in
// batches, up to a batch of which Redis accepts nothing. So what one node, or one rule, refuses for long keeps
// none of the others waiting. The error is one of those that were not accepted, and
// bare ErrOpen only if Redis was asked for none of these.
func (p *pending) sendAll() (failed error) {
	p.mu.Lock()
	p.pass++
	last := p.failure
	p.mu.Unlock()
	for !p.over() {
		batch := p.batch(last)
		if len(batch) == 0 {
			return failed
		}
		accepted, err := p.try(batch)
		if failed == nil || err != nil && err != store.ErrOpen { //nolint:errorlint // bare
			failed = err
		}
		if accepted == 0 {
			return failed
		}
	}
	return failed
}

// try sends one batch, and takes out what Redis has accepted: so many. The error is
// as that of sendAll.
func (p *pending) try(batch []owed) (accepted int, failed error) {
	errs := p.send(context.Background(), batch)
	p.mu.Lock()
	defer p.mu.Unlock()
	var landed int64
	for i, o := range batch {
		switch {
		case errs[i] != nil && errors.Is(errs[i], store.ErrOpen):
			failed = cmp.Or(failed, store.ErrOpen)
		case errs[i] != nil:
			failed = errs[i]
		default:
			accepted++
			if p.all[o.target].failure != o.failure {
				break // it failed again meanwhile
			}
			delete(p.all, o.target)
			if o.kind != oneKey {
				landed = 1
			}
		}
	}
	p.landed.Add(landed) // before size, which readers look at first
	p.size.Store(int64(len(p.all)))
	return accepted, failed
}

// batch is the next of the pass, which is for failures up to last; empty if there is
// none.
func (p *pending) batch(last uint64) (batch []owed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for about, o := range p.all {
		if o.pass == p.pass || o.failure > last {
			continue
		}
		o.pass = p.pass
		p.all[about] = o
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
	if len(p.all) > 0 {
		return false
	}
	p.drains = false
	if p.empty != nil {
		close(p.empty)
		p.empty = nil
	}
	return true
}
