package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// drained waits until the queue of c is empty.
func drained[T any](t *testing.T, c *cache.Cache[T]) {
	t.Helper()
	require.Eventually(t, func() bool { return c.Stats().Pending == 0 }, 10*time.Second, time.Millisecond)
}

// The queue drains while a caller of this process has read an entry of the tag
// and not looked into the queue yet: the schedule is in pending.go.
func TestQueueOfTagsThatDrainsBehindARead(t *testing.T) {
	tests := []struct {
		name string
		tags []cache.EntryOption // that the call names
	}{
		{"the call names the tag", []cache.EntryOption{cache.Tagged("x")}},
		{"only the entry names the tag", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx := t.Context()
				c := newCache[int](t, rdb)
				_, err := c.GetOrLoad(ctx, "k", value(1), cache.Tagged("x"))
				require.NoError(t, err)
				p, key := newTap(rdb), tokenKey(t, "x")
				p.failMints(key)
				require.ErrorIs(t, c.InvalidateTags(ctx, "x"), cache.ErrPending)

				// Whoever starts from here on must not be served 1.
				held := holdAnswer(p, "get", key, nil)
				reader := start(func() (int, error) { return c.GetOrLoad(ctx, "k", value(2), test.tags...) })
				soon(t, held.reached, "the token to be read")
				drained(t, c)
				close(held.release)
				got := soon(t, reader, "the reader")
				require.NoError(t, got.err)
				assert.Equal(t, 2, got.v)
			})
		})
	}
}

// The same with an acquire that answers with the entry of another process.
func TestQueueOfTagsThatDrainsBehindAnAcquire(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c, other := newCache[int](t, rdb), newCache[int](t, rdb)
		_, err := other.GetOrLoad(ctx, "warm", value(0), cache.Tagged("x")) // the token is there
		require.NoError(t, err)
		p, key := newTap(rdb), tokenKey(t, "x")
		p.failMints(key)
		require.ErrorIs(t, c.InvalidateTags(ctx, "x"), cache.ErrPending)

		held := holdAnswer(p, "get", "test:k", nil)
		reader := start(func() (int, error) { return c.GetOrLoad(ctx, "k", value(2)) })
		soon(t, held.reached, "a miss")
		p.set(nil, nil)                                                 // nothing passes time, so the queue does not drain yet
		_, err = other.GetOrLoad(ctx, "k", value(1), cache.Tagged("x")) // a load that began before the change
		require.NoError(t, err)
		again := holdAnswer(p, "get", key, nil)
		close(held.release)
		soon(t, again.reached, "the token of the entry that acquire answered with to be read")
		drained(t, c)
		close(again.release)
		got := soon(t, reader, "the reader")
		require.NoError(t, got.err)
		assert.Equal(t, 2, got.v)
	})
}

// A read of the clear token is under way while the queue drains: the schedule is
// in clear.go.
func TestQueueOfAllThatDrainsBehindAReadOfTheClearToken(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		_, err := newCache[int](t, rdb).GetOrLoad(ctx, "k", value(1))
		require.NoError(t, err)
		c := newCache[int](t, rdb) // another process, which holds no token yet
		p := newTap(rdb)
		held := holdAnswer(p, "get", clearTokenKey, func(cmds []redis.Cmder) error {
			if mentions(cmds, "evalsha", clearTokenKey) {
				return redis.ErrPoolTimeout
			}
			return nil
		})
		early := start(func() (int, error) { return c.Get(ctx, "k") })
		soon(t, held.reached, "the clear token to be read")
		require.ErrorIs(t, c.InvalidateAll(ctx), cache.ErrPending)
		p.set(nil, nil)
		drained(t, c)
		close(held.release)
		soon(t, early, "the reader who began before")

		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss, "who begins after is not served what was cleared")
		v, err := c.GetOrLoad(ctx, "k", func(context.Context, string) (int, error) { return 2, nil })
		require.NoError(t, err)
		assert.Equal(t, 2, v)
	})
}
