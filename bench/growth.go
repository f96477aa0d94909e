package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
)

// growth: more and more keys.
var growth = scenario{
	name:  "growth",
	about: "The cost of a hit and the memory of a key while keys become a thousand times more: 1 KiB each, 16 goroutines; -long adds 10,000,000 of 100 B. The floor's rows show what Redis itself adds.",
	run:   runGrowth,
	job:   growthJob,
}

const (
	perKey    = "B/key in Redis"
	perEntry  = "B/entry in memory"
	fillRate  = "filled/s"
	modeFill  = "fill"
	modeHits  = "hits"
	modeEntry = "memory"
)

func runGrowth(b *bench) error {
	rows := peers.Named(peers.FloorRow, peers.Default)
	sizes := []struct{ keys, size int }{{1_000, work.Nested}, {10_000, work.Nested}, {100_000, work.Nested}, {1_000_000, work.Nested}}
	if b.quick {
		sizes = sizes[:2]
	}
	if b.long {
		sizes = append(sizes, struct{ keys, size int }{10_000_000, work.Flat})
	}
	for _, n := range sizes {
		t := report.NewTable(fmt.Sprintf("%d keys of %d B", n.keys, n.size), peers.FloorRow,
			report.Column{Metric: runner.PerOp}, report.Column{Metric: runner.CPU, Digits: 1}, report.Column{Metric: runner.ServerCPU, Digits: 1},
			report.Column{Metric: perKey, Ratio: true}, report.Column{Metric: perEntry}, report.Column{Metric: fillRate})
		for _, row := range rows {
			if err := b.grow(t, row, n.keys, n.size); err != nil {
				return err
			}
		}
		b.add(t, rows)
	}
	b.note("Rows follow one another here, a million keys of both being too much at once: compare the rows of one library, by their CPU.")
	b.note("Redis' figure includes the key and the value; ours has a header of 64 bytes and the load's times with it. The memory of an L1 entry includes the decoded document.")
	b.note("The L1 holds 1 GiB: of 1,000,000 entries of 1 KiB and of 10,000,000 not all fit, and the figure is its memory divided by all of them.")
	return nil
}

// grow fills a Redis of its own, measures hits in some rounds, and the memory.
func (b *bench) grow(t *report.Table, row peers.Row, keys, size int) error {
	server, err := runner.StartServer()
	if err != nil {
		return err
	}
	defer server.Close() //nolint:errcheck // its files are temporary
	b.version = server.Version()
	spec := runner.Spec{Row: row.Name, Keys: keys, Size: size, Goroutines: 16, For: b.length(time.Second)}
	empty := server.Memory()
	spec.Mode = modeFill
	filled, _, err := b.measure(server, spec)
	if err != nil {
		return err
	}
	stored, err := server.Admin.DBSize(context.Background()).Result()
	if err != nil {
		return err
	}
	if stored < int64(keys) {
		return b.failed(spec, fmt.Errorf("%d of %d keys are stored", stored, keys))
	}
	each := runner.Sample{perKey: (server.Memory() - empty) / float64(keys), fillRate: filled[runner.Rate]}
	if row.Kind == peers.Ours {
		spec.Mode = modeEntry
		s, _, err := b.measure(server, spec)
		if err != nil {
			return err
		}
		each[perEntry] = s[perEntry]
	}
	spec.Mode = modeHits
	for round := range b.count(5) {
		spec.Round = round
		s, audit, err := b.measure(server, spec)
		if err != nil {
			return err
		}
		for name, v := range each {
			s[name] = v
		}
		t.Add(row, s, audit)
	}
	return nil
}

func growthJob(c *runner.Child) (runner.Sample, error) {
	if c.Spec.Mode == modeEntry {
		return entryJob(c)
	}
	source := newSource(c.Spec.Size)
	p, err := open(c, peers.Env{Load: source.get, LoadMany: source.getMany})
	if err != nil {
		return nil, err
	}
	if c.Spec.Mode == modeHits {
		return measureHits(c, p, source)
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	if err := inBatches(p, c.Spec.Keys); err != nil {
		return nil, err
	}
	s := c.Stop(int64(c.Spec.Keys))
	return s, inBatches(p, c.Spec.Keys) // what was loaded and not stored, because Redis was slow
}

// entryJob fills an L1 from Redis and looks at the heap.
func entryJob(c *runner.Child) (runner.Sample, error) {
	source := newSource(c.Spec.Size)
	row, err := peers.Find(peers.NearRow)
	if err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	before := heap()
	p, err := row.Open(peers.Env{Addr: c.Spec.Addr, Load: source.get, LoadMany: source.getMany})
	if err != nil {
		return nil, err
	}
	c.Cleanup(func() { _ = p.Close() }) // what was measured is told already
	for range 4 {                       // what is read before the subscription stands is not kept
		if err := inBatches(p, c.Spec.Keys); err != nil {
			return nil, err
		}
		time.Sleep(200 * time.Millisecond)
	}
	s := c.Stop(int64(c.Spec.Keys))
	s[perEntry] = (heap() - before) / float64(c.Spec.Keys)
	runtime.KeepAlive(p)
	return s, nil
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// inBatches gets the first n keys, 200 at a time, by some callers.
func inBatches(p peers.Peer, n int) error {
	many, ok := p.(peers.Many)
	if !ok {
		return fmt.Errorf("%T has no batches", p)
	}
	const each, callers = 200, 4
	var next atomic.Int64
	failed := make(chan error, callers)
	for range callers {
		go func() {
			for {
				from := int(next.Add(each)) - each
				if from >= n {
					failed <- nil
					return
				}
				keys := make([]string, 0, each)
				for i := from; i < min(from+each, n); i++ {
					keys = append(keys, work.Key(i))
				}
				if _, err := many.GetMany(context.Background(), keys); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	var first error
	for range callers {
		if err := <-failed; err != nil {
			first = err
		}
	}
	return first
}

// getMany is the source of several documents.
func (s *source) getMany(ctx context.Context, keys []string) (map[string]work.Doc, error) {
	loaded := make(map[string]work.Doc, len(keys))
	for _, key := range keys {
		d, err := s.get(ctx, key)
		if err != nil {
			return nil, err
		}
		loaded[key] = d
	}
	return loaded, nil
}
