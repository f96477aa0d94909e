package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
)

// l1hit: hits in the process.
var l1hit = scenario{
	name:  "l1hit",
	about: "A hit in memory: the same documents and keys, all of them in the process. The floor is otter's GetIfPresent, set up as its README does. Rows over Redis that decode each hit again say so.",
	run:   runL1Hit,
	job:   l1HitJob,
}

var l1Rows = []string{
	peers.OtterRow, peers.NearRow, peers.NearPointerRow, "ristretto", "sturdyc", "go-redis/cache L1", "rueidis CSC", "go-redis CSC",
}

func runL1Hit(b *bench) error {
	rows := b.chosen(peers.Named(l1Rows...))
	server, err := b.server()
	if err != nil {
		return err
	}
	for _, callers := range []int{1, 16} {
		t := report.NewTable(title(callers), peers.OtterRow,
			report.Column{Metric: runner.PerOp, Digits: 1, Ratio: true}, report.Column{Metric: runner.CPU, Digits: 3}, report.Column{Metric: runner.Allocs, Digits: 2}, report.Column{Metric: runner.Bytes})
		err := runner.Interleave(b.count(9), len(rows), func(round, i int) error {
			if err := server.Admin.FlushAll(context.Background()).Err(); err != nil {
				return err
			}
			spec := runner.Spec{Row: rows[i].Name, Goroutines: callers, Keys: b.some(hitKeys), Size: work.Nested, Round: round, For: b.length(500 * time.Millisecond)}
			s, audit, err := b.measure(server, spec)
			t.Add(rows[i], s, audit)
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

const hitBatch = 512 // hits between looks at the clock

// l1HitJob fills the memory, and measures batches of hits: a look at the clock for
// each would cost as much as the hit.
func l1HitJob(c *runner.Child) (runner.Sample, error) {
	source := newSource(c.Spec.Size)
	loads := &source.loads
	p, err := open(c, peers.Env{Fresh: 10 * time.Hour, Load: source.get})
	if err != nil {
		return nil, err
	}
	keys := work.Keys(c.Spec.Keys)
	if err := inMemory(p, keys, loads); err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	before := loads.Load()
	ops, err := batches(p, keys, c.Spec)
	s := c.Stop(ops)
	if n := loads.Load() - before; n > 0 {
		return nil, fmt.Errorf("%d of %d hits were loads", n, ops)
	}
	return s, err
}

// inMemory gets all keys until nothing is loaded any more: the first time loads
// them, the second may take them from Redis into memory, and what is stored in the
// background needs a moment.
func inMemory(p peers.Peer, keys []string, loads *atomic.Int64) error {
	const passes = 6
	for range passes {
		before := loads.Load()
		if err := getAll(p, keys); err != nil {
			return err
		}
		if loads.Load() == before {
			return getAll(p, keys)
		}
		time.Sleep(20 * time.Millisecond) // for what stores in the background
	}
	return fmt.Errorf("not in memory after %d passes", passes)
}

func batches(p peers.Peer, keys []string, spec runner.Spec) (int64, error) {
	var all sync.WaitGroup
	var ops atomic.Int64
	failed := make(chan error, spec.Goroutines)
	until := time.Now().Add(spec.For)
	for caller := range spec.Goroutines {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(caller), 1)) //nolint:gosec // a seed
			ctx := context.Background()
			var doc work.Doc
			for time.Now().Before(until) {
				for range hitBatch {
					n := random.IntN(len(keys))
					if err := p.Get(ctx, keys[n], &doc); err != nil || doc.ID != int64(n) {
						failed <- fmt.Errorf("%s: document %d, %w", keys[n], doc.ID, err)
						return
					}
				}
				ops.Add(hitBatch)
			}
		})
	}
	all.Wait()
	close(failed)
	return ops.Load(), <-failed
}
