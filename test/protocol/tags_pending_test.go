package protocol_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// The queue drains while a caller of this process has read an entry of the tag
// and not looked into the queue yet: the schedule is in internal/pending.
func TestQueueOfTagsThatDrainsBehindARead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		tags []cache.EntryOption // that the call names
	}{
		{"the call names the tag", []cache.EntryOption{cache.Tagged("x")}},
		{"only the entry names the tag", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx := t.Context()
				c := testkit.NewCache[int](t, rdb)
				_, err := c.GetOrLoad(ctx, "k", testkit.Value(1), cache.Tagged("x"))
				require.NoError(t, err)
				p, key := testkit.NewTap(rdb), testkit.TokenKey(t, "x")
				p.FailMints(key)
				require.ErrorIs(t, c.InvalidateTags(ctx, "x"), cache.ErrPending)

				// Whoever starts from here on must not be served 1.
				held := holdAnswer(p, "get", key, nil)
				reader := testkit.Start(func() (int, error) { return c.GetOrLoad(ctx, "k", testkit.Value(2), test.tags...) })
				testkit.Soon(t, held.reached, "the token to be read")
				testkit.Drained(t, c)
				close(held.release)
				got := testkit.Soon(t, reader, "the reader")
				require.NoError(t, got.Err)
				assert.Equal(t, 2, got.V)
			})
		})
	}
}

// The same with an acquire that answers with the entry of another process.
func TestQueueOfTagsThatDrainsBehindAnAcquire(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c, other := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		_, err := other.GetOrLoad(ctx, "warm", testkit.Value(0), cache.Tagged("x")) // the token is there
		require.NoError(t, err)
		p, key := testkit.NewTap(rdb), testkit.TokenKey(t, "x")
		p.FailMints(key)
		require.ErrorIs(t, c.InvalidateTags(ctx, "x"), cache.ErrPending)

		held := holdAnswer(p, "get", "test:k", nil)
		reader := testkit.Start(func() (int, error) { return c.GetOrLoad(ctx, "k", testkit.Value(2)) })
		testkit.Soon(t, held.reached, "a miss")
		p.Set(nil, nil)                                                         // nothing passes time, so the queue does not drain yet
		_, err = other.GetOrLoad(ctx, "k", testkit.Value(1), cache.Tagged("x")) // a load that began before the change
		require.NoError(t, err)
		again := holdAnswer(p, "get", key, nil)
		close(held.release)
		testkit.Soon(t, again.reached, "the token of the entry that acquire answered with to be read")
		testkit.Drained(t, c)
		close(again.release)
		got := testkit.Soon(t, reader, "the reader")
		require.NoError(t, got.Err)
		assert.Equal(t, 2, got.V)
	})
}

// A read of the clear token is under way while the queue drains: the schedule is
// in clear.go.
func TestQueueOfAllThatDrainsBehindAReadOfTheClearToken(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		_, err := testkit.NewCache[int](t, rdb).GetOrLoad(ctx, "k", testkit.Value(1))
		require.NoError(t, err)
		c := testkit.NewCache[int](t, rdb) // another process, which holds no token yet
		p := testkit.NewTap(rdb)
		held := holdAnswer(p, "get", testkit.ClearTokenKey, func(cmds []redis.Cmder) error {
			if testkit.Mentions(cmds, "evalsha", testkit.ClearTokenKey) {
				return redis.ErrPoolTimeout
			}
			return nil
		})
		early := testkit.Start(func() (int, error) { return c.Get(ctx, "k") })
		testkit.Soon(t, held.reached, "the clear token to be read")
		require.ErrorIs(t, c.InvalidateAll(ctx), cache.ErrPending)
		p.Set(nil, nil)
		testkit.Drained(t, c)
		close(held.release)
		testkit.Soon(t, early, "the reader who began before")

		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss, "who begins after is not served what was cleared")
		v, err := c.GetOrLoad(ctx, "k", func(context.Context, string) (int, error) { return 2, nil })
		require.NoError(t, err)
		assert.Equal(t, 2, v)
	})
}
