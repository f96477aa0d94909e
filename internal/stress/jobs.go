package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// fillers is how many different keys the filler writes. Together they are far
// more than the memory that Redis is given.
const fillers = 4096

// history runs readers and one writer on a few keys, and the filler if the plan
// has one, until the time is over.
func (w *worker) history(ctx context.Context, o order) {
	sleepUntil(ctx, o.Start)
	end := o.Start.Add(o.For)
	var g sync.WaitGroup
	for range w.Callers {
		g.Go(func() {
			var r report
			for time.Now().Before(end) && ctx.Err() == nil {
				w.read(ctx, rand.IntN(w.keys()), &r)
			}
			w.add(&r)
		})
	}
	g.Go(func() {
		var r report
		for time.Now().Before(end) && sleep(ctx, rand.N(w.Write)) == nil {
			w.write(ctx, rand.IntN(w.keys()), &r)
		}
		w.add(&r)
	})
	if w.Filler > 0 {
		g.Go(func() { w.fill(ctx, end) })
	}
	g.Wait()
}

// fill writes large values that nobody reads, for which Redis has to evict
// entries and leases. Its errors do not matter: what counts are the evictions,
// and those Redis counts itself.
func (w *worker) fill(ctx context.Context, end time.Time) {
	value := make([]byte, w.Filler)
	for time.Now().Before(end) && ctx.Err() == nil {
		_ = w.client.Set(ctx, w.Name+":filler:"+strconv.Itoa(rand.IntN(fillers)), value, time.Minute).Err()
	}
}

// herd calls the round's key from all callers at once, one call each. The
// goroutines are there before the round starts: it is the calls that count.
func (w *worker) herd(ctx context.Context, o order) {
	start := make(chan struct{})
	var g sync.WaitGroup
	for range w.Callers {
		g.Go(func() {
			<-start
			r := report{First: time.Now()}
			w.read(ctx, o.Key, &r)
			r.Last = time.Now()
			w.add(&r)
		})
	}
	sleepUntil(ctx, o.Start)
	close(start)
	g.Wait()
}

// hotKeyLead is how long before the others the first caller of a hot key calls.
const hotKeyLead = 500 * time.Millisecond

// hotKey calls one key at a steady rate, whether or not earlier calls have
// returned. Worker 0 makes the first call, which finds the key cold, alone.
func (w *worker) hotKey(ctx context.Context, o order) {
	sleepUntil(ctx, o.Start)
	if w.Worker == 0 {
		var r report
		w.read(ctx, o.Key, &r)
		w.add(&r)
	}
	every := time.Second / time.Duration(w.Rate)
	next := o.Start.Add(hotKeyLead + every*time.Duration(w.Worker)/time.Duration(w.Workers))
	end := next.Add(o.For)
	var g sync.WaitGroup
	for ; next.Before(end) && ctx.Err() == nil; next = next.Add(every) {
		sleepUntil(ctx, next)
		g.Go(func() {
			var r report
			w.read(ctx, o.Key, &r)
			w.add(&r)
		})
	}
	g.Wait()
}

// storm reads one key without end while worker 0 changes it again and again, far
// more often than it can be loaded.
func (w *worker) storm(ctx context.Context, o order) {
	sleepUntil(ctx, o.Start)
	end := o.Start.Add(o.For)
	var g sync.WaitGroup
	for range w.Callers {
		g.Go(func() {
			var r report
			for time.Now().Before(end) && sleep(ctx, rand.N(w.Pause)) == nil {
				w.read(ctx, o.Key, &r)
			}
			w.add(&r)
		})
	}
	if w.Worker == 0 {
		var r report
		for next := o.Start; next.Before(end) && ctx.Err() == nil; next = next.Add(w.Write) {
			sleepUntil(ctx, next)
			w.write(ctx, o.Key, &r)
		}
		w.add(&r)
	}
	g.Wait()
}

// sleepUntil returns at t, at once if that has passed, or when ctx ends.
func sleepUntil(ctx context.Context, t time.Time) {
	if d := time.Until(t); d > 0 {
		_ = sleep(ctx, d) // whoever calls it looks at ctx where it matters
	}
}
