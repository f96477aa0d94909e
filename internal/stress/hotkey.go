package main

import (
	"context"
	"fmt"
	"time"
)

// hotKeyRun is one key with a short TTL under a steady rate of requests: it is
// loaded once per period, and before it expires, so that nobody waits. Requests
// come by the clock and not when earlier ones have returned, which would hide
// how many had to wait.
type hotKeyRun struct {
	length time.Duration
	strict bool // judge single slow calls, also when Redis did not answer in time
}

const (
	hotKeyWorkers = 4
	hotKeyRate    = 2000 // requests per second of all workers
	hotKeyTTL     = time.Second
	hotKeyLoad    = 50 * time.Millisecond
	hotKeySlow    = hotKeyLoad / 2 // a call that takes so long has waited for a load

	// steady is the mode of the run whose key never expires: what is slow in it
	// is the machine.
	steady = "never expires"
)

func (h hotKeyRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Hot key, %s, TTL %v, %d requests/s over %d processes for %v, %v to load",
			to.topology, hotKeyTTL, hotKeyRate, hotKeyWorkers, h.length, hotKeyLoad),
		head: []string{"", "requests", "loads", "at once", "nearest loads", "slow calls", "p50", "p99", "longest", "unanswered", "failed"},
	}
	sums := map[string]*report{}
	for _, mode := range []string{naive, steady, ours} {
		sum, err := h.mode(ctx, to, mode)
		if err != nil {
			return t, err
		}
		sums[mode] = &sum
		loads := trace(sum.Spans)
		t.add(mode, sum.Gets, sum.Loads, loads.most(), loads.nearest(), sum.Slow,
			sum.Calls.quantile(0.5), sum.Calls.quantile(0.99), sum.Calls.Max, sum.Unanswered, sum.Failed)
		t.failures(mode, &sum)
	}
	h.judge(t, sums)
	t.note("slow: %v and more. p99 is %.1f × that of a key which never expires.",
		hotKeySlow, float64(sums[ours].Calls.quantile(0.99))/float64(sums[steady].Calls.quantile(0.99)))
	return t, nil
}

func (h hotKeyRun) mode(ctx context.Context, to target, mode string) (report, error) {
	if err := to.flush(ctx); err != nil {
		return report{}, err
	}
	p := to.plan(plan{
		Job: "hotkey", Mode: mode, Rows: 1 + 1, Callers: 64, Fresh: hotKeyTTL, Rate: hotKeyRate / hotKeyWorkers,
		LoadMin: hotKeyLoad, LoadMax: hotKeyLoad, SlowFrom: hotKeySlow, Trace: true,
	})
	if mode == steady { // the same library: only the expiry differs
		p.Mode, p.Fresh = ours, time.Hour
	}
	return once(ctx, p, hotKeyWorkers, order{For: h.length})
}

// judge compares the rows with the pass figures. A period begins with a load and
// ends with the next one, which comes early, but never before half of the TTL.
func (h hotKeyRun) judge(t *table, sums map[string]*report) {
	const early = hotKeyTTL/2 - 10*time.Millisecond
	control, got := sums[naive], sums[ours]
	t.requireQuiet(trace(control.Spans).most() > 1, "%s: no two loads at once, so this run is blind", naive)
	t.requireQuiet(got.Loads >= int64(h.length/hotKeyTTL), "%s: %d loads: the key did not expire", ours, got.Loads)
	slow := control.Slow / 2
	switch {
	case h.strict:
		slow = 1
	case got.Unanswered > 0: // loads without a lease, and callers who waited out a budget
		return
	}
	loads := trace(got.Spans)
	t.require(loads.most() == 1, "%s: %d loads at once", ours, loads.most())
	t.require(loads.nearest() >= early, "%s: two loads within %v", ours, loads.nearest())
	t.requireQuiet(got.Slow <= slow, "%s: %d calls took %v or more, wants %d at most", ours, got.Slow, hotKeySlow, slow)
}
