package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache"
)

// marks are, row by row, the newest versions that this process has written and
// whose invalidation was queued: nobody else was promised anything about them, but
// this process is never served an older one.
type marks []atomic.Int64

func (f marks) raise(row int, v int64) {
	for old := f[row].Load(); old < v && !f[row].CompareAndSwap(old, v); old = f[row].Load() {
	}
}

// chaos reads at a steady rate, whether or not earlier calls have returned, writes
// at another, and counts, while the parent makes Redis fail.
func (w *worker) chaos(ctx context.Context, o order) {
	own := make(marks, w.keys())
	w.peak.Store(0)
	w.slowFrom.Store(o.Start.Add(w.SlowAt).UnixNano())
	before := runtime.NumGoroutine()
	sleepUntil(ctx, o.Start)
	end := o.Start.Add(o.For)
	var g, beside sync.WaitGroup
	counting, stop := context.WithCancel(ctx)
	beside.Go(func() { w.count(counting) })
	g.Go(func() { w.chaosWrites(ctx, o.Start, end, own) })
	every := time.Second / time.Duration(w.Rate)
	for next := o.Start; next.Before(end) && ctx.Err() == nil; next = next.Add(every) {
		sleepUntil(ctx, next)
		g.Go(func() {
			var r report
			w.chaosRead(ctx, rand.IntN(w.keys()), own, &r)
			w.add(&r)
		})
	}
	g.Wait()
	stop()
	beside.Wait()
	w.add(&report{Ordeal: ordeal{Peak: w.peak.Load(), Extra: w.extra(ctx, before)}})
}

// fillAll loads all rows into the cache, some at a time.
func (w *worker) fillAll(ctx context.Context) {
	var g sync.WaitGroup
	for first := range w.Callers {
		g.Go(func() {
			for row := first; row < w.keys(); row += w.Callers {
				_, _ = w.subject.get(ctx, w.key(row))
			}
		})
	}
	g.Wait()
}

// extra is how many goroutines are left that were not there before, once the last
// of what nobody waits for has had some time to end.
func (w *worker) extra(ctx context.Context, before int) int {
	for range 100 {
		if runtime.NumGoroutine() <= before || sleep(ctx, 50*time.Millisecond) != nil {
			break
		}
	}
	return max(runtime.NumGoroutine()-before, 0)
}

// chaosWrites writes every plan.Write until end. A write that has to wait for its
// budgets holds nobody up.
func (w *worker) chaosWrites(ctx context.Context, start, end time.Time, own marks) {
	var g sync.WaitGroup
	for next := start; w.Write > 0 && next.Before(end) && ctx.Err() == nil; next = next.Add(w.Write) {
		sleepUntil(ctx, next)
		g.Go(func() {
			var r report
			w.chaosWrite(ctx, rand.IntN(w.keys()), own, &r)
			w.add(&r)
		})
	}
	g.Wait()
}

// chaosRead is one call, checked against what was promised to all and what was
// promised to this process.
func (w *worker) chaosRead(ctx context.Context, row int, own marks, r *report) {
	floor, mine, begin := w.ledger.floor(row), own[row].Load(), time.Now()
	v, err := w.get(ctx, row, r)
	if errors.Is(err, cache.ErrOverloaded) {
		r.Ordeal.Overloaded++
		return
	}
	if err != nil {
		r.fail(ctx, err)
		return
	}
	r.Gets++
	r.Calls.add(time.Since(begin))
	switch {
	case v < floor:
		r.Stale++
	case v < mine:
		r.Ordeal.OwnStale++
	}
}

// chaosWrite is one write. While Redis fails its invalidation is queued, and that
// is the only way in which it may fail.
func (w *worker) chaosWrite(ctx context.Context, row int, own marks, r *report) {
	var v int64
	err := w.subject.change(ctx, w.key(row), func() { v = w.ledger.write(row) })
	switch {
	case errors.Is(err, cache.ErrPending):
		own.raise(row, v)
		r.Ordeal.Pending++
	case err != nil:
		r.fail(ctx, err)
	default:
		w.ledger.finish(row, v)
		r.Writes++
	}
}

// count keeps a series of the library's counters until ctx ends.
func (w *worker) count(ctx context.Context) {
	l, ok := w.subject.(library)
	if !ok {
		return
	}
	var s series
	for {
		n := l.cache.Stats()
		s = append(s, tick{At: time.Now(), Hits: n.Hits, Looks: n.Hits + n.Stale + n.Absent + n.Misses, Pending: n.Pending})
		if sleep(ctx, tickEvery) != nil {
			break
		}
	}
	w.add(&report{Ordeal: ordeal{Series: []series{s}}})
}
