package pending

import (
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

// This file is the goroutine that sends what is queued.

const (
	// most is how many invalidations are sent at once.
	most = 1_000
	// delay is between a failure and the first try to make up for it.
	delay = 50 * time.Millisecond
	// pause is after a pass of which something failed; after each further one
	// it is twice as long, up to longest. After a pass that Redis accepted whole
	// there is none.
	pause   = 50 * time.Millisecond
	longest = time.Second
)

// result is what became of a pass, or of a batch of it.
type result uint8

const (
	accepted result = iota // all of it
	unasked                // Redis was asked for none of what it did not accept
	refused
)

// drain sends what is queued, in passes, until the queue is empty or the cache closes.
// The log is told when that begins and when it ends.
func (q *Queue) drain() {
	began := time.Now()
	q.options.Logger.Warn("invalidations are queued, because Redis failed", "queued", q.size.Load())
	for wait := delay; q.rest(wait); {
		switch q.sendAll() {
		case accepted:
			wait = 0
		case unasked: // it costs nothing to ask again soon
			wait = pause
		case refused:
			wait = min(max(2*wait, pause), longest)
		}
		if q.done() {
			q.options.Logger.Info("the queue of invalidations is empty", "after", time.Since(began))
			return
		}
	}
}

// rest waits, unless Redis answers again. It reports false when the cache closes.
func (q *Queue) rest(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.hurried:
	case <-q.options.Closing:
	}
	return !q.over()
}

// over reports whether the cache closes.
func (q *Queue) over() bool {
	select {
	case <-q.options.Closing:
		return true
	default:
		return false
	}
}

// Hurry ends the wait for the next pass.
func (q *Queue) Hurry() {
	select {
	case q.hurried <- struct{}{}:
	default: // it is told already
	}
}

// sendAll is a pass: each invalidation that is queued when it begins is sent once, in
// batches, up to a batch to which Redis does not answer at all. What one node, or one rule,
// refuses for long keeps none of the others waiting.
func (q *Queue) sendAll() (all result) {
	q.mu.Lock()
	q.pass++
	last := q.failure
	q.mu.Unlock()
	for !q.over() {
		batch := q.batch(last)
		if len(batch) == 0 {
			return all
		}
		r, answered := q.try(batch)
		if all = max(all, r); !answered {
			return all
		}
	}
	return all
}

// try sends one batch, and takes out what Redis has accepted. It reports whether Redis has
// answered to anything in it.
func (q *Queue) try(batch []entry) (r result, answered bool) {
	errs := q.send(context.Background(), batch)
	q.mu.Lock()
	defer q.mu.Unlock()
	var epochs int64
	for i, o := range batch {
		answered = answered || !q.options.Outage(errs[i])
		switch {
		case errs[i] != nil && errors.Is(errs[i], q.options.Unasked):
			r = max(r, unasked)
		case errs[i] != nil:
			r = refused
		default:
			if q.all[o.Target].failure != o.failure {
				break // it failed again meanwhile
			}
			delete(q.all, o.Target)
			if o.Kind != Key {
				epochs = 1
			}
		}
	}
	q.epoch.Add(epochs) // before size, which readers look at first
	q.size.Store(int64(len(q.all)))
	return r, answered
}

// batch is the next of the pass, which is for failures up to last; empty if there is
// none.
func (q *Queue) batch(last uint64) (batch []entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for about, o := range q.all {
		if o.pass == q.pass || o.failure > last {
			continue
		}
		o.pass = q.pass
		q.all[about] = o
		if batch = append(batch, o); len(batch) == most {
			break
		}
	}
	return batch
}

// done reports whether the drainer may end, and lets those go who wait for it.
func (q *Queue) done() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.all) > 0 {
		return false
	}
	q.drains = false
	if q.empty != nil {
		close(q.empty)
		q.empty = nil
	}
	return true
}

// send makes the invalidations of a batch again, each kind in one go, after the intents
// that may be open. The errors are aligned with the batch.
func (q *Queue) send(ctx context.Context, batch []entry) []error {
	errs := q.end(ctx, batch)
	for kind, send := range map[Kind]func(context.Context, []string) []error{
		Key: q.options.Keys,
		Tag: q.options.Tags,
		All: func(ctx context.Context, _ []string) []error { return []error{q.options.All(ctx)} },
	} {
		var names []string
		var at []int
		for i, o := range batch {
			if o.Kind == kind {
				names, at = append(names, o.Name), append(at, i)
			}
		}
		if len(names) == 0 {
			continue
		}
		for i, err := range send(ctx, names) {
			errs[at[i]] = errors.Join(errs[at[i]], err)
		}
	}
	return errs
}

// end ends the intents of a batch. The errors are aligned with the batch.
func (q *Queue) end(ctx context.Context, batch []entry) []error {
	errs := make([]error, len(batch))
	var at []int
	var keys []string
	var intents []envelope.Token
	for i, o := range batch {
		for _, intent := range o.intents {
			keys, intents, at = append(keys, o.Name), append(intents, intent), append(at, i)
		}
	}
	if len(keys) == 0 {
		return errs
	}
	for i, err := range q.options.End(ctx, keys, intents) {
		if err != nil {
			errs[at[i]] = err
		}
	}
	return errs
}
