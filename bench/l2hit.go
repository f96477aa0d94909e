package main

import (
	"fmt"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
)

const (
	l2hitName   = "l2hit"
	loadedShare = "loaded %" // of gets that were to be hits
	hitKeys     = 10_000
)

// l2hit: hits in Redis.
var l2hit = scenario{
	name:  l2hitName,
	about: "A hit in Redis: 1 KiB of JSON, 10,000 keys taken uniformly, warm pools, no L1, no telemetry, a closed loop of callers.",
	run:   runL2Hit,
	job:   hitJob,
}

var l2Rows = []string{
	peers.FloorRow, peers.SameCodec, peers.Default, "go-redis sonic", "AutoPipeline",
	"go-redis/cache", "go-redis/cache json", "gocache", "rueidis",
}

// hitColumns are those of all tables of hits in Redis.
var hitColumns = []report.Column{
	{Metric: runner.Rate, Ratio: true},
	{Metric: runner.P50, Digits: 0},
	{Metric: runner.P99, Digits: 0},
	{Metric: runner.CPU, Digits: 1, Ratio: true},
	{Metric: runner.ServerCPU, Digits: 1},
	{Metric: runner.Allocs, Digits: 1},
	{Metric: runner.Bytes},
	{Metric: loadedShare, Digits: 2},
}

func runL2Hit(b *bench) error {
	rows := b.chosen(peers.Named(l2Rows...))
	servers, err := b.fillRows(rows, b.some(hitKeys), work.Nested)
	if err != nil {
		return err
	}
	for _, callers := range []int{1, 16, 256, 1024} {
		t := report.NewTable(title(callers), peers.FloorRow, hitColumns...)
		err := runner.Interleave(b.count(15), len(rows), func(round, i int) error {
			row := rows[i]
			spec := runner.Spec{Row: row.Name, Goroutines: callers, Keys: b.some(hitKeys), Size: work.Nested, Round: round, For: b.length(300 * time.Millisecond)}
			s, audit, err := b.measure(servers[row.Name], spec)
			t.Add(row, s, audit)
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
	}
	b.note("“loaded” are gets of keys that are in Redis which called the loader all the same: our reads give way after 100 ms. They do not count as operations.")
	b.note("sturdyc has no row: its memory cannot be switched off.")
	b.noteMissing()
	return nil
}

// title is the title of the table of so many callers.
func title(callers int) string {
	if callers == 1 {
		return "1 goroutine"
	}
	return fmt.Sprintf("%d goroutines", callers)
}

// hitJob warms the row up with the same load, and measures.
func hitJob(c *runner.Child) (runner.Sample, error) {
	loads := newSource(c.Spec.Size)
	p, err := open(c, peers.Env{Load: loads.get})
	if err != nil {
		return nil, err
	}
	return measureHits(c, p, loads)
}

const warmUp = 200 * time.Millisecond

func measureHits(c *runner.Child, p peers.Peer, loads *source) (runner.Sample, error) {
	keys := work.Keys(c.Spec.Keys)
	each := func(caller int) func() error { return getter(p, keys, uint64(caller)) } //nolint:gosec // a seed
	if _, _, err := closedLoop(c.Spec.Goroutines, warmUp, each); err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	before := loads.loads.Load()
	ops, times, err := closedLoop(c.Spec.Goroutines, c.Spec.For, each)
	s := withTimes(c.Stop(ops), times)
	loaded := float64(loads.loads.Load() - before)
	s[loadedShare] = 100 * loaded / float64(max(ops, 1))
	s[runner.Rate] *= 1 - s[loadedShare]/100 // what was loaded is no hit
	return s, err
}
