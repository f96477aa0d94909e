package cache_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// traffic counts what a client sends: exchanges, and commands on one key.
type traffic struct{ exchanges, onKey atomic.Int64 }

func count(p *testkit.Tap, key string) *traffic {
	var n traffic
	p.Set(func(cmds []redis.Cmder) error {
		n.exchanges.Add(1)
		for _, cmd := range cmds {
			if testkit.Mentions([]redis.Cmder{cmd}, "get", key) || testkit.Mentions([]redis.Cmder{cmd}, "evalsha", key) {
				n.onKey.Add(1)
			}
		}
		return nil
	}, nil)
	return &n
}

func TestInvalidateAllTakesTwoRoundTripsAndASecond(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.TwoFilled(t, rdb)
		require.NoError(t, c.InvalidateAll(t.Context()), "loads the script")
		n, began := count(testkit.NewTap(rdb), testkit.ClearTokenKey), time.Now()
		require.NoError(t, c.InvalidateAll(t.Context()))
		assert.Equal(t, time.Second, time.Since(began))
		assert.EqualValues(t, 2, n.exchanges.Load())
		testkit.Missing(t, c)
		testkit.Missing(t, other)
		v, err := other.GetOrLoad(t.Context(), "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, v)
		got, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, 2, got)
	})
}

// The second is for processes that hold the token: variants 70 and 70a of the model.
func TestProcessesMayHoldTheOldTokenDuringTheSecond(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.TwoFilled(t, rdb)
		time.Sleep(time.Second)
		_, err := other.Get(t.Context(), "k") // a new lease
		require.NoError(t, err)
		cleared := testkit.Start(func() (int, error) { return 0, c.InvalidateAll(t.Context()) })
		time.Sleep(400 * time.Millisecond) // not yet due for renewal
		testkit.Missing(t, c, "the caller's own process has dropped it")
		got, err := other.Get(t.Context(), "k")
		require.NoError(t, err, "which is why InvalidateAll waits; else the test is blind")
		assert.Equal(t, 1, got)
		assert.Empty(t, cleared)
		require.NoError(t, testkit.Soon(t, cleared, "InvalidateAll").Err)
		testkit.Missing(t, other)
	})
}

func TestAHitPaysNothingForTheClearToken(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, _ := testkit.TwoFilled(t, rdb)
		n := count(testkit.NewTap(rdb), testkit.ClearTokenKey)
		const hits, length = 1000, 10 * time.Second
		for range hits {
			_, err := c.Get(t.Context(), "k")
			require.NoError(t, err)
			time.Sleep(length / hits)
		}
		t.Logf("%d hits in %v: %d exchanges, %d reads of the clear token", hits, length, n.exchanges.Load(), n.onKey.Load())
		assert.EqualValues(t, hits, n.exchanges.Load())
		assert.LessOrEqual(t, n.onKey.Load(), int64(2*length/time.Second+1))
		assert.Positive(t, n.onKey.Load())
	})
}

func TestInvalidateAllWhoseContextEndsDuringTheSecond(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.TwoFilled(t, rdb)
		before := rdb.Get(t.Context(), testkit.ClearTokenKey).Val()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		assert.Equal(t, context.DeadlineExceeded, c.InvalidateAll(ctx), "bare")
		assert.Greater(t, rdb.Get(t.Context(), testkit.ClearTokenKey).Val(), before, "the new token stays")
		assert.Zero(t, c.Stats().Pending)
		testkit.Missing(t, c)
		time.Sleep(700 * time.Millisecond)
		testkit.Missing(t, other, "everywhere within the second")
		assert.Equal(t, context.DeadlineExceeded, c.InvalidateAll(ctx))
	})
}

// Variants 71, 71a and 71b of the model.
func TestAFailoverThatBringsTheOldClearTokenBack(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c, other := testkit.TwoFilled(t, rdb)
		old := rdb.Get(ctx, testkit.ClearTokenKey).Val()
		began := time.Now()
		cleared := testkit.Start(func() (int, error) { return 0, c.InvalidateAll(ctx) })
		time.Sleep(900 * time.Millisecond)
		require.NotEqual(t, old, rdb.Get(ctx, testkit.ClearTokenKey).Val())
		require.NoError(t, rdb.Set(ctx, testkit.ClearTokenKey, old, 0).Err())
		got, err := other.Get(ctx, "k") // holds the old token, again, until 1.9 s
		require.NoError(t, err)
		require.Equal(t, 1, got)
		require.NoError(t, testkit.Soon(t, cleared, "InvalidateAll").Err)
		assert.Equal(t, 2*time.Second, time.Since(began), "the second token was waited for, too")
		assert.Greater(t, rdb.Get(ctx, testkit.ClearTokenKey).Val(), old)
		testkit.Missing(t, other)
		testkit.Missing(t, c)
	})
}

