package cache_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

func TestAChangeInAnotherProcessReachesTheL1(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		a := testkit.NewCache[int](t, rdb, cache.WithL1(testkit.NewL1(t, rdb, cache.L1Options{TTL: time.Minute})))
		b := testkit.NewCache[int](t, rdb)
		testkit.Nearby(t, a, "k", testkit.Value(1))
		require.NoError(t, b.Invalidate(t.Context(), "k"))
		require.Eventually(t, func() bool {
			got, err := a.GetOrLoad(t.Context(), "k", testkit.Value(2))
			return err == nil && got == 2
		}, 10*time.Second, time.Millisecond)
		testkit.Nearby(t, a, "k", testkit.Value(3))
		require.NoError(t, a.Invalidate(t.Context(), "k"))
		got, err := a.GetOrLoad(t.Context(), "k", testkit.Value(4))
		require.NoError(t, err)
		assert.Equal(t, 4, got, "own changes are seen at once")
	})
}
