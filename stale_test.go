package cache_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

func TestStaleWhileRevalidate(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = 30 * time.Second }))
		_, err := c.GetOrLoad(ctx, "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(time.Minute + time.Second)

		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss, "Get never serves stale values")
		var loads atomic.Int64
		load := slow(&loads, 50*time.Millisecond, testkit.Always(2))
		for range 100 {
			began := time.Now()
			got, err := c.GetOrLoad(ctx, "k", load)
			require.NoError(t, err)
			assert.Equal(t, 1, got)
			assert.Zero(t, time.Since(began), "nobody waits for the refresh")
		}
		testkit.Settled(t, c)
		got, err := c.Get(ctx, "k")
		require.NoError(t, err)
		assert.Equal(t, 2, got)
		assert.EqualValues(t, 1, loads.Load(), "one refresh for all of them")
		assert.EqualValues(t, 100, c.Stats().Stale)

		time.Sleep(time.Minute + 31*time.Second)
		got, err = c.GetOrLoad(ctx, "k", testkit.Value(3))
		require.NoError(t, err)
		assert.Equal(t, 3, got, "past the window it is a miss")
	})
}

func TestStaleIfError(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name string
		load cache.Loader[int]
		is   error
	}{
		{"the loader fails", testkit.Failing[int](boom), boom},
		{"the loader panics", func(context.Context, string) (int, error) { panic(boom) }, boom},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx := t.Context()
				var events []cache.StaleEvent
				c := testkit.NewCache[int](t, rdb,
					testkit.Class(func(ttl *cache.TTL) { ttl.StaleIfError = time.Minute }),
					cache.WithHooks(cache.Hooks{Stale: func(e cache.StaleEvent) { events = append(events, e) }}))
				_, err := c.GetOrLoad(ctx, "k", testkit.Value(1))
				require.NoError(t, err)
				time.Sleep(time.Minute + 10*time.Second)

				got, err := c.GetOrLoad(ctx, "k", test.load)
				require.NoError(t, err)
				assert.Equal(t, 1, got)
				require.Len(t, events, 1)
				assert.ErrorIs(t, events[0].Err, test.is, "why it was served")
				assert.Equal(t, 70*time.Second, events[0].Age.Round(time.Second))
				assert.EqualValues(t, 1, c.Stats().Stale)

				began := time.Now()
				got, err = c.GetOrLoad(ctx, "k", testkit.MustNotLoad[int](t))
				require.NoError(t, err)
				assert.Equal(t, 1, got)
				assert.Zero(t, time.Since(began), "during the back-off it is served at once")
				assert.ErrorIs(t, events[1].Err, cache.ErrBackoff)

				time.Sleep(time.Second)
				got, err = c.GetOrLoad(ctx, "k", testkit.Value(2))
				require.NoError(t, err)
				assert.Equal(t, 2, got, "a load that succeeds replaces it")

				time.Sleep(2*time.Minute + time.Second)
				_, err = c.GetOrLoad(ctx, "k", testkit.Failing[int](boom))
				assert.ErrorIs(t, err, boom, "past the window the error surfaces")
			})
		})
	}
}

func TestStaleIfErrorMasksNeitherAbsenceNorTheCallersOwnEnd(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.StaleIfError = time.Hour }))
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var loads atomic.Int64
		_, err = c.GetOrLoad(ctx, "k", slow(&loads, time.Minute, testkit.Always(2)))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, c.Stats().Stale)
		testkit.Settled(t, c)

		_, err = c.GetOrLoad(t.Context(), "k", testkit.Failing[int](cache.ErrNotFound))
		assert.ErrorIs(t, err, cache.ErrNotFound)
		_, err = c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss, "a load that finds nothing removes the record")
	})
}

func TestAStaleValueIsServedWhenAnotherProcessLoadsForTooLong(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
		_, err := one.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		var loads atomic.Int64
		winner := testkit.Start(func() (int, error) {
			return one.GetOrLoad(t.Context(), "k", slow(&loads, 10*time.Second, testkit.Always(2)))
		})
		time.Sleep(100 * time.Millisecond)
		got, err := two.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
		require.NoError(t, err)
		assert.Equal(t, 1, got)
		assert.EqualValues(t, 1, two.Stats().Stale)
		assert.Equal(t, 2, (<-winner).V)
	}, testkit.Class(func(ttl *cache.TTL) { ttl.StaleIfError = time.Hour }), cache.WithLock(cache.Lock{Wait: time.Second}))
}

func TestXFetchRefreshesAHotKeyBeforeItExpires(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
		var loads atomic.Int64
		load := slow(&loads, 50*time.Millisecond, testkit.Always(1))
		_, err := one.GetOrLoad(t.Context(), "k", load)
		require.NoError(t, err)
		slowest := time.Duration(0)
		for range 1_000 { // 4 s, 500 requests a second
			time.Sleep(4 * time.Millisecond)
			for _, c := range []*cache.Cache[int]{one, two} {
				began := time.Now()
				_, err := c.GetOrLoad(t.Context(), "k", load)
				require.NoError(t, err)
				slowest = max(slowest, time.Since(began))
			}
		}
		testkit.Settled(t, one)
		testkit.Settled(t, two)
		t.Logf("4 s at TTL 1 s: %d loads, the slowest call took %v", loads.Load(), slowest)
		assert.Less(t, slowest, 25*time.Millisecond, "nobody waits for a load")
		assert.InDelta(t, 6, loads.Load(), 2, "one load in each period, shortened by a few load times")
		assert.Zero(t, one.Stats().Misses+two.Stats().Misses-1)
	}, testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Second }))
}

func TestAFailedRefreshBacksOff(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = time.Minute }))
		_, err := c.GetOrLoad(ctx, "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(time.Minute + time.Second)
		var loads atomic.Int64
		for range 1000 { // 1 s
			got, err := c.GetOrLoad(ctx, "k", func(context.Context, string) (int, error) {
				loads.Add(1)
				return 0, errors.New("boom")
			})
			require.NoError(t, err)
			require.Equal(t, 1, got)
			time.Sleep(time.Millisecond)
		}
		testkit.Settled(t, c)
		t.Logf("%d failing refreshes in 1 s of 1,000 stale hits", loads.Load())
		assert.LessOrEqual(t, loads.Load(), int64(10), "at most one each 100 ms")
		assert.GreaterOrEqual(t, loads.Load(), int64(5))
	})
}

func TestAbsencesAreRemembered(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.Absent = 10 * time.Second }))
		_, err := c.GetOrLoad(ctx, "k", testkit.Failing[int](cache.ErrNotFound))
		assert.ErrorIs(t, err, cache.ErrNotFound)

		_, err = c.GetOrLoad(ctx, "k", testkit.MustNotLoad[int](t))
		assert.True(t, err == cache.ErrNotFound) //nolint:errorlint // the identity is the promise
		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrNotFound)
		assert.EqualValues(t, 2, c.Stats().Absent)

		require.NoError(t, c.Invalidate(ctx, "k"))
		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss, "an insert invalidates the absence")

		_, err = c.GetOrLoad(ctx, "k", testkit.Failing[int](cache.ErrNotFound))
		require.ErrorIs(t, err, cache.ErrNotFound)
		time.Sleep(10*time.Second + time.Millisecond)
		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss, "it lives for Absent")
	})
}
