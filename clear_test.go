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
)

// traffic counts what a client sends: exchanges, and commands on one key.
type traffic struct{ exchanges, onKey atomic.Int64 }

func count(p *tap, key string) *traffic {
	var n traffic
	p.set(func(cmds []redis.Cmder) error {
		n.exchanges.Add(1)
		for _, cmd := range cmds {
			if mentions([]redis.Cmder{cmd}, "get", key) || mentions([]redis.Cmder{cmd}, "evalsha", key) {
				n.onKey.Add(1)
			}
		}
		return nil
	}, nil)
	return &n
}

// twoFilled is a cache, and another process whose lease of the clear token is new: both
// have served the entry.
func twoFilled(t *testing.T, rdb redis.UniversalClient, opts ...cache.Option) (c, other *cache.Cache[int]) {
	t.Helper()
	c, other = newCache[int](t, rdb, opts...), newCache[int](t, rdb)
	for _, each := range []*cache.Cache[int]{c, other} {
		v, err := each.GetOrLoad(t.Context(), "k", value(1))
		require.NoError(t, err)
		require.Equal(t, 1, v)
	}
	time.Sleep(time.Millisecond) // tokens of one microsecond have no order
	return c, other
}

func missing[T any](t *testing.T, c *cache.Cache[T], why ...any) {
	t.Helper()
	_, err := c.Get(t.Context(), "k")
	assert.ErrorIs(t, err, cache.ErrMiss, why...)
}

func TestInvalidateAllTakesTwoRoundTripsAndASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := twoFilled(t, rdb)
		require.NoError(t, c.InvalidateAll(t.Context()), "loads the script")
		n, began := count(newTap(rdb), clearTokenKey), time.Now()
		require.NoError(t, c.InvalidateAll(t.Context()))
		assert.Equal(t, time.Second, time.Since(began))
		assert.EqualValues(t, 2, n.exchanges.Load())
		missing(t, c)
		missing(t, other)
		v, err := other.GetOrLoad(t.Context(), "k", value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, v)
		got, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, 2, got)
	})
}

// The second is for processes that hold the token: variants 70 and 70a of the model.
func TestProcessesMayHoldTheOldTokenDuringTheSecond(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := twoFilled(t, rdb)
		time.Sleep(time.Second)
		_, err := other.Get(t.Context(), "k") // a new lease
		require.NoError(t, err)
		cleared := start(func() (int, error) { return 0, c.InvalidateAll(t.Context()) })
		time.Sleep(400 * time.Millisecond) // not yet due for renewal
		missing(t, c, "the caller's own process has dropped it")
		got, err := other.Get(t.Context(), "k")
		require.NoError(t, err, "which is why InvalidateAll waits; else the test is blind")
		assert.Equal(t, 1, got)
		assert.Empty(t, cleared)
		require.NoError(t, soon(t, cleared, "InvalidateAll").err)
		missing(t, other)
	})
}

func TestAHitPaysNothingForTheClearToken(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, _ := twoFilled(t, rdb)
		n := count(newTap(rdb), clearTokenKey)
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
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := twoFilled(t, rdb)
		before := rdb.Get(t.Context(), clearTokenKey).Val()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		assert.Equal(t, context.DeadlineExceeded, c.InvalidateAll(ctx), "bare")
		assert.Greater(t, rdb.Get(t.Context(), clearTokenKey).Val(), before, "the new token stays")
		assert.Zero(t, c.Stats().Pending)
		missing(t, c)
		time.Sleep(700 * time.Millisecond)
		missing(t, other, "everywhere within the second")
		assert.Equal(t, context.DeadlineExceeded, c.InvalidateAll(ctx))
	})
}

// Variants 71, 71a and 71b of the model.
func TestAFailoverThatBringsTheOldClearTokenBack(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c, other := twoFilled(t, rdb)
		old := rdb.Get(ctx, clearTokenKey).Val()
		began := time.Now()
		cleared := start(func() (int, error) { return 0, c.InvalidateAll(ctx) })
		time.Sleep(900 * time.Millisecond)
		require.NotEqual(t, old, rdb.Get(ctx, clearTokenKey).Val())
		require.NoError(t, rdb.Set(ctx, clearTokenKey, old, 0).Err())
		got, err := other.Get(ctx, "k") // holds the old token, again, until 1.9 s
		require.NoError(t, err)
		require.Equal(t, 1, got)
		require.NoError(t, soon(t, cleared, "InvalidateAll").err)
		assert.Equal(t, 2*time.Second, time.Since(began), "the second token was waited for, too")
		assert.Greater(t, rdb.Get(ctx, clearTokenKey).Val(), old)
		missing(t, other)
		missing(t, c)
	})
}

