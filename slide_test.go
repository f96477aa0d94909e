package cache_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestASlidingEntryLivesWhileItIsUsedAndNoLongerThanMaxAge(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, testkit.Sliding(testkit.Unchanged), cache.WithXFetch(0))
		var loads atomic.Int64
		began := time.Now()
		load := slow(&loads, time.Millisecond, testkit.Always(1))
		for time.Since(began) < 10*time.Minute-30*time.Second {
			_, err := c.GetOrLoad(t.Context(), "k", load)
			require.NoError(t, err)
			time.Sleep(20 * time.Second)
		}
		assert.EqualValues(t, 1, loads.Load(), "used every 20 s, it outlives its minute")
		time.Sleep(time.Minute)
		_, err := c.GetOrLoad(t.Context(), "k", load)
		require.NoError(t, err)
		assert.EqualValues(t, 2, loads.Load(), "and not its MaxAge")
	})
}

func TestASlidingEntryThatIsNotUsedExpires(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, testkit.Sliding(testkit.Unchanged))
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(61 * time.Second)
		_, err = c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
}

func TestXFetchRefreshesASlidingEntryBeforeItsMaxAge(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		// Beta 4: at beta 1 the draw of this one reader comes too late once in ten runs.
		c := testkit.NewCache[int](t, rdb, testkit.Sliding(func(ttl *cache.TTL) { ttl.Fresh, ttl.MaxAge = time.Second, 5*time.Second }), cache.WithXFetch(4))
		var loads atomic.Int64
		load := slow(&loads, 50*time.Millisecond, testkit.Always(1))
		slowest, first := time.Duration(0), true
		for range 1200 { // 12 s, two MaxAges
			began := time.Now()
			_, err := c.GetOrLoad(t.Context(), "k", load)
			require.NoError(t, err)
			if !first {
				slowest = max(slowest, time.Since(began))
			}
			first = false
			time.Sleep(10 * time.Millisecond)
		}
		testkit.Settled(t, c)
		t.Logf("12 s at MaxAge 5 s: %d loads, the slowest call took %v", loads.Load(), slowest)
		assert.Less(t, slowest, 25*time.Millisecond)
		assert.InDelta(t, 3, loads.Load(), 1)
	})
}

func TestASlidEntryIsServedOnErrorOnlyWithinItsMaxAge(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		boom := errors.New("boom")
		c := testkit.NewCache[int](t, rdb, testkit.Sliding(func(ttl *cache.TTL) {
			ttl.MaxAge, ttl.StaleIfError = 3*time.Minute, time.Hour
		}))
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(50 * time.Second)
		_, err = c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t)) // slides
		require.NoError(t, err)
		time.Sleep(70 * time.Second)
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Failing[int](boom))
		require.NoError(t, err)
		assert.Equal(t, 1, got, "2 minutes old")
		time.Sleep(70 * time.Second)
		_, err = c.GetOrLoad(t.Context(), "k", testkit.Failing[int](boom))
		assert.ErrorIs(t, err, boom, "past MaxAge")
	})
}

func TestNewRefusesSlidingWithoutMaxAgeOrWithStaleWhileRevalidate(t *testing.T) {
	rdb := cachetest.Redis(t)
	for _, bad := range []cache.TTL{
		{Fresh: time.Minute, Sliding: true},
		{Fresh: time.Minute, Sliding: true, MaxAge: time.Hour, StaleWhileRevalidate: time.Second},
	} {
		_, err := cache.New(rdb, "test", cache.Aside[int](), cache.Expires(&bad))
		assert.ErrorContains(t, err, "TTL.Sliding")
	}
}
