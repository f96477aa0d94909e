package cache_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
)

// queued asserts that err says that an invalidation is queued.
func queued(t *testing.T, err error, op string) {
	t.Helper()
	var opErr *cache.OpError
	require.ErrorAs(t, err, &opErr)
	assert.Equal(t, op, opErr.Op)
	assert.ErrorIs(t, err, cache.ErrPending)
}

func TestInvalidateTagsWhileRedisIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := newCache[int](t, rdb)
		for key, tag := range map[string]string{"k": "x", "l": "y", "m": "z"} {
			_, err := c.GetOrLoad(ctx, key, value(1), cache.Tagged(tag))
			require.NoError(t, err)
		}
		p := newTap(rdb)
		p.set(func(cmds []redis.Cmder) error {
			if mentions(cmds, "evalsha", tokenKey(t, "x")) || mentions(cmds, "evalsha", tokenKey(t, "y")) {
				return redis.ErrPoolTimeout
			}
			return nil
		}, nil)
		err := c.InvalidateTags(ctx, "x", "y", "x")
		queued(t, err, "invalidate tags")
		joined, ok := err.(interface{ Unwrap() []error })
		require.True(t, ok, "an error for each tag")
		assert.Len(t, joined.Unwrap(), 2)
		assert.EqualValues(t, 2, c.Stats().Pending)

		for _, key := range []string{"k", "l"} {
			_, err := c.Get(ctx, key)
			assert.ErrorIs(t, err, cache.ErrMiss, "its tag is queued")
			for _, tags := range [][]cache.EntryOption{nil, {cache.Tagged("x", "y")}} {
				v, err := c.GetOrLoad(ctx, key, value(2), tags...)
				require.NoError(t, err)
				assert.Equal(t, 2, v, "loaded, not stored")
			}
		}
		v, err := c.Get(ctx, "m")
		require.NoError(t, err, "another tag")
		assert.Equal(t, 1, v)
		require.EqualValues(t, 2, c.Stats().Pending)

		p.set(nil, nil)
		drained(t, c)
		for _, key := range []string{"k", "l"} {
			_, err := c.Get(ctx, key)
			assert.ErrorIs(t, err, cache.ErrMiss, "what was stored before is invalid")
			_, err = c.GetOrLoad(ctx, key, value(3))
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
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := newCache[int](t, rdb, class(func(ttl *cache.TTL) {
			ttl.StaleWhileRevalidate, ttl.StaleIfError = time.Hour, time.Hour
		}))
		_, err := c.GetOrLoad(ctx, "k", value(1), cache.Tagged("x"))
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		p := newTap(rdb)
		p.failMints(tokenKey(t, "x"))
		queued(t, c.InvalidateTags(ctx, "x"), "invalidate tags")
		v, err := c.GetOrLoad(ctx, "k", value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, v)
		_, err = c.GetOrLoad(ctx, "k", failing[int](errFlaky))
		assert.Equal(t, errFlaky, err, "not the stale value instead")
		p.set(nil, nil)
		drained(t, c)
		_, err = c.GetOrLoad(ctx, "k", failing[int](errFlaky))
		assert.Equal(t, errFlaky, err, "nor once its token is replaced")
	})
}

func TestInvalidateAllWhileRedisIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, server := t.Context(), rdb.(*cachetest.Server)
		c, other := twoFilled(t, rdb)
		server.Fail("LOADING the database")
		began := time.Now()
		queued(t, c.InvalidateAll(ctx), "invalidate all")
		assert.Zero(t, time.Since(began), "it does not wait")
		assert.EqualValues(t, 1, c.Stats().Pending)
		p := newTap(rdb)
		p.failMints(clearTokenKey) // the queue does not drain yet
		server.Heal()
		missing(t, c)
		v, err := c.GetOrLoad(ctx, "k", value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, v, "loaded, not stored")
		v, err = other.Get(ctx, "k")
		require.NoError(t, err, "other processes may be served the old entry")
		assert.Equal(t, 1, v)
		p.set(nil, nil)
		drained(t, c)
		missing(t, c, "at once: nobody waits for its second")
		time.Sleep(time.Second)
		missing(t, other)
	})
}

// Redis took the token, and does not answer when it is read again.
func TestInvalidateAllThatCannotReadTheTokenAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c, other := twoFilled(t, rdb)
		p := newTap(rdb)
		p.set(func(cmds []redis.Cmder) error {
			if mentions(cmds, "get", clearTokenKey) {
				return redis.ErrPoolTimeout
			}
			return nil
		}, nil)
		queued(t, c.InvalidateAll(ctx), "invalidate all")
		p.set(nil, nil)
		drained(t, c)
		missing(t, c)
		time.Sleep(time.Second)
		missing(t, other)
	})
}

func TestLeftoverInvalidationsAtClose(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, err := cache.New[int](rdb, "test", cache.Aside[int]())
		require.NoError(t, err)
		rdb.(*cachetest.Server).Fail("LOADING the database")
		queued(t, c.InvalidateTags(t.Context(), "x", "y"), "invalidate tags")
		queued(t, c.InvalidateAll(t.Context()), "invalidate all")
		var left *cache.RemainingError
		require.ErrorAs(t, c.Close(), &left)
		assert.Equal(t, cache.RemainingError{Pending: 3}, *left)
	})
}

// Without a replica nothing is confirmed: it is made, queued, and not read here.
func TestInvalidationsOfTagsThatNoReplicaConfirms(t *testing.T) {
	ctx, rdb := t.Context(), redistest.Single(t).Client(t)
	c, err := cache.New(rdb, "test", cache.Aside[int](), patient(), cache.WithReplicaWait(1, 10*time.Millisecond))
	require.NoError(t, err)
	other := newCache[int](t, rdb)
	_, err = other.GetOrLoad(ctx, "k", value(1), cache.Tagged("x"))
	require.NoError(t, err)
	queued(t, c.InvalidateTags(ctx, "x"), "invalidate tags")
	missing(t, other, "it was made")
	_, err = other.GetOrLoad(ctx, "k", value(2), cache.Tagged("x"))
	require.NoError(t, err)
	missing(t, c, "this process does not read it until it is confirmed")
	queued(t, c.InvalidateAll(ctx), "invalidate all")
	var left *cache.RemainingError
	require.ErrorAs(t, c.Close(), &left)
	assert.Equal(t, 2, left.Pending)
}