// Variant 72 of the model: a newer token is another caller's, and clears for both.
func TestInvalidateAllOfSeveralAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := twoFilled(t, rdb)
		p, began := newTap(rdb), time.Now()
		n := count(p, clearTokenKey)
		var all []<-chan result[int]
		for i := range 4 {
			by := []*cache.Cache[int]{c, other}[i%2]
			all = append(all, start(func() (int, error) { return 0, by.InvalidateAll(t.Context()) }))
			time.Sleep(100 * time.Millisecond)
		}
		for _, each := range all {
			require.NoError(t, soon(t, each, "InvalidateAll").err)
		}
		assert.Equal(t, 1300*time.Millisecond, time.Since(began))
		assert.LessOrEqual(t, n.exchanges.Load(), int64(9), "two each, and the script")
	})
}

func TestCloseDuringTheSecondOfInvalidateAll(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := twoFilled(t, rdb)
		cleared := start(func() (int, error) { return 0, c.InvalidateAll(t.Context()) })
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, c.Close())
		assert.ErrorIs(t, soon(t, cleared, "InvalidateAll").err, cache.ErrClosed)
		assert.ErrorIs(t, c.InvalidateAll(t.Context()), cache.ErrClosed)
		assert.ErrorIs(t, c.InvalidateTags(t.Context(), "x"), cache.ErrClosed)
		time.Sleep(500 * time.Millisecond)
		missing(t, other, "the new token stays")
	})
}

// What is loaded while InvalidateAll waits is not served from a load that began
// before it, in this process either.
func TestInvalidateAllDetachesTheLoadsOfItsProcess(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := newCache[int](t, rdb)
		var row atomic.Int64
		loader := newGated(func() int { return int(row.Load()) })
		first := start(func() (int, error) { return c.GetOrLoad(ctx, "k", loader.load) })
		soon(t, loader.entered, "the load")
		row.Store(1)
		require.NoError(t, c.InvalidateAll(ctx))
		second := start(func() (int, error) { return c.GetOrLoad(ctx, "k", loader.load) })
		synctest.Wait()
		close(loader.release)
		require.NoError(t, soon(t, first, "the first caller").err)
		got := soon(t, second, "the caller after it")
		require.NoError(t, got.err)
		assert.Equal(t, 1, got.v)
		assert.EqualValues(t, 1, c.Stats().RefusedFills)
	})
}

func TestSpansOfInvalidations(t *testing.T) {
	inTrace(t, nil, func(t *testing.T, c *traced) {
		ctx := t.Context()
		require.NoError(t, c.InvalidateAll(ctx))
		assert.Equal(t, "cache.flush", c.spans.tree())
		span := c.spans.named(t, "cache.flush")
		assert.Equal(t, codes.Unset, span.Status.Code)
		assert.Equal(t, time.Second, span.EndTime.Sub(span.StartTime))
		c.spans.memory.Reset()

		require.NoError(t, c.InvalidateTags(ctx, secret, "b"))
		assert.Equal(t, "cache.remove", c.spans.tree())
		span = c.spans.named(t, "cache.remove")
		assert.Equal(t, codes.Unset, span.Status.Code)
		assert.NotContains(t, everything(c.spans), secret, "a tag may be anything")
		c.spans.memory.Reset()

		require.NoError(t, c.InvalidateTags(ctx), "of none")
		require.Error(t, c.InvalidateTags(ctx, ""))
		assert.Empty(t, c.spans.tree(), "nothing was sent")

		c.rdb.Fail("LOADING the database")
		require.ErrorIs(t, c.InvalidateTags(ctx, "b"), cache.ErrPending)
		require.ErrorIs(t, c.InvalidateAll(ctx), cache.ErrPending)
		for _, name := range []string{"cache.remove", "cache.flush"} {
			span := c.spans.named(t, name)
			assert.Equal(t, codes.Error, span.Status.Code, name)
		}
		c.rdb.Heal()
		require.NoError(t, c.Shutdown(ctx))
		assert.False(t, strings.Contains(everything(c.spans), secret))
	})
}
