package main

import (
	"context"
	"fmt"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/stat"
	"github.com/larder-go/cache/bench/work"
)

// miss: keys that nobody has asked for before.
var miss = scenario{
	name:  "miss",
	about: "A cold miss: one goroutine, an instant loader, 1 KiB. “took” is until the caller has its value, “loaded” until the loader was done, which is all that a caller would wait for if storing were not awaited. Rows whose storing is not awaited say so.",
	run:   runMiss,
	job:   missJob,
}

var missRows = []string{
	peers.FloorRow, peers.SameCodec, peers.Default, peers.NoLock, "go-redis/cache", "go-redis/cache json", "gocache", "sturdyc", "rueidis",
}

// Names of figures of misses.
const (
	tookP50   = "took p50 µs"
	tookMean  = "took mean µs"
	loadedP50 = "loaded p50 µs"
	missTitle = "cold miss, 1 goroutine"
)

func runMiss(b *bench) error {
	rows := b.chosen(peers.Named(missRows...))
	server, err := b.server()
	if err != nil {
		return err
	}
	t := report.NewTable(missTitle, peers.FloorRow,
		report.Column{Metric: tookP50, Digits: 1, Ratio: true}, report.Column{Metric: tookMean, Digits: 1, Ratio: true},
		report.Column{Metric: loadedP50, Digits: 1}, report.Column{Metric: runner.CPU, Digits: 1}, report.Column{Metric: runner.Allocs})
	count := 4000
	if b.quick {
		count = 400
	}
	err = runner.Interleave(b.count(9), len(rows), func(round, i int) error {
		if err := server.Admin.FlushAll(context.Background()).Err(); err != nil {
			return err
		}
		spec := runner.Spec{Row: rows[i].Name, Goroutines: 1, Count: count, Size: work.Nested, Round: round}
		s, audit, err := b.measure(server, spec)
		t.Add(rows[i], s, audit)
		return err
	})
	if err != nil {
		return err
	}
	b.add(t, rows)
	b.note("gocache and sturdyc store in the background: a caller that comes next may load again, and a failure to store is not seen.")
	b.note("None of the peers here fences its fill: a value read before an invalidation may be stored after it.")
	b.noteMissing()
	return nil
}

// missJob gets Count keys once each, after some others to warm the pool.
func missJob(c *runner.Child) (runner.Sample, error) {
	var loaded time.Time
	source := work.Instant(c.Spec.Size)
	p, err := open(c, peers.Env{Load: func(ctx context.Context, key string) (work.Doc, error) {
		d, err := source(ctx, key)
		loaded = time.Now() // the caller reads it after it got the value
		return d, err
	}})
	if err != nil {
		return nil, err
	}
	const warm = 200
	keys := work.Keys(warm + c.Spec.Count)
	if err := getAllOnce(p, keys[:warm], nil); err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	var took, until stat.Histogram
	err = getAllOnce(p, keys[warm:], func(began time.Time) {
		took.Record(time.Since(began))
		until.Record(loaded.Sub(began))
	})
	s := c.Stop(int64(c.Spec.Count))
	s[tookP50], s[loadedP50] = micros(took.Quantile(0.5)), micros(until.Quantile(0.5))
	s[tookMean] = s[runner.PerOp] / 1e3
	return s, err
}

// getAllOnce gets one key after the other.
func getAllOnce(p peers.Peer, keys []string, each func(began time.Time)) error {
	ctx := context.Background()
	for _, key := range keys {
		var doc work.Doc
		began := time.Now()
		if err := p.Get(ctx, key, &doc); err != nil {
			return err
		}
		if each != nil {
			each(began)
		}
		if doc.ID != work.ID(key) {
			return fmt.Errorf("%s: got the document of %d", key, doc.ID)
		}
	}
	return nil
}
