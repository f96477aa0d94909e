package outage_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
)

// manyKeys are n keys.
func manyKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return keys
}

// tuned is a client as README recommends it, with the budgets that callers have.
func tuned(t *testing.T, server *redistest.Server) *redis.Client {
	t.Helper()
	return server.Client(t, func(o *redis.Options) {
		universal := redis.UniversalOptions{Addrs: []string{o.Addr}, MaintNotificationsConfig: o.MaintNotificationsConfig}
		cache.Tune(&universal)
		*o = *universal.Simple()
	})
}

// asideCache is a cache that the end of the test closes.
func asideCache(t *testing.T, rdb redis.UniversalClient, opts ...cache.Option) *cache.Cache[int] {
	t.Helper()
	c, err := cache.New(rdb, "test", cache.Aside[int](), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() }) // a test that fails may leave something queued
	return c
}

// What a long outage has left in the queue is with Redis soon after it is over: on a
// machine where the same change takes 0.4 s with a Redis that answers, within 0.8 s. A
// queue that waits between its batches, or that sends keys one by one, takes 20 times
// as long.
func TestAFullQueueDrainsAlmostAsFastAsItsChangesAreMade(t *testing.T) {
	const n, most = 99_000, 5
	keys := manyKeys(n)
	server := redistest.Single(t)
	c := asideCache(t, tuned(t, server))
	for left := 2; ; left-- { // a busy machine may spoil a round
		began := time.Now()
		err := c.Invalidate(t.Context(), keys...)
		made := time.Since(began)
		server.Pause()
		require.ErrorIs(t, c.Invalidate(t.Context(), keys...), cache.ErrPending)
		require.Equal(t, int64(n), c.Stats().Pending)
		server.Resume()
		began = time.Now()
		require.Eventually(t, func() bool { return c.Stats().Pending == 0 }, time.Minute, time.Millisecond)
		took := time.Since(began)
		t.Logf("%d invalidations made in %v (%v), as many queued ones in %v", n, made, err, took)
		if took <= most*made || left == 0 {
			assert.LessOrEqual(t, took, most*made)
			return
		}
	}
}

// The time that one change has is that of a bounded number of keys.
func TestChangesOfManyKeysAreMadeInPieces(t *testing.T) {
	const n = 100_000
	keys := manyKeys(n)
	server := redistest.Single(t)
	for _, test := range []struct {
		name   string
		change func(t *testing.T, c *cache.Cache[int]) error
	}{
		{"Invalidate", func(t *testing.T, c *cache.Cache[int]) error { return c.Invalidate(t.Context(), keys...) }},
		{"Delete", func(t *testing.T, c *cache.Cache[int]) error { return c.Delete(t.Context(), keys...) }},
		{"Expire", func(t *testing.T, c *cache.Cache[int]) error { return c.Expire(t.Context(), keys...) }},
		{"InvalidateTags", func(t *testing.T, c *cache.Cache[int]) error { return c.InvalidateTags(t.Context(), keys...) }},
		{"SetMany", func(t *testing.T, c *cache.Cache[int]) error {
			values := make(map[string]int, n)
			for i, key := range keys {
				values[key] = i
			}
			return c.SetMany(t.Context(), values)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := asideCache(t, tuned(t, server), cache.Expires(&cache.TTL{Fresh: time.Minute, StaleWhileRevalidate: time.Minute}))
			for left := 2; ; left-- { // a busy machine may spoil a round
				began := time.Now()
				err := test.change(t, c)
				t.Logf("%s of %d keys: %v", test.name, n, time.Since(began))
				if err == nil {
					break
				}
				if left == 0 {
					require.Failf(t, "refused", "%.300s", err.Error())
				}
			}
			require.Eventually(t, func() bool { return c.Stats().Pending == 0 }, patience, tick)
		})
	}
}