// Variant 72 of the model: a newer token is another caller's, and clears for both.
func TestInvalidateAllOfSeveralAtOnce(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.TwoFilled(t, rdb)
		p, began := testkit.NewTap(rdb), time.Now()
		n := count(p, testkit.ClearTokenKey)
		var all []<-chan testkit.Result[int]
		for i := range 4 {
			by := []*cache.Cache[int]{c, other}[i%2]
			all = append(all, testkit.Start(func() (int, error) { return 0, by.InvalidateAll(t.Context()) }))
			time.Sleep(100 * time.Millisecond)
		}
		for _, each := range all {
			require.NoError(t, testkit.Soon(t, each, "InvalidateAll").Err)
		}
		assert.Equal(t, 1300*time.Millisecond, time.Since(began))
		assert.LessOrEqual(t, n.exchanges.Load(), int64(9), "two each, and the script")
	})
}

func TestCloseDuringTheSecondOfInvalidateAll(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.TwoFilled(t, rdb)
		cleared := testkit.Start(func() (int, error) { return 0, c.InvalidateAll(t.Context()) })
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, c.Close())
		assert.ErrorIs(t, testkit.Soon(t, cleared, "InvalidateAll").Err, cache.ErrClosed)
		assert.ErrorIs(t, c.InvalidateAll(t.Context()), cache.ErrClosed)
		assert.ErrorIs(t, c.InvalidateTags(t.Context(), "x"), cache.ErrClosed)
		time.Sleep(500 * time.Millisecond)
		testkit.Missing(t, other, "the new token stays")
	})
}

// What is loaded while InvalidateAll waits is not served from a load that began
// before it, in this process either.
func TestInvalidateAllDetachesTheLoadsOfItsProcess(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb)
		var row atomic.Int64
		loader := testkit.NewGated(func() int { return int(row.Load()) })
		first := testkit.Start(func() (int, error) { return c.GetOrLoad(ctx, "k", loader.Load) })
		testkit.Soon(t, loader.Entered, "the load")
		row.Store(1)
		require.NoError(t, c.InvalidateAll(ctx))
		second := testkit.Start(func() (int, error) { return c.GetOrLoad(ctx, "k", loader.Load) })
		synctest.Wait()
		close(loader.Release)
		require.NoError(t, testkit.Soon(t, first, "the first caller").Err)
		got := testkit.Soon(t, second, "the caller after it")
		require.NoError(t, got.Err)
		assert.Equal(t, 1, got.V)
		assert.EqualValues(t, 1, c.Stats().RefusedFills)
	})
}

func TestSpansOfInvalidations(t *testing.T) {
	testkit.InTrace(t, nil, func(t *testing.T, c *testkit.Traced) {
		ctx := t.Context()
		require.NoError(t, c.InvalidateAll(ctx))
		assert.Equal(t, "cache.flush", c.Spans.Tree())
		span := c.Spans.Named(t, "cache.flush")
		assert.Equal(t, codes.Unset, span.Status.Code)
		assert.Equal(t, time.Second, span.EndTime.Sub(span.StartTime))
		c.Spans.Memory.Reset()

		require.NoError(t, c.InvalidateTags(ctx, testkit.Secret, "b"))
		assert.Equal(t, "cache.remove", c.Spans.Tree())
		span = c.Spans.Named(t, "cache.remove")
		assert.Equal(t, codes.Unset, span.Status.Code)
		assert.NotContains(t, testkit.Everything(c.Spans), testkit.Secret, "a tag may be anything")
		c.Spans.Memory.Reset()

		require.NoError(t, c.InvalidateTags(ctx), "of none")
		require.Error(t, c.InvalidateTags(ctx, ""))
		assert.Empty(t, c.Spans.Tree(), "nothing was sent")

		c.Rdb.Fail("LOADING the database")
		require.ErrorIs(t, c.InvalidateTags(ctx, "b"), cache.ErrPending)
		require.ErrorIs(t, c.InvalidateAll(ctx), cache.ErrPending)
		for _, name := range []string{"cache.remove", "cache.flush"} {
			span := c.Spans.Named(t, name)
			assert.Equal(t, codes.Error, span.Status.Code, name)
		}
		c.Rdb.Heal()
		require.NoError(t, c.Shutdown(ctx))
		assert.False(t, strings.Contains(testkit.Everything(c.Spans), testkit.Secret))
	})
}
