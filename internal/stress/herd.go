package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// herdRun is callers in several processes that all want a cold key at the same
// instant, a new key each round. What a round takes is the whole fleet's: from
// the first call to the last return, so it holds the look-ups of all callers
// before the load, and how late the other processes notice its end.
type herdRun struct {
	title    string
	workers  int
	callers  int // of each
	rounds   int
	controls int // rounds of the naive control
	load     time.Duration
	strict   bool // one load a round, also when Redis did not answer in time

	// Bounds of a round, from the first call to the last return, as multiples
	// of load; 0: none.
	median, worst float64
}

func (h herdRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("%s, %s, %d processes of %d callers, %v to load", h.title, to.topology, h.workers, h.callers, h.load),
		head:  []string{"", "rounds", "loads", "most in a round", "median round", "/ load", "worst", "/ load", "unanswered", "failed"},
	}
	for _, mode := range []string{naive, ours} {
		if err := h.mode(ctx, to, mode, t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// mode runs one way of caching and adds its row.
func (h herdRun) mode(ctx context.Context, to target, mode string, t *table) error {
	if err := to.flush(ctx); err != nil {
		return err
	}
	n := h.rounds
	if mode == naive {
		n = h.controls
	}
	orders := make([]order, n)
	for i := range orders {
		orders[i].Key = i
	}
	p := to.plan(plan{
		Job: "herd", Mode: mode, Rows: n + 1, Callers: h.callers, Fresh: time.Minute, LoadMin: h.load, LoadMax: h.load, Trace: true,
	})
	sums, err := rounds(ctx, p, h.workers, orders)
	if err != nil {
		return err
	}
	var all report
	var most int64
	var took, before, after []time.Duration
	for i := range sums {
		r := &sums[i]
		all.merge(r)
		most = max(most, r.Loads)
		took = append(took, r.Last.Sub(r.First))
		if begin, end, ok := trace(r.Spans).bounds(); ok {
			before, after = append(before, begin.Sub(r.First)), append(after, r.Last.Sub(end))
		}
	}
	median, worst := middle(took), slices.Max(took)
	t.note("%s: the load began %v after the first call, and the last caller returned %v after its end (medians).",
		mode, middle(before).Round(time.Millisecond/10), middle(after).Round(time.Millisecond/10))
	t.add(mode, n, all.Loads, most, median, h.times(median), worst, h.times(worst), all.Unanswered, all.Failed)
	t.failures(mode, &all)
	if mode == naive {
		t.requireQuiet(all.Loads > int64(n), "%s: one load per round, so this run is blind", mode)
		return nil
	}
	t.require(all.Loads == int64(n) || !h.strict && all.Unanswered > 0, "%s: %d loads in %d rounds", mode, all.Loads, n)
	t.requireQuiet(h.median == 0 || h.times(median) <= h.median, "%s: median round %.2f × the loader, wants %.2f", mode, h.times(median), h.median)
	t.requireQuiet(h.worst == 0 || h.times(worst) <= h.worst, "%s: worst round %.2f × the loader, wants %.2f", mode, h.times(worst), h.worst)
	return nil
}

// middle is the median, 0 of none. It sorts d.
func middle(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)/2]
}

func (h herdRun) times(d time.Duration) float64 { return float64(d) / float64(h.load) }
