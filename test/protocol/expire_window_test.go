package protocol_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// Expire keeps a record for the stale window of the cache's class, which may be longer than
// what an entry of another class would have lived.
func TestWhatExpireHasMadeStaleIsNeverFreshAgain(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		long := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.StaleWhileRevalidate = time.Hour, 10*time.Minute })
		short := &cache.TTL{Name: "short", Fresh: time.Hour, Jitter: -1}
		w := testkit.NewCache[int](t, rdb, long)
		require.NoError(t, w.Set(ctx, "set", 1, cache.Expires(short)))
		_, err := w.GetOrLoad(ctx, "loaded", testkit.Value(1), cache.Expires(short))
		require.NoError(t, err)
		require.NoError(t, w.Expire(ctx, "set", "loaded"))
		r := testkit.NewCache[int](t, rdb, long)
		for range 3 {
			for _, key := range []string{"set", "loaded"} {
				_, err := r.Get(ctx, key)
				assert.ErrorIs(t, err, cache.ErrMiss, key)
			}
			time.Sleep(300 * time.Millisecond)
		}
	})
}

// A reader of a class with a shorter window than the cache's counts from the Expire, too.
func TestTheWindowOfAClassBeginsWithTheExpire(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		long := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.StaleWhileRevalidate = time.Hour, 10*time.Minute })
		brief := &cache.TTL{Name: "brief", Fresh: time.Hour, Jitter: -1, StaleWhileRevalidate: 300 * time.Millisecond}
		w := testkit.NewCache[int](t, rdb, long)
		_, err := w.GetOrLoad(ctx, "k", testkit.Value(1))
		require.NoError(t, err)
		require.NoError(t, w.Expire(ctx, "k"))
		time.Sleep(400 * time.Millisecond)
		r := testkit.NewCache[int](t, rdb, long)
		v, err := r.GetOrLoad(ctx, "k", testkit.Value(2), cache.Expires(brief))
		require.NoError(t, err)
		assert.Equal(t, 2, v, "400 ms after the Expire, of a window of 300 ms")
	})
}