// A piece that fails loses none of the others: its keys are queued, the error says how
// many they are, and the log has one line of it.
func TestAPieceThatFailsIsQueuedAlone(t *testing.T) {
	var out logLines
	rdb, hook := tuned(t, redistest.Single(t)), new(lossy)
	rdb.AddHook(hook)
	var told atomic.Int64
	c := asideCache(t, rdb, out.option(), cache.WithHooks(cache.Hooks{RedisError: func(string, error) { told.Add(1) }}))
	require.NoError(t, c.Invalidate(t.Context(), "warm"))
	keys := manyKeys(3 * 256)
	hook.loses.Store(4) // of a script on 64 keys each
	err := c.Invalidate(t.Context(), keys...)
	require.ErrorIs(t, err, cache.ErrPending)
	assert.Contains(t, err.Error(), "256 of 768 keys failed")
	assert.Less(t, len(err.Error()), 500, "its length does not depend on their number")
	var each []error
	if all, ok := err.(interface{ Unwrap() []error }); assert.True(t, ok, "there is one for each key") {
		each = all.Unwrap()
	}
	assert.Len(t, each, 256)
	assert.Equal(t, int64(256), c.Stats().RedisErrors, "each key counts")
	assert.Equal(t, int64(1), told.Load(), "the hook hears of the call")
	assert.Len(t, out.with("redis failed"), 1)
	require.Eventually(t, func() bool { return c.Stats().Pending == 0 }, patience, tick)
}

// What begins and ends by itself is told when it does: one line each, with numbers and
// no keys.
func TestTheLogTellsWhenTheQueueBeginsAndEnds(t *testing.T) {
	var out logLines
	rdb := cachetest.Redis(t)
	c := asideCache(t, rdb, out.option())
	require.NoError(t, c.Invalidate(t.Context(), "secret-0"))
	assert.Empty(t, out.with("queue"))
	rdb.Fail("LOADING")
	for i := range 20 {
		require.ErrorIs(t, c.Invalidate(t.Context(), "secret-"+strconv.Itoa(i)), cache.ErrPending)
	}
	require.Eventually(t, func() bool { return len(out.with("invalidations are queued")) == 1 }, patience, tick)
	seen, err := c.Explain(t.Context(), "another")
	require.Error(t, err)
	assert.Equal(t, int64(20), seen.Queued)
	assert.Contains(t, seen.String(), "20 invalidations queued, none of this key")
	rdb.Heal()
	require.Eventually(t, func() bool { return len(out.with("the queue of invalidations is empty")) == 1 }, patience, tick)
	assert.Len(t, out.with("invalidations are queued"), 1)
	assert.Zero(t, c.Stats().Pending)
	assert.Empty(t, out.with("secret"))
}

// What Redis refuses for good, here because the user may not touch those keys, keeps
// nothing else waiting in the queue.
func TestWhatIsRefusedKeepsNothingElseInTheQueue(t *testing.T) {
	const n = 20_000 // of each kind
	server := redistest.Single(t)
	require.NoError(t, server.Client(t).Do(t.Context(),
		"ACL", "SETUSER", "app", "on", ">pw", "~test:mine*", "~test!*", "&*", "+@all").Err())
	universal := redis.UniversalOptions{}
	cache.Tune(&universal)
	c := asideCache(t, server.Client(t, func(o *redis.Options) {
		addr, maintenance := o.Addr, o.MaintNotificationsConfig
		*o = *universal.Simple()
		o.Addr, o.MaintNotificationsConfig, o.Username, o.Password = addr, maintenance, "app", "pw"
	}))
	keys := make([]string, 0, 2*n)
	for _, key := range manyKeys(n) {
		keys = append(keys, "mine"+key, "other"+key)
	}
	server.Pause()
	require.ErrorIs(t, c.Invalidate(t.Context(), keys...), cache.ErrPending)
	require.Equal(t, int64(2*n), c.Stats().Pending)
	server.Resume()
	began := time.Now()
	require.Eventually(t, func() bool { return c.Stats().Pending == n }, patience, tick)
	t.Logf("%d of %d made in %v", n, 2*n, time.Since(began))
	assert.Less(t, time.Since(began), 10*time.Second)
}
