package outage_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// offer makes calls at a steady rate, whether or not earlier ones have returned, and
// returns when all have.
func offer(t *testing.T, perSecond int, length time.Duration, call func() error) *asked {
	t.Helper()
	a := &asked{fails: map[error]int{}}
	var all sync.WaitGroup
	began := time.Now()
	for i := range perSecond * int(length/time.Millisecond) / 1000 {
		_ = testkit.Pace(t.Context(), time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(perSecond))))
		all.Go(func() {
			begin := time.Now()
			err := call()
			took := time.Since(begin)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.took = append(a.took, took)
			if err != nil {
				a.fails[err]++
			}
		})
	}
	all.Wait()
	slices.Sort(a.took)
	return a
}

// Scenario 24, the short form; `make chaos` has the long one. Redis freezes under a
// thousand calls a second, nearly all of them hits, which from then on are loads. They
// fit the load limit, so no caller sees an error, and none waits longer than for the
// look-up that found out and the load.
func TestRedisFrozen(t *testing.T) {
	const load, limit, rate, keys = 10 * time.Millisecond, 64, 1000, 200
	testkit.InTime(t, func() []testkit.Figure {
		server := redistest.Single(t)
		c := testkit.NewBudgeted[int](t, testkit.TunedClient(t, server), cache.WithLoadLimit(limit))
		var g gauge
		call := func() error {
			_, err := c.GetOrLoad(t.Context(), strconv.Itoa(rand.IntN(keys)), g.load(load))
			return err
		}
		for key := range keys {
			_, err := c.GetOrLoad(t.Context(), strconv.Itoa(key), testkit.Value(7))
			require.NoError(t, err)
		}
		before := runtime.NumGoroutine()
		healthy := offer(t, rate, time.Second, call)
		loads := g.loads.Load()

		server.Pause()
		got := offer(t, rate, time.Duration(testkit.Span(3000, 2000))*time.Millisecond, call)
		server.Resume()
		t.Logf("hits: p99 %v, %d loads; frozen: %d calls, median %v, p99 %v, most %v, failed %v, %d loads, at most %d of %d at once",
			healthy.quantile(.99), loads, len(got.took), got.quantile(.5), got.quantile(.99), got.quantile(1), got.fails,
			g.loads.Load()-loads, g.peak.Load(), limit)
		assert.LessOrEqual(t, g.peak.Load(), int64(limit))
		assert.Greater(t, g.loads.Load()-loads, int64(rate), "the calls load, else the run shows nothing")
		testkit.Eventually(t, func() bool { _, err := c.Get(t.Context(), "0"); return err == nil }, "hits again")
		end := time.Now().Add(testkit.Forever)
		for runtime.NumGoroutine() > before && time.Now().Before(end) {
			require.NoError(t, testkit.Pace(t.Context(), 5*time.Millisecond))
		}
		assert.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines, with what they were before")
		refused := time.Duration(0)
		if len(got.fails) > 0 {
			refused = time.Duration(1<<62 - 1) // a machine that stood still; another round
		}
		return []testkit.Figure{
			{What: "p99", Took: got.quantile(.99), Bound: 120*time.Millisecond + load + busy},
			{What: "the median", Took: got.quantile(.5), Bound: readBudget},
			{What: "errors", Took: refused, Bound: 1},
		}
	})
}
