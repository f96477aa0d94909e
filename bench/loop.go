package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/stat"
	"github.com/larder-go/cache/bench/work"
)

// source is the source of measurements of hits: it counts what is loaded all the
// same, because an entry was not there, or not in time.
type source struct {
	load  work.Loader
	loads atomic.Int64
}

func newSource(size int) *source { return &source{load: work.Instant(size)} }

func (s *source) get(ctx context.Context, key string) (work.Doc, error) {
	s.loads.Add(1)
	return s.load(ctx, key)
}

// getter makes one caller's operation: a get of a key taken at random, and a look
// at the value, so that nobody can do without decoding it.
func getter(p peers.Peer, keys []string, seed uint64) func() error {
	random := rand.New(rand.NewPCG(seed, 1))
	var doc work.Doc
	ctx := context.Background()
	return func() error {
		n := random.IntN(len(keys))
		if err := p.Get(ctx, keys[n], &doc); err != nil {
			return err
		}
		if doc.ID != int64(n) || doc.Name == "" {
			return fmt.Errorf("%s: got the document of %d, %q", keys[n], doc.ID, doc.Name)
		}
		return nil
	}
}

// closedLoop has callers call their operations again and again for d. Each makes
// the operation of one caller. The first error ends all.
func closedLoop(callers int, d time.Duration, each func(caller int) func() error) (int64, *stat.Histogram, error) {
	var over atomic.Bool
	timer := time.AfterFunc(d, func() { over.Store(true) })
	defer timer.Stop()
	return sharedLoop(callers, func(caller int) func() (bool, error) {
		op := each(caller)
		return func() (bool, error) {
			if over.Load() {
				return false, nil
			}
			return true, op()
		}
	})
}

// sharedLoop has each caller call its operation until that did nothing any more. The
// first error ends all.
func sharedLoop(callers int, each func(caller int) func() (did bool, err error)) (int64, *stat.Histogram, error) {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		total stat.Histogram
		first error
		stop  atomic.Bool
	)
	for caller := range callers {
		op := each(caller)
		all.Go(func() {
			var times stat.Histogram
			var err error
			for last := time.Now(); err == nil && !stop.Load(); {
				var did bool
				if did, err = op(); !did {
					break
				}
				now := time.Now()
				times.Record(now.Sub(last))
				last = now
			}
			mu.Lock()
			defer mu.Unlock()
			total.Merge(&times)
			if err != nil {
				stop.Store(true)
				first = err
			}
		})
	}
	all.Wait()
	return int64(total.N), &total, first //nolint:gosec // a count of operations
}

// withTimes adds the quantiles to a sample.
func withTimes(s runner.Sample, h *stat.Histogram) runner.Sample {
	s[runner.P50] = micros(h.Quantile(0.5))
	s[runner.P99] = micros(h.Quantile(0.99))
	return s
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// countedLoop calls op n times.
func countedLoop(n int, op func() error) (int64, *stat.Histogram, error) {
	var times stat.Histogram
	for range n {
		began := time.Now()
		if err := op(); err != nil {
			return int64(times.N), &times, err //nolint:gosec // a count
		}
		times.Record(time.Since(began))
	}
	return int64(n), &times, nil
}
