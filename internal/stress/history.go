package main

import (
	"context"
	"fmt"
	"time"
)

// historyRun is readers and writers on a few keys, each read checked against the
// floor: no call that starts after a write has returned may be served an older
// version.
type historyRun struct {
	ours     time.Duration // for how long each mode of the library runs
	controls time.Duration // and each control
	gets     int64         // how many reads of the library make the run count
	evicted  int64         // and how many evictions; 0: Redis has memory enough
}

// blind is the part of stale reads of the naive control below which the run has
// not been hard enough to show anything.
const blind = 0.01

const (
	historyWorkers = 4

	// Servers that evict have room for some 300 of the filler's values, so each
	// eviction hits one of the history's keys, entry or lease, once in about 70.
	scarceMemory = 4 << 20
	scarcePolicy = "allkeys-random"
	scarceFiller = 8 << 10
)

func (h historyRun) run(ctx context.Context, to target) (*table, error) {
	t := historyTable(fmt.Sprintf("History, %s, %d processes of 4 readers and a writer", to.topology, historyWorkers))
	// Few keys, loads of up to 3 ms and 400 writes a second: every write meets
	// loads that began before it, and reads of what they might have stored.
	p := to.plan(plan{
		Job: "history", Rows: 4 + 1, Callers: 4, Fresh: time.Minute,
		LoadMax: 3 * time.Millisecond, Write: 20 * time.Millisecond,
	})
	if h.evicted > 0 {
		t.title += ", maxmemory 4 MB " + scarcePolicy
		p.Filler = scarceFiller
	}
	for _, p.Mode = range []string{naive, lockOnly, ours, updating} {
		if err := h.mode(ctx, to, p, t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// historyTable is an empty table for rows of mode.
func historyTable(title string) *table {
	return &table{title: title, head: []string{"", "seconds", "gets", "stale", "", "writes", "loads", "evictions", "unanswered", "failed"}}
}

// mode runs one way of caching and adds its row.
func (h historyRun) mode(ctx context.Context, to target, p plan, t *table) error {
	if err := to.flush(ctx); err != nil {
		return err
	}
	before, err := to.evicted(ctx)
	if err != nil {
		return err
	}
	length := h.ours
	if p.Mode == naive || p.Mode == lockOnly || p.Mode == tagNaive {
		length = h.controls
	}
	sum, err := once(ctx, p, historyWorkers, order{For: length})
	if err != nil {
		return err
	}
	after, err := to.evicted(ctx)
	if err != nil {
		return err
	}
	evicted := after - before
	t.add(p.Mode, length.Seconds(), sum.Gets, sum.Stale, percent(sum.stalePart()), sum.Writes, sum.Loads, evicted, sum.Unanswered, sum.Failed)
	h.judge(t, p.Mode, &sum, evicted)
	return nil
}

// judge compares a row with the pass figures.
func (h historyRun) judge(t *table, mode string, sum *report, evicted int64) {
	t.failures(mode, sum)
	switch mode {
	case naive, tagNaive:
		t.requireQuiet(sum.stalePart() > blind, "%s: %.2f %% stale, so this run is blind", mode, 100*sum.stalePart())
	case ours, updating, tagged:
		t.bounded(mode, sum)
		t.require(sum.Stale == 0, "%s: %d stale reads", mode, sum.Stale)
		t.requireQuiet(sum.Gets >= h.gets, "%s: %d gets, wants %d", mode, sum.Gets, h.gets)
		t.requireQuiet(sum.Writes > 0, "%s: no write succeeded", mode)
		t.requireQuiet(evicted >= h.evicted, "%s: %d evictions, wants %d", mode, evicted, h.evicted)
	}
}

// tolerated is the part of a mode's calls that may fail: the machine may stall
// for longer than a command's budget now and then, which is reported, and which
// is no reason to look at the rest.
const tolerated = 0.001

// failures shows the first error of a mode, and misses if there were too many.
func (t *table) failures(mode string, sum *report) {
	if sum.Failed == 0 {
		return
	}
	t.note("%s: %d calls failed, the first with: %s", mode, sum.Failed, sum.Failure)
	if mode == ours || mode == updating || mode == tagged {
		all := float64(sum.Gets + sum.Writes + sum.Failed)
		t.requireQuiet(float64(sum.Failed) <= tolerated*all, "%s: %d of %.0f calls failed", mode, sum.Failed, all)
	}
}

// loadsPerCall is how often a call of the library calls its loader at most: once in each
// of its rounds.
const loadsPerCall = 3

// bounded shows how many loads a call of the library made, and misses if they were more
// than it may make.
func (t *table) bounded(mode string, sum *report) {
	t.note("%s: at most %d loads a call", mode, sum.MostLoads)
	t.require(sum.MostLoads <= loadsPerCall, "%s: a call made %d loads, and may make %d", mode, sum.MostLoads, loadsPerCall)
}

// once runs a fleet for a single round.
func once(ctx context.Context, p plan, workers int, o order) (report, error) {
	sums, err := rounds(ctx, p, workers, []order{o})
	if err != nil {
		return report{}, err
	}
	return sums[0], nil
}

// rounds runs a fleet and returns the sum of each round.
func rounds(ctx context.Context, p plan, workers int, orders []order) (sums []report, err error) {
	f, err := launch(ctx, p, workers)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := f.close(); err == nil {
			err = closed
		}
	}()
	for _, o := range orders {
		sum, err := f.round(o)
		if err != nil {
			return sums, err
		}
		sums = append(sums, sum)
	}
	return sums, nil
}
