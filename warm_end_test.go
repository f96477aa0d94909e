package cache_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestWarmOfAnEndedContextOrAClosedCacheDoesNothing(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Warm(ended, slices.Values(testkit.Numbers(3)), testkit.NewWarehouse().Load, fast)
	assert.Equal(t, context.Canceled, err)
	require.NoError(t, c.Close())
	_, err = c.Warm(t.Context(), slices.Values([]string(nil)), testkit.NewWarehouse().Load, fast)
	assert.Equal(t, cache.ErrClosed, err)
}

// A panic of the iterator is the caller's, once the load that is running has ended.
func TestWarmPassesAPanicOfTheIteratorOn(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	w := testkit.GatedWarehouse()
	assert.PanicsWithValue(t, "mine", func() {
		_, _ = c.Warm(t.Context(), func(yield func(string) bool) {
			for _, key := range testkit.Numbers(200) {
				yield(key)
			}
			testkit.Soon(t, w.Entered, "a load")
			panic("mine")
		}, w.Load, cache.WarmOptions{PerSecond: 1e6, Concurrency: 2})
	})
	assert.EqualValues(t, 0, c.Stats().Waiting, "nobody is left")
	testkit.Eventually(t, func() bool { return w.Ended.Load() > 0 && c.Stats().Loading == 0 }, "the load, which nobody wants, to end")
}

func TestWarmSurvivesALoaderThatPanics(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	report, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(3)), func(context.Context, []string) (map[string]int, error) { panic("mine") }, fast)
	var panicked *cache.PanicError
	require.ErrorAs(t, err, &panicked)
	assert.Equal(t, cache.WarmReport{Failed: 3}, report)
}

func TestWarmExchanges(t *testing.T) {
	p := redistest.NewProxy(t, cachetest.Redis(t).Addr())
	c := testkit.NewCache[int](t, testkit.ClientThrough(t, p))
	_, err := c.Warm(t.Context(), slices.Values([]string{"x", "y"}), testkit.NewWarehouse().Load, fast)
	require.NoError(t, err) // teaches the server the scripts
	for _, test := range []struct {
		name string
		want int64
	}{{"200 missing keys: one look-up, and three for each batch of 100", 1 + 2*3}, {"200 fresh ones", 1}} {
		p.Reset()
		_, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(200)), testkit.NewWarehouse().Load, fast)
		require.NoError(t, err)
		assert.Equal(t, test.want, p.Exchanges(), test.name)
	}
}
