package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
	"github.com/larder-go/cache/internal/redistest"
)

// writeBehind: what an acknowledged write costs, and how fast the sink is fed.
var writeBehind = scenario{
	name:  "writebehind",
	about: "A put under WriteBehind, one goroutine, 1 KiB, distinct keys, beside a raw SET of the same value under the same appendonly setting; and how fast workers bring dirty keys to a sink that does nothing. No peer has write-behind.",
	run:   runWriteBehind,
	job:   writeBehindJob,
}

const (
	rowPut, rowPutSame, rowSet = "larder put", "larder put json", "SET"
	rowDrain                   = "larder drain"
	drained                    = "keys/s"
)

func runWriteBehind(b *bench) error {
	rows := []peers.Row{
		{Name: rowSet, About: "SET + encoding/json", Kind: peers.Floor},
		{Name: rowPutSame, About: "encoding/json, workers elsewhere", Kind: peers.Ours},
		{Name: rowPut, About: "default codec, workers elsewhere", Kind: peers.Ours},
	}
	for _, disk := range []struct {
		name string
		opts []redistest.Option
	}{{"appendonly off", nil}, {"appendonly everysec", []redistest.Option{redistest.AppendOnly("everysec")}}} {
		server, err := b.server(append(disk.opts, redistest.MaxMemory(0, "noeviction"))...)
		if err != nil {
			return err
		}
		puts := report.NewTable("put, "+disk.name, rowSet,
			report.Column{Metric: runner.P50, Digits: 1, Ratio: true}, report.Column{Metric: tookMean, Digits: 1, Ratio: true}, report.Column{Metric: runner.CPU, Digits: 1}, report.Column{Metric: runner.ServerCPU, Digits: 1}, report.Column{Metric: runner.Allocs})
		err = runner.Interleave(b.count(7), len(rows), func(round, i int) error {
			s, audit, err := b.emptied(server, runner.Spec{Row: rows[i].Name, Goroutines: 1, Count: b.some(10_000), Size: work.Nested, Round: round})
			puts.Add(rows[i], s, audit)
			return err
		})
		if err != nil {
			return err
		}
		b.add(puts, rows)
		if err := b.drain(server, disk.name); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) drain(server *runner.Server, disk string) error {
	row := peers.Row{Name: rowDrain, About: "4 workers of one process, batches of 256", Kind: peers.Ours}
	t := report.NewTable("drain, "+disk, "", report.Column{Metric: drained}, report.Column{Metric: runner.CPU, Digits: 1}, report.Column{Metric: runner.ServerCPU, Digits: 1})
	for round := range b.count(3) {
		s, audit, err := b.emptied(server, runner.Spec{Row: row.Name, Goroutines: 4, Count: b.some(50_000), Size: work.Nested, Round: round})
		if err != nil {
			return err
		}
		t.Add(row, s, audit)
	}
	b.add(t, nil)
	return nil
}

func writeBehindJob(c *runner.Child) (runner.Sample, error) {
	rdb := redis.NewClient(&redis.Options{Addr: c.Spec.Addr, ContextTimeoutEnabled: true})
	c.Cleanup(func() { _ = rdb.Close() })
	if c.Spec.Row == rowDrain {
		return drainJob(c, rdb)
	}
	put, err := putter(c, rdb)
	if err != nil {
		return nil, err
	}
	const warm = 200
	keys := work.Keys(c.Spec.Count + warm)
	doc := work.New(1, c.Spec.Size)
	each := func(keys []string) func(int) func() error {
		return func(int) func() error {
			n := -1
			return func() error {
				n++
				return put(keys[n], doc)
			}
		}
	}
	if _, _, err := countedLoop(warm, each(keys[:warm])(0)); err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	ops, times, err := countedLoop(c.Spec.Count, each(keys[warm:])(0))
	s := withTimes(c.Stop(ops), times)
	s[tookMean] = s[runner.PerOp] / 1e3
	return s, err
}

// putter is the row's write.
func putter(c *runner.Child, rdb *redis.Client) (func(key string, d work.Doc) error, error) {
	ctx := context.Background()
	if c.Spec.Row == rowSet {
		return func(key string, d work.Doc) error {
			data, err := json.Marshal(d)
			if err != nil {
				return err
			}
			return rdb.Set(ctx, key, data, 0).Err()
		}, nil
	}
	var opts []cache.Option
	if c.Spec.Row == rowPutSame {
		opts = append(opts, cache.WithCodec(peers.StdJSON{}))
	}
	b, err := behind(c, rdb, -1, opts...)
	if err != nil {
		return nil, err
	}
	return func(key string, d work.Doc) error { return b.Set(ctx, key, d) }, nil
}

// behind opens a write-behind cache over a sink that does nothing.
func behind(c *runner.Child, rdb *redis.Client, workers int, opts ...cache.Option) (*cache.Cache[work.Doc], error) {
	sink := func(context.Context, []cache.Mutation[work.Doc]) error { return nil }
	b, err := cache.New(rdb, "bench", cache.WriteBehind(sink, cache.WriteBehindOptions{
		Workers: workers, AcceptVolatile: "a benchmark: nothing is worth keeping",
	}), opts...)
	if err == nil {
		c.Cleanup(func() { _ = b.Close() }) // dirty keys are left: they were not to be flushed
	}
	return b, err
}

// drainJob makes keys dirty, then has workers flush them.
func drainJob(c *runner.Child, rdb *redis.Client) (runner.Sample, error) {
	puts, err := behind(c, rdb, -1)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	docs := map[string]work.Doc{}
	doc := work.New(1, c.Spec.Size)
	for _, key := range work.Keys(c.Spec.Count) {
		docs[key] = doc
		if len(docs) == 1000 {
			if err := puts.SetMany(ctx, docs); err != nil {
				return nil, err
			}
			clear(docs)
		}
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	began := time.Now()
	workers, err := behind(c, rdb, c.Spec.Goroutines)
	if err != nil {
		return nil, err
	}
	if err := workers.Flush(ctx); err != nil {
		return nil, fmt.Errorf("flush: %w", err)
	}
	took := time.Since(began)
	s := c.Stop(int64(c.Spec.Count))
	s[drained] = float64(c.Spec.Count) / took.Seconds()
	return s, nil
}
