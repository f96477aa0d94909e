package outage_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

const (
	readBudget = 100 * time.Millisecond // of a look-up
	busy       = 250 * time.Millisecond // what a machine with other work may add
)

// gauge measures how many loads run at once, and how long each takes.
type gauge struct{ running, peak, loads atomic.Int64 }

func (g *gauge) load(took time.Duration) cache.Loader[int] {
	return func(ctx context.Context, _ string) (int, error) {
		g.loads.Add(1)
		testkit.Raise(&g.peak, g.running.Add(1))
		defer g.running.Add(-1)
		return 7, testkit.Pace(ctx, took)
	}
}

// asked is how long calls took, and how they ended.
type asked struct {
	mu    sync.Mutex
	took  []time.Duration
	fails map[error]int
}

// ask calls f n times in each of several callers at once.
func ask(callers, n int, f func(caller, i int) error) *asked {
	a := &asked{fails: map[error]int{}}
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range n {
				began := time.Now()
				err := f(caller, i)
				took := time.Since(began)
				a.mu.Lock()
				a.took = append(a.took, took)
				if err != nil {
					a.fails[err]++
				}
				a.mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(a.took)
	return a
}

func (a *asked) quantile(q float64) time.Duration {
	return a.took[int(q*float64(len(a.took)-1))].Round(100 * time.Microsecond)
}

// While Redis is down GetOrLoad answers from the loader, without an error, within
// the budget of its look-up and the time of the load. Get says that Redis failed.
func TestReadsWhileRedisIsDown(t *testing.T) {
	const load, limit = 20 * time.Millisecond, 8
	for _, way := range testkit.Downs {
		round := func(t *testing.T) []testkit.Figure {
			server := redistest.Single(t)
			c := testkit.NewBudgeted[int](t, testkit.TunedClient(t, server), cache.WithLoadLimit(limit))
			var g gauge
			_, err := c.GetOrLoad(t.Context(), "0", g.load(load))
			require.NoError(t, err, "a connection is open and an entry is there")
			way.Down(server)

			got := ask(limit, testkit.Span(30, 8), func(caller, _ int) error {
				v, err := c.GetOrLoad(t.Context(), strconv.Itoa(caller), g.load(load))
				if err == nil {
					assert.Equal(t, 7, v)
				}
				return err
			})
			looked := ask(4, 4, func(int, int) error {
				_, err := c.Get(t.Context(), "0")
				var opErr *cache.OpError
				assert.ErrorAs(t, err, &opErr)
				return nil
			})
			t.Logf("GetOrLoad with a load of %v: median %v, p99 %v, most %v, failed %v; at most %d of %d loads at once; Get: most %v",
				load, got.quantile(.5), got.quantile(.99), got.quantile(1), got.fails, g.peak.Load(), limit, looked.quantile(1))
			assert.Empty(t, got.fails)
			assert.LessOrEqual(t, g.peak.Load(), int64(limit))
			way.Back(server)
			testkit.Eventually(t, func() bool { _, err := c.Get(t.Context(), "0"); return err == nil || errors.Is(err, cache.ErrMiss) }, "look-ups to succeed again")
			return []testkit.Figure{
				{What: "the median GetOrLoad", Took: got.quantile(.5), Bound: readBudget + load + busy/5},
				{What: "the slowest GetOrLoad", Took: got.quantile(1), Bound: readBudget + load + busy},
				{What: "the slowest Get", Took: looked.quantile(1), Bound: readBudget + busy},
			}
		}
		t.Run(way.Name, func(t *testing.T) { testkit.InTime(t, func() []testkit.Figure { return round(t) }) })
	}
}

// More callers than the limit allows loads: those that find no place within 50 ms
// are refused.
func TestLoadsWhileRedisIsDownAreLimited(t *testing.T) {
	const load, limit, callers = 500 * time.Millisecond, 4, 40
	for _, way := range testkit.Downs {
		round := func(t *testing.T) []testkit.Figure {
			server := redistest.Single(t)
			c := testkit.NewBudgeted[int](t, testkit.TunedClient(t, server), cache.WithLoadLimit(limit))
			_, err := c.GetOrLoad(t.Context(), "0", testkit.Value(7))
			require.NoError(t, err)
			way.Down(server)

			var g gauge
			var refusals atomic.Int64 // the slowest, in nanoseconds
			got := ask(callers, 1, func(caller, _ int) error {
				began := time.Now()
				_, err := c.GetOrLoad(t.Context(), "key "+strconv.Itoa(caller), g.load(load))
				if err != nil {
					testkit.Raise(&refusals, int64(time.Since(began)))
				}
				return err
			})
			t.Logf("%d callers, limit %d: at most %d loads at once, %d in all; refused %d, the slowest after %v",
				callers, limit, g.peak.Load(), g.loads.Load(), got.fails[cache.ErrOverloaded], time.Duration(refusals.Load()).Round(time.Millisecond))
			assert.EqualValues(t, limit, g.peak.Load())
			assert.Equal(t, int(callers-g.loads.Load()), got.fails[cache.ErrOverloaded])
			assert.Len(t, got.fails, 1, "ErrOverloaded and nothing else: %v", got.fails)
			way.Back(server)
			return []testkit.Figure{{What: "the slowest refusal", Took: time.Duration(refusals.Load()), Bound: readBudget + 50*time.Millisecond + busy}}
		}
		t.Run(way.Name, func(t *testing.T) { testkit.InTime(t, func() []testkit.Figure { return round(t) }) })
	}
}

// What a naive cache does when Redis is frozen: its callers wait for as long as
// they may, and then all of them load.
func TestRedisDownControl(t *testing.T) {
	const patience, callers = 500 * time.Millisecond, 40
	server := redistest.Single(t)
	rdb := server.Client(t)
	require.NoError(t, rdb.Ping(t.Context()).Err())
	server.Pause()
	var g gauge
	got := ask(callers, 1, func(int, int) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if rdb.Get(ctx, "k").Err() != nil {
			_, err := g.load(100*time.Millisecond)(t.Context(), "k")
			return err
		}
		return nil
	})
	t.Logf("naive control: median %v, at most %d loads at once", got.quantile(.5), g.peak.Load())
	assert.Greater(t, got.quantile(.5), readBudget+busy, "the control must wait, else the test is blind")
	assert.Greater(t, g.peak.Load(), int64(8), "the control must load without limit, else the test is blind")
}

