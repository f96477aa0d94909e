package main

import (
	"context"
	"fmt"
	"time"
)

// stormRun is one key that is invalidated ten times while it is loaded once, so
// that no load can be stored. A reader who arrives during a load may not have
// what it finds, since a write may have returned in between, and waits for
// another one, which begins after the reader came: that one is the reader's,
// whatever is invalidated meanwhile. So nobody waits for more than two, and the
// loads are as many as the invalidations and the processes, not the readers.
type stormRun struct {
	length  time.Duration
	readers int  // of each worker
	strict  bool // judge single slow calls, not nine tenths of them
}

const (
	stormWorkers = 4
	stormEvery   = 5 * time.Millisecond
	stormLoad    = 50 * time.Millisecond
	// stormPause is the longest pause of a reader between two calls. 1,000 readers
	// without one keep two processors busy for longer than a load takes.
	stormPause = 500 * time.Millisecond // longest pause of a reader
	// stormSlow is what nobody may take: the time of a third load.
	stormSlow = 3 * stormLoad
)

func (s stormRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Invalidation storm, %s, every %v for %v, %d readers in %d processes, %v to load",
			to.topology, stormEvery, s.length, stormWorkers*s.readers, stormWorkers, stormLoad),
		head: []string{"", "reads/s", "writes/s", "loads/s", "at once", "stale", "slow calls", "p50", "p99", "longest", "unanswered", "failed"},
	}
	for _, mode := range []string{naive, ours} {
		if err := to.flush(ctx); err != nil {
			return t, err
		}
		p := to.plan(plan{
			Job: "storm", Mode: mode, Rows: 1 + 1, Callers: s.readers, Fresh: time.Minute, Pause: stormPause,
			Write: stormEvery, LoadMin: stormLoad, LoadMax: stormLoad, SlowFrom: stormSlow, Trace: true,
		})
		sum, err := once(ctx, p, stormWorkers, order{For: s.length})
		if err != nil {
			return t, err
		}
		t.add(mode, s.rate(sum.Gets), s.rate(sum.Writes), s.rate(sum.Loads), trace(sum.Spans).most(), sum.Stale, sum.Slow,
			sum.Calls.quantile(0.5), sum.Calls.quantile(0.99), sum.Calls.Max, sum.Unanswered, sum.Failed)
		t.failures(mode, &sum)
		s.judge(t, mode, &sum)
	}
	t.note("slow: %v and more, the time of three loads. Loads of the library are bounded by %.0f/s.", stormSlow, s.bound())
	return t, nil
}

// bound is how many loads per second the library may make: one for each
// invalidation, and in each process two at a time of those that share it.
func (s stormRun) bound() float64 {
	return float64(time.Second/stormEvery) + 2*stormWorkers*float64(time.Second/stormLoad)
}

func (s stormRun) judge(t *table, mode string, sum *report) {
	if mode == naive {
		t.requireQuiet(sum.stalePart() > blind, "%s: %.2f %% stale, so this run is blind", mode, 100*sum.stalePart())
		return
	}
	t.bounded(mode, sum)
	t.require(sum.Stale == 0, "%s: %d stale reads", mode, sum.Stale)
	t.requireQuiet(s.rate(sum.Loads) <= int64(s.bound()), "%s: %d loads/s, bound %.0f", mode, s.rate(sum.Loads), s.bound())
	if s.strict {
		t.requireQuiet(sum.Slow == 0, "%s: %d calls took %v or more", mode, sum.Slow, stormSlow)
		return
	}
	most := sum.Calls.quantile(0.9)
	t.requireQuiet(most < stormSlow, "%s: a tenth of the calls took %v or more", mode, most)
}

func (s stormRun) rate(n int64) int64 { return int64(float64(n) / s.length.Seconds()) }
