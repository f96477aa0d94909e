package main

import (
	"context"
	"fmt"
	"sync/atomic"
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
	about: "A cold miss, 1 KiB: each key is asked for once. “took” is until the caller has its value, “loaded” until the loader was done, which is all that a caller would wait for if storing were not awaited. Rows whose storing is not awaited say so. Larder expects the misses, since there is nothing else, and asks for its lease at once: a miss among hits costs it a look-up more. Contexts are those of a program's background, which nobody can cancel, or such that can be cancelled, as those of requests.",
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
)

// missCase is one way to miss.
type missCase struct {
	callers int
	cancels bool          // somebody could cancel the callers' contexts
	loader  time.Duration // what it takes
	count   int           // of misses
}

var missCases = []missCase{
	{callers: 1, count: 4000},
	{callers: 1, count: 4000, cancels: true},
	{callers: 16, count: 16_000},
	{callers: 16, count: 16_000, cancels: true},
	{callers: 1, count: 400, cancels: true, loader: time.Millisecond},
	{callers: 16, count: 6400, cancels: true, loader: time.Millisecond},
}

// missTitle is that of the first case.
const missTitle = "cold miss, 1 goroutine"

func (m missCase) title() string {
	text := "cold miss, " + title(m.callers)
	if m.loader > 0 {
		return text + ", a loader of " + m.loader.String()
	}
	if m.cancels {
		text += ", cancellable contexts"
	}
	return text
}

const (
	cancellable  = "cancellable"
	loaderMicros = "loader µs"
)

func (m missCase) spec(b *bench) runner.Spec {
	spec := runner.Spec{Goroutines: m.callers, Count: b.some(m.count), Size: work.Nested, Extra: map[string]float64{loaderMicros: micros(m.loader)}}
	if m.cancels {
		spec.Mode = cancellable
	}
	return spec
}

func runMiss(b *bench) error {
	rows := b.chosen(peers.Named(missRows...))
	server, err := b.server()
	if err != nil {
		return err
	}
	for _, m := range missCases {
		t := report.NewTable(m.title(), peers.FloorRow,
			report.Column{Metric: tookP50, Digits: 1, Ratio: true}, report.Column{Metric: tookMean, Digits: 1, Ratio: true},
			report.Column{Metric: runner.Rate, Ratio: true}, report.Column{Metric: loadedP50, Digits: 1},
			report.Column{Metric: runner.CPU, Digits: 1}, report.Column{Metric: runner.Allocs}, report.Column{Metric: runner.Bytes})
		err := runner.Interleave(b.count(9), len(rows), func(round, i int) error {
			spec := m.spec(b)
			spec.Row, spec.Round = rows[i].Name, round
			s, audit, err := b.emptied(server, spec)
			t.Add(rows[i], s, audit)
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
	}
	b.note("gocache and sturdyc store in the background: a caller that comes next may load again, and a failure to store is not seen.")
	b.note("None of the peers here fences its fill: a value read before an invalidation may be stored after it.")
	b.noteMissing()
	return nil
}

// missJob gets Count keys once each, after some others to warm the pool.
func missJob(c *runner.Child) (runner.Sample, error) {
	var loaded time.Time // of one caller, which reads it after it got the value
	source, pause := work.Instant(c.Spec.Size), time.Duration(c.Spec.Extra[loaderMicros])*time.Microsecond
	p, err := open(c, peers.Env{Load: func(ctx context.Context, key string) (work.Doc, error) {
		if pause > 0 {
			time.Sleep(pause)
		}
		d, err := source(ctx, key)
		if c.Spec.Goroutines == 1 {
			loaded = time.Now()
		}
		return d, err
	}})
	if err != nil {
		return nil, err
	}
	warm := 200 * c.Spec.Goroutines
	keys := work.Keys(warm + c.Spec.Count)
	if _, _, err := missAll(c.Spec, p, keys[:warm], nil); err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	var until stat.Histogram
	n, took, err := missAll(c.Spec, p, keys[warm:], func(began time.Time) {
		if c.Spec.Goroutines == 1 {
			until.Record(loaded.Sub(began))
		}
	})
	s := c.Stop(n)
	s[tookP50] = micros(took.Quantile(0.5))
	s[tookMean] = s[runner.PerOp] / 1e3 * float64(c.Spec.Goroutines)
	if until.N > 0 {
		s[loadedP50] = micros(until.Quantile(0.5))
	}
	return s, err
}

// missAll has the callers get each of the keys once.
func missAll(spec runner.Spec, p peers.Peer, keys []string, each func(began time.Time)) (int64, *stat.Histogram, error) {
	var next atomic.Int64
	return sharedLoop(spec.Goroutines, func(int) func() (bool, error) {
		ctx, cancel := callerContext(spec)
		return func() (bool, error) {
			n := int(next.Add(1)) - 1
			if n >= len(keys) {
				cancel()
				return false, nil
			}
			began := time.Now()
			var doc work.Doc
			if err := p.Get(ctx, keys[n], &doc); err != nil {
				return false, err
			}
			if each != nil {
				each(began)
			}
			if doc.ID != work.ID(keys[n]) {
				return false, fmt.Errorf("%s: got the document of %d", keys[n], doc.ID)
			}
			return true, nil
		}
	})
}

// callerContext is the context of a caller's calls.
func callerContext(spec runner.Spec) (context.Context, context.CancelFunc) {
	if spec.Mode == cancellable {
		return context.WithCancel(context.Background())
	}
	return context.Background(), func() {}
}
