package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
)

// stampede: a thousand callers of one cold key.
var stampede = scenario{
	name:  "stampede",
	about: "A cold key, 1,000 callers at once, a loader of 50 ms: loads, and the time from the first call to the last return as a multiple of the loader's. Pools are warm. The worst round is the upper end of the spread.",
	run:   runStampede,
	job:   stampedeJob,
}

var stampedeRows = []string{peers.Default, peers.NoLock, peers.FloorRow, "go-redis/cache", "gocache", "sturdyc", "rueidis"}

const (
	slowLoad  = 50 * time.Millisecond
	overLoad  = "× loader"
	firstCall = "first call"  // unix µs
	lastBack  = "last return" // unix µs
)

func runStampede(b *bench) error {
	rows := b.chosen(peers.Named(stampedeRows...))
	server, err := b.server()
	if err != nil {
		return err
	}
	for _, herd := range []struct{ processes, callers int }{{1, 1000}, {4, 250}} {
		t := report.NewTable(herdTitle(herd.processes, herd.callers), "", report.Column{Metric: runner.Loads}, report.Column{Metric: overLoad, Digits: 2}, report.Column{Metric: runner.Failures})
		err := runner.Interleave(b.count(20), len(rows), func(round, i int) error {
			if err := server.Admin.FlushAll(context.Background()).Err(); err != nil {
				return err
			}
			spec := runner.Spec{Row: rows[i].Name, Goroutines: herd.callers, Size: work.Nested, Round: round}
			samples, audit, err := b.measureAll(server, herd.processes, spec, nil)
			if err == nil {
				t.Add(rows[i], herdOf(samples), audit)
			}
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
	}
	b.noteMissing()
	return nil
}

func herdTitle(processes, callers int) string {
	if processes == 1 {
		return fmt.Sprintf("1 process × %d callers", callers)
	}
	return fmt.Sprintf("%d processes × %d callers", processes, callers)
}

// herdOf makes one sample of those of the processes.
func herdOf(samples []runner.Sample) runner.Sample {
	all := runner.Sample{}
	if len(samples) == 0 {
		return all
	}
	first, last := samples[0][firstCall], samples[0][lastBack]
	for _, s := range samples {
		all[runner.Ops] += s[runner.Ops]
		all[runner.Loads] += s[runner.Loads]
		all[runner.Failures] += s[runner.Failures]
		first, last = min(first, s[firstCall]), max(last, s[lastBack])
	}
	all[overLoad] = (last - first) / micros(slowLoad)
	return all
}

// stampedeJob warms the pool by as many callers of keys of their own, then lets all
// of them ask for one key.
func stampedeJob(c *runner.Child) (runner.Sample, error) {
	var loads atomic.Int64
	var slow atomic.Bool
	source := work.Instant(c.Spec.Size)
	p, err := open(c, peers.Env{Load: func(ctx context.Context, key string) (work.Doc, error) {
		if slow.Load() {
			loads.Add(1)
			time.Sleep(slowLoad)
		}
		return source(ctx, key)
	}})
	if err != nil {
		return nil, err
	}
	own := func(caller int) string { return work.Key(1000*(c.Spec.Process+1) + caller) }
	for range 2 { // the second time from the pool; who is refused was to warm it only
		herd(p, c.Spec.Goroutines, own)
	}
	slow.Store(true)
	if err := c.Ready(); err != nil {
		return nil, err
	}
	first, last, failed := herd(p, c.Spec.Goroutines, func(int) string { return work.Key(0) })
	s := c.Stop(int64(c.Spec.Goroutines))
	s[runner.Loads] = float64(loads.Load())
	s[runner.Failures] = float64(failed)
	s[firstCall], s[lastBack] = float64(first.UnixMicro()), float64(last.UnixMicro())
	return s, nil
}

// herd lets callers go at once and returns when the first called and the last was
// back, and how many got an error or something else than they asked for.
func herd(p peers.Peer, callers int, key func(caller int) string) (first, last time.Time, failed int) {
	var all sync.WaitGroup
	var mu sync.Mutex
	gate := make(chan struct{})
	for caller := range callers {
		key := key(caller)
		all.Go(func() {
			<-gate
			var doc work.Doc
			got := p.Get(context.Background(), key, &doc)
			back := time.Now()
			mu.Lock()
			defer mu.Unlock()
			if back.After(last) {
				last = back
			}
			if got != nil || doc.ID != work.ID(key) {
				failed++
			}
		})
	}
	first = time.Now()
	close(gate)
	all.Wait()
	return first, last, failed
}
