package main

import (
	"context"
	"fmt"
	"time"
)

// frozenRun is a service whose hits spare the system of record nineteen calls of
// twenty, and whose Redis is stopped: no connection breaks, and nothing is answered.
// From then on every request is a load. If the system of record can take them they
// fit the load limit, and no caller sees an error; if it cannot, because it becomes
// slow itself, it still sees no more than the limit at once, also while the cache
// refills afterwards, and the rest are refused.
type frozenRun struct {
	length time.Duration // for how long Redis is frozen
}

const (
	frozenRate  = 1000 // requests per second
	frozenKeys  = 500
	frozenLimit = 64
	frozenLead  = 2 * time.Second // before it is frozen, and after
	frozenLoad  = 10 * time.Millisecond
	frozenSlow  = 500 * time.Millisecond // from the freeze on: 500 at once are offered
	frozenBound = 120 * time.Millisecond // and the load: p99 of a call
)

func (f frozenRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Redis frozen, %s, for %v: %d requests/s on %d keys, load limit %d", to.topology, f.length, frozenRate, frozenKeys, frozenLimit),
		head:  []string{"", "load", "requests", "hits before", "hits after", "loads", "at once", "errors", "refused", "stale", "p50", "p99", "longest", "goroutines more"},
	}
	for _, mode := range []string{failOpen, mixed} {
		for _, load := range []time.Duration{frozenLoad, frozenSlow} {
			if err := f.mode(ctx, to, mode, load, t); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

func (f frozenRun) mode(ctx context.Context, to target, mode string, load time.Duration, t *table) error {
	if err := to.flush(ctx); err != nil {
		return err
	}
	p := to.plan(plan{
		Job: "chaos", Mode: mode, Rows: frozenKeys + 1, Callers: 64, Fresh: time.Minute, Rate: frozenRate,
		Write: 20 * time.Millisecond, LoadMin: frozenLoad, LoadMax: frozenLoad, Limit: frozenLimit,
	})
	if load != frozenLoad {
		// Not before the freeze, for the loads that still have a lease are not limited.
		p.LoadMax, p.SlowAt = load, frozenLead+100*time.Millisecond
	}
	workers, err := launch(ctx, p, 1)
	if err != nil {
		return err
	}
	defer func() { _ = workers.close() }() // also when a server cannot be stopped
	sums := make(chan reported, 1)
	began := time.Now()
	go func() {
		sum, err := workers.round(order{For: f.length + 2*frozenLead})
		sums <- reported{sum, err}
	}()
	_ = sleep(ctx, startIn+frozenLead)
	for _, s := range to.servers() {
		s.Pause()
	}
	frozen := time.Now()
	_ = sleep(ctx, f.length)
	for _, s := range to.servers() {
		s.Resume()
	}
	thawed := time.Now()
	got := <-sums
	if got.err != nil {
		return got.err
	}
	r, o := &got.sum, &got.sum.Ordeal
	t.add(mode, load, r.Calls.count()+o.Overloaded+r.Failed, percent(o.hitsBetween(began, frozen)), percent(o.hitsBetween(thawed.Add(frozenLead/2), time.Now())),
		r.Loads, o.Peak, r.Failed, o.Overloaded, r.Stale+o.OwnStale, r.Calls.quantile(0.5), r.Calls.quantile(0.99), r.Calls.Max, o.Extra)
	f.judge(t, mode, load, r)
	if took, ok := o.serves(thawed, time.Now()); mode == mixed && load == frozenLoad {
		t.requireQuiet(ok, "service was not full again within %v", frozenLead)
		t.note("full service %v after the end of the freeze", round(took))
	}
	return nil
}

func (f frozenRun) judge(t *table, mode string, load time.Duration, r *report) {
	o := &r.Ordeal
	if mode == failOpen {
		t.requireQuiet(load == frozenLoad || o.Peak > 2*frozenLimit, "%s: %d loads at once, so this run is blind", mode, o.Peak)
		return
	}
	t.require(r.Failed == 0, "%d calls failed, the first with: %s", r.Failed, r.Failure)
	t.require(r.Stale+o.OwnStale == 0, "%d stale reads", r.Stale+o.OwnStale)
	t.require(o.Peak <= frozenLimit, "%d loads at once, limit %d", o.Peak, frozenLimit)
	t.require(o.Extra == 0, "%d goroutines more after the round than before", o.Extra)
	if load == frozenSlow {
		t.requireQuiet(o.Overloaded > 0, "no load was refused, so this run is blind")
		return
	}
	t.requireQuiet(o.Overloaded == 0, "%d calls were refused though %d loads fit the limit", o.Overloaded, frozenRate*frozenLoad/time.Second)
	p99 := r.Calls.quantile(0.99)
	t.requireQuiet(p99 <= frozenBound+load, "p99 %v, wants %v at most", p99, frozenBound+load)
}
