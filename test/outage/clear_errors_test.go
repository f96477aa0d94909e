package outage_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestInvalidateTagsWhileRedisIsDown(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb)
		for key, tag := range map[string]string{"k": "x", "l": "y", "m": "z"} {
			_, err := c.GetOrLoad(ctx, key, testkit.Value(1), cache.Tagged(tag))
			require.NoError(t, err)
		}
		p := testkit.NewTap(rdb)
		p.Set(func(cmds []redis.Cmder) error {
			if testkit.Mentions(cmds, "evalsha", testkit.TokenKey(t, "x")) || testkit.Mentions(cmds, "evalsha", testkit.TokenKey(t, "y")) {
				return redis.ErrPoolTimeout
			}
			return nil
		}, nil)
		err := c.InvalidateTags(ctx, "x", "y", "x")
		testkit.Queued(t, err, "invalidate tags")
		joined, ok := err.(interface{ Unwrap() []error })
		require.True(t, ok, "an error for each tag")
		assert.Len(t, joined.Unwrap(), 2)
		assert.EqualValues(t, 2, c.Stats().Pending)

		for _, key := range []string{"k", "l"} {
			_, err := c.Get(ctx, key)
			assert.ErrorIs(t, err, cache.ErrMiss, "its tag is queued")
			for _, tags := range [][]cache.EntryOption{nil, {cache.Tagged("x", "y")}} {
				v, err := c.GetOrLoad(ctx, key, testkit.Value(2), tags...)
				require.NoError(t, err)
				assert.Equal(t, 2, v, "loaded, not stored")
			}
		}
		v, err := c.Get(ctx, "m")
		require.NoError(t, err, "another tag")
		assert.Equal(t, 1, v)
		require.EqualValues(t, 2, c.Stats().Pending)

		p.Set(nil, nil)
		testkit.Drained(t, c)
		for _, key := range []string{"k", "l"} {
			_, err := c.Get(ctx, key)
			assert.ErrorIs(t, err, cache.ErrMiss, "what was stored before is invalid")
			_, err = c.GetOrLoad(ctx, key, testkit.Value(3))
			require.NoError(t, err)
			v, err := c.Get(ctx, key)
			require.NoError(t, err, "and it is cached again")
			assert.Equal(t, 3, v)
		}
	})
}

// A hit must not become stale when the tag of an entry is queued while the entry is
// being served stale or refreshed.
func TestStaleEntriesOfAQueuedTagAreNotServed(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) {
			ttl.StaleWhileRevalidate, ttl.StaleIfError = time.Hour, time.Hour
		}))
		_, err := c.GetOrLoad(ctx, "k", testkit.Value(1), cache.Tagged("x"))
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		p := testkit.NewTap(rdb)
		p.FailMints(testkit.TokenKey(t, "x"))
		testkit.Queued(t, c.InvalidateTags(ctx, "x"), "invalidate tags")
		v, err := c.GetOrLoad(ctx, "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, v)
		_, err = c.GetOrLoad(ctx, "k", testkit.Failing[int](testkit.ErrFlaky))
		assert.Equal(t, testkit.ErrFlaky, err, "not the stale value instead")
		p.Set(nil, nil)
		testkit.Drained(t, c)
		_, err = c.GetOrLoad(ctx, "k", testkit.Failing[int](testkit.ErrFlaky))
		assert.Equal(t, testkit.ErrFlaky, err, "nor once its token is replaced")
	})
}

func TestInvalidateAllWhileRedisIsDown(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, server := t.Context(), rdb.(*cachetest.Server)
		c, other := testkit.TwoFilled(t, rdb)
		server.Fail("LOADING the database")
		began := time.Now()
		testkit.Queued(t, c.InvalidateAll(ctx), "invalidate all")
		assert.Zero(t, time.Since(began), "it does not wait")
		assert.EqualValues(t, 1, c.Stats().Pending)
		p := testkit.NewTap(rdb)
		p.FailMints(testkit.ClearTokenKey) // the queue does not drain yet
		server.Heal()
		testkit.Missing(t, c)
		v, err := c.GetOrLoad(ctx, "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, v, "loaded, not stored")
		v, err = other.Get(ctx, "k")
		require.NoError(t, err, "other processes may be served the old entry")
		assert.Equal(t, 1, v)
		p.Set(nil, nil)
		testkit.Drained(t, c)
		testkit.Missing(t, c, "at once: nobody waits for its second")
		time.Sleep(time.Second)
		testkit.Missing(t, other)
	})
}

// Redis took the token, and does not answer when it is read again.
func TestInvalidateAllThatCannotReadTheTokenAgain(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c, other := testkit.TwoFilled(t, rdb)
		p := testkit.NewTap(rdb)
		p.Set(func(cmds []redis.Cmder) error {
			if testkit.Mentions(cmds, "get", testkit.ClearTokenKey) {
				return redis.ErrPoolTimeout
			}
			return nil
		}, nil)
		testkit.Queued(t, c.InvalidateAll(ctx), "invalidate all")
		p.Set(nil, nil)
		testkit.Drained(t, c)
		testkit.Missing(t, c)
		time.Sleep(time.Second)
		testkit.Missing(t, other)
	})
}

func TestLeftoverInvalidationsAtClose(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, err := cache.New[int](rdb, "test", cache.Aside[int]())
		require.NoError(t, err)
		rdb.(*cachetest.Server).Fail("LOADING the database")
		testkit.Queued(t, c.InvalidateTags(t.Context(), "x", "y"), "invalidate tags")
		testkit.Queued(t, c.InvalidateAll(t.Context()), "invalidate all")
		var left *cache.RemainingError
		require.ErrorAs(t, c.Close(), &left)
		assert.Equal(t, cache.RemainingError{Pending: 3}, *left)
	})
}
