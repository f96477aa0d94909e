package behind

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// retryLook is how long a worker pauses at most while this process knows of values with
// which the sink has failed, however long the interval is: they are due by themselves.
const retryLook = 500 * time.Millisecond

// worker claims keys of any partition and delivers them. It is used by its own goroutine
// only.
type worker struct {
	engine *Engine
	wake   chan struct{}
	pace   pacer
}

// run claims keys until look ends, and finishes what it has until work does.
// While there is more than a batch it does not rest.
func (w *worker) run(look, work context.Context) {
	e := w.engine
	for look.Err() == nil {
		probing := w.pace.slow() // before the claim: another's success may end it at any time
		items, more, err := w.claim(look, probing)
		e.failed(look, "claim keys", err)
		if len(items) == 0 && err != nil { // of the sink nothing is known
			pause(look, max(e.o.Interval, e.o.Backoff/10), nil)
			continue
		}
		w.pace.after(!e.deliver(work, items, probing))
		if !more || w.pace.slow() {
			idle := e.o.Interval
			if e.failures.any() {
				idle = min(idle, max(min(e.o.Backoff/2, retryLook), time.Millisecond))
			}
			pause(look, w.pace.rest(idle), w.pace.unless(w.wake))
		}
	}
}

// claim takes keys that are due, about a batch, and reports whether there are more. While
// the sink is out of order one is enough to find out whether it still is.
//
// What is in the schedule of a partition need not be due: it asks on, partition by
// partition, until it has something, or has asked all of them.
func (w *worker) claim(ctx context.Context, probing bool) (items []*item, more bool, err error) {
	e, size := w.engine, w.engine.o.BatchSize
	if probing {
		size = 1
	}
	waiting, err := e.store.Scheduled(ctx, e.parts)
	errs := []error{err}
	order := rand.Perm(len(e.parts))
	since := e.taken.Load()
	for len(order) > 0 && len(items) == 0 && ctx.Err() == nil {
		var claims []store.Claim
		beyond := false // there is more in the schedule than was asked for
		for want := size; len(order) > 0 && want > 0; order = order[1:] {
			if n := min(waiting[order[0]], want); n > 0 {
				claims = append(claims, store.Claim{Partition: e.parts[order[0]], Count: n})
				want -= n
				beyond = n < waiting[order[0]] // of the last only
			}
		}
		e.store.Claim(ctx, claims, e.o.lease())
		for i := range claims {
			c := &claims[i]
			errs = append(errs, c.Err)
			more = beyond && len(c.Keys) == c.Count // so of the last
			for k, key := range c.Keys {
				items = append(items, &item{Claimed: store.Claimed{Partition: c.Partition, Key: key, Claim: c.Name}, tries: c.Tries[k], since: since})
			}
		}
	}
	return items, (more || len(order) > 0) && len(items) > 0, errors.Join(errs...)
}

// triesWith is how many tries with this version count, by what the hash of tries says.
func triesWith(text, version string) int {
	if len(text) <= len(version) || text[:len(version)] != version {
		return 0
	}
	n, _ := strconv.Atoi(text[len(version):])
	return n
}
