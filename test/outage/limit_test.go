package outage_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// While the cache refills, loads under a lease keep within the load limit too. What
// is offered fits, so that nobody is refused: 40 loads of 50 ms, four at a time, are
// done within the second that each may wait.
func TestLoadsAreLimitedWhileTheCacheRefills(t *testing.T) {
	const keys, limit, load = 40, 4, 50 * time.Millisecond
	tests := []struct {
		name  string
		empty func(t *testing.T, server *redistest.Server, c *cache.Cache[int], all []string)
	}{
		{"flushed", func(t *testing.T, server *redistest.Server, _ *cache.Cache[int], _ []string) {
			require.NoError(t, server.Client(t).FlushAll(t.Context()).Err())
			_ = testkit.Pace(t.Context(), time.Second) // for so long the process may take the clear token for known
		}},
		{"killed", func(_ *testing.T, server *redistest.Server, _ *cache.Cache[int], _ []string) {
			server.Kill()
			server.Restart()
		}},
		{"InvalidateAll", func(t *testing.T, _ *redistest.Server, c *cache.Cache[int], _ []string) {
			require.NoError(t, c.InvalidateAll(t.Context()))
		}},
		{"frozen, and all keys invalidated meanwhile", func(t *testing.T, server *redistest.Server, c *cache.Cache[int], all []string) {
			server.Pause()
			for range 5 {
				_, err := c.GetOrLoad(t.Context(), all[0], testkit.Value(0))
				require.NoError(t, err)
			}
			require.ErrorIs(t, c.Invalidate(t.Context(), all...), cache.ErrPending)
			_ = testkit.Pace(t.Context(), 1500*time.Millisecond) // the refill of the beginning is over
			server.Resume()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Single(t)
			all := make([]string, keys)
			for i := range all {
				all[i] = strconv.Itoa(i)
			}
			round := func() []testkit.Figure {
				c := testkit.NewBudgeted[int](t, testkit.TunedClient(t, server), cache.WithLoadLimit(limit))
				for _, key := range all {
					_, err := c.GetOrLoad(t.Context(), key, testkit.Value(0))
					require.NoError(t, err)
				}
				test.empty(t, server, c, all)
				for end := time.Now().Add(testkit.Forever); time.Now().Before(end); { // until Redis is asked again, and owes nothing
					_, err := c.Get(t.Context(), "none")
					if err == cache.ErrMiss && c.Stats().Pending == 0 { //nolint:errorlint // bare
						break
					}
				}
				var g gauge
				got := ask(keys, 1, func(caller, _ int) error {
					_, err := c.GetOrLoad(t.Context(), all[caller], g.load(load))
					return err
				})
				t.Logf("%d loads, at most %d of %d at once, failed %v, the last after %v", g.loads.Load(), g.peak.Load(), limit, got.fails, got.quantile(1))
				assert.Positive(t, g.loads.Load(), "else the run shows nothing")
				assert.LessOrEqual(t, g.peak.Load(), int64(limit))
				return []testkit.Figure{{What: "refused calls, a second each", Took: time.Duration(len(got.fails)) * time.Second, Bound: 1}}
			}
			testkit.InTime(t, round)
		})
	}
}