// Scenario 25, first half. Invalidations that Redis did not take are reported,
// queued, and land soon after it is back. Until then this process is never served
// what it invalidated, although Redis still has it.
func TestInvalidationsWhileRedisIsDown(t *testing.T) {
	const keys = 20
	for _, way := range testkit.Downs {
		round := func(t *testing.T) []testkit.Figure {
			server := redistest.Single(t)
			c := testkit.NewBudgeted[int](t, testkit.TunedClient(t, server))
			ctx := t.Context()
			all := make([]string, keys)
			for i := range all {
				all[i] = strconv.Itoa(i)
				_, err := c.GetOrLoad(ctx, all[i], testkit.Value(0))
				require.NoError(t, err)
			}
			way.Down(server)
			began := time.Now()
			err := c.Invalidate(ctx, all[:keys/2]...)
			took := time.Since(began)
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr)
			require.ErrorIs(t, err, cache.ErrPending)
			var updates sync.WaitGroup
			for _, key := range all[keys/2:] {
				updates.Go(func() {
					assert.ErrorIs(t, c.Update(ctx, key, func(context.Context) error { return nil }), cache.ErrPending)
				})
			}
			updates.Wait()
			require.EqualValues(t, keys, c.Stats().Pending)

			way.Back(server)
			back := time.Now()
			stale, gets := 0, 0
			for c.Stats().Pending > 0 && time.Since(back) < testkit.Forever {
				got, err := c.GetOrLoad(ctx, all[gets%keys], testkit.Value(1))
				require.NoError(t, err)
				if gets++; got < 1 {
					stale++
				}
			}
			drained := time.Since(back)
			for _, key := range all {
				got, err := c.GetOrLoad(ctx, key, testkit.Value(1))
				require.NoError(t, err)
				if gets++; got < 1 {
					stale++
				}
			}
			t.Logf("Invalidate returned after %v; %d pending, drained %v after Redis was back; own reads: %d stale of %d",
				took.Round(time.Millisecond), keys, drained.Round(time.Millisecond), stale, gets)
			assert.Zero(t, stale)
			return []testkit.Figure{
				{What: "Invalidate", Took: took, Bound: 150*time.Millisecond + busy},
				{What: "the drain", Took: drained, Bound: 2 * time.Second},
			}
		}
		t.Run(way.Name, func(t *testing.T) { testkit.InTime(t, func() []testkit.Figure { return round(t) }) })
	}
}
