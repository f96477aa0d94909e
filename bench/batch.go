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
	"github.com/larder-go/cache/internal/redistest"
)

// batch: several keys in one call.
var batch = scenario{
	name:  "batch",
	about: "100 keys in one call, 50 of them in Redis, an instant batch loader. The floor is two pipelines: GETs, and SETs of what was not there. Exchanges are counted in a run of their own, through a proxy.",
	run:   runBatch,
	job:   batchJob,
}

var batchRows = []string{peers.FloorRow, peers.SameCodec, peers.Default, "sturdyc"}

const (
	batchSize   = 100
	counting    = "counting"
	exchanges   = "exchanges"
	loaderCalls = "loader calls"
)

func runBatch(b *bench) error {
	rows := b.chosen(peers.Named(batchRows...))
	server, err := b.server()
	if err != nil {
		return err
	}
	proxy, err := redistest.ListenProxy(server.Addr())
	if err != nil {
		return err
	}
	defer proxy.Close()
	for _, callers := range []int{1, 16} {
		t := report.NewTable(batchTitle(callers), peers.FloorRow,
			report.Column{Metric: tookP50, Ratio: true}, report.Column{Metric: tookMean, Ratio: true}, report.Column{Metric: exchanges, Digits: 1},
			report.Column{Metric: loaderCalls, Digits: 2}, report.Column{Metric: runner.CPU}, report.Column{Metric: runner.Allocs}, report.Column{Metric: runner.Bytes})
		err = runner.Interleave(b.count(9), len(rows), func(round, i int) error {
			spec := runner.Spec{Row: rows[i].Name, Goroutines: callers, Size: work.Nested, Round: round, Count: b.some(400)}
			trips, err := b.exchanges(server, proxy, spec)
			if err != nil {
				return err
			}
			s, audit, err := b.emptied(server, spec)
			s[exchanges] = trips
			t.Add(rows[i], s, audit)
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
	}
	b.note("go-redis/cache and gocache have no such call. sturdyc's storage here is one MGET and one pipeline of SETs, which it does not wait for; its memory is empty at each call.")
	b.noteMissing()
	return nil
}

func batchTitle(callers int) string { return "100 keys, half of them hits, " + title(callers) }

// emptied measures on a Redis without keys.
func (b *bench) emptied(server *runner.Server, spec runner.Spec) (runner.Sample, runner.Audit, error) {
	if err := server.Admin.FlushAll(context.Background()).Err(); err != nil {
		return nil, runner.Audit{}, err
	}
	return b.measure(server, spec)
}

// exchanges counts those of a few calls.
func (b *bench) exchanges(server *runner.Server, proxy *redistest.Proxy, spec runner.Spec) (float64, error) {
	spec.Addr, spec.Count, spec.Goroutines, spec.Mode, spec.CPUProfile = proxy.Addr(), 20, 1, counting, ""
	if err := server.Admin.FlushAll(context.Background()).Err(); err != nil {
		return 0, err
	}
	samples, _, err := b.measureAll(server, 1, spec, func(time.Time) error {
		proxy.Reset()
		return nil
	})
	if err != nil {
		return 0, err
	}
	_ = samples // only what the proxy saw counts
	return float64(proxy.Exchanges()) / float64(spec.Count), nil
}

// batchJob stores one half of the keys first.
func batchJob(c *runner.Child) (runner.Sample, error) {
	var calls atomic.Int64
	source := work.Instant(c.Spec.Size)
	p, err := open(c, peers.Env{Load: source, LoadMany: func(ctx context.Context, keys []string) (map[string]work.Doc, error) {
		calls.Add(1)
		loaded := make(map[string]work.Doc, len(keys))
		for _, key := range keys {
			loaded[key], _ = source(ctx, key) // it has no errors
		}
		return loaded, nil
	}})
	if err != nil {
		return nil, err
	}
	warm := c.Spec.Goroutines
	keys := work.Keys(batchSize * (warm + c.Spec.Count))
	if err := storeHalf(c.Spec, keys); err != nil {
		return nil, err
	}
	many, ok := p.(peers.Many)
	if !ok {
		return nil, fmt.Errorf("%s has no batches", c.Spec.Row)
	}
	if _, _, err := batchAll(c.Spec, many, keys[:batchSize*warm]); err != nil { // the pool
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	before := calls.Load()
	n, times, err := batchAll(c.Spec, many, keys[batchSize*warm:])
	s := c.Stop(n)
	s[tookP50], s[tookMean] = micros(times.Quantile(0.5)), s[runner.PerOp]/1e3*float64(c.Spec.Goroutines)
	s[loaderCalls] = float64(calls.Load()-before) / float64(max(n, 1))
	return s, err
}

// batchAll has the callers get all keys, a batch a call.
func batchAll(spec runner.Spec, many peers.Many, keys []string) (int64, *stat.Histogram, error) {
	var next atomic.Int64
	return sharedLoop(spec.Goroutines, func(int) func() (bool, error) {
		return func() (bool, error) {
			n := int(next.Add(1)) - 1
			if n*batchSize >= len(keys) {
				return false, nil
			}
			return true, getBatch(many, keys[n*batchSize:(n+1)*batchSize])
		}
	})
}

// storeHalf puts every second key into Redis, through another instance of the row,
// so that nothing stays in the memory of the measured one.
func storeHalf(spec runner.Spec, keys []string) error {
	row, err := peers.Find(spec.Row)
	if err != nil {
		return err
	}
	p, err := row.Open(peers.Env{Addr: spec.Addr, Load: work.Instant(spec.Size)})
	if err != nil {
		return err
	}
	var half []string
	for i := 0; i < len(keys); i += 2 {
		half = append(half, keys[i])
	}
	if err := getAll(p, half); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // for rows that store in the background
	return p.Close()
}

func getBatch(many peers.Many, keys []string) error {
	found, err := many.GetMany(context.Background(), keys)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if d, ok := found[key]; !ok || d.ID != work.ID(key) {
			return fmt.Errorf("%s: got the document of %d", key, d.ID)
		}
	}
	return nil
}
