package cache_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// newL1 is an L1 that is closed with the test.
func newL1(t testing.TB, rdb redis.UniversalClient, o cache.L1Options) *cache.L1 {
	t.Helper()
	l, err := cache.NewL1(rdb, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l
}

// nearby waits until c serves key from its L1.
func nearby[T any](t testing.TB, c *cache.Cache[T], key string, load cache.Loader[T]) {
	t.Helper()
	require.Eventually(t, func() bool {
		before := c.Stats().HitsL1
		_, err := c.GetOrLoad(t.Context(), key, load)
		return err == nil && c.Stats().HitsL1 > before
	}, 30*time.Second, 5*time.Millisecond, "no hit in the L1")
}

func TestAChangeInAnotherProcessReachesTheL1(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		a := newCache[int](t, rdb, cache.WithL1(newL1(t, rdb, cache.L1Options{TTL: time.Minute})))
		b := newCache[int](t, rdb)
		nearby(t, a, "k", value(1))
		require.NoError(t, b.Invalidate(t.Context(), "k"))
		require.Eventually(t, func() bool {
			got, err := a.GetOrLoad(t.Context(), "k", value(2))
			return err == nil && got == 2
		}, 10*time.Second, time.Millisecond)
		nearby(t, a, "k", value(3))
		require.NoError(t, a.Invalidate(t.Context(), "k"))
		got, err := a.GetOrLoad(t.Context(), "k", value(4))
		require.NoError(t, err)
		assert.Equal(t, 4, got, "own changes are seen at once")
	})
}
