package outage_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/testkit"
)

// While the breaker is open a call costs the load and nothing else, and the caches
// of one client know of it together. Hooks.Breaker hears of it once.
func TestBreakerIsSharedByTheCachesOfAClient(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	rdb := testkit.TunedClient(t, server, func(o *redis.Options) { o.Addr = proxy.Addr() })
	opens, closes := make(chan bool, 100), make(chan bool, 100)
	hook := func(told chan bool) cache.Option {
		return cache.WithHooks(cache.Hooks{Breaker: func(open bool) { told <- open }})
	}
	recorded := testkit.NewRecorder()
	var asked atomic.Int64 // commands that Redis did not answer, of all that were sent
	one := testkit.NewBudgeted[int](t, rdb, hook(opens))
	two := testkit.NewBudgeted[int](t, rdb, cache.WithTracerProvider(recorded), cache.WithHooks(cache.Hooks{
		Breaker: func(open bool) { closes <- open },
		RedisError: func(_ string, err error) {
			if !errors.Is(err, store.ErrOpen) {
				asked.Add(1)
			}
		},
	}))
	ctx := t.Context()
	for _, c := range []*cache.Cache[int]{one, two} {
		_, err := c.GetOrLoad(ctx, "k", testkit.Value(1))
		require.NoError(t, err)
	}
	proxy.Swallow()
	for range 5 { // one after the other: each waits out its budget
		v, err := one.GetOrLoad(ctx, "k", testkit.Value(1))
		require.NoError(t, err)
		require.Equal(t, 1, v)
	}
	assert.True(t, testkit.Soon(t, opens, "the breaker to open"))
	assert.True(t, testkit.Soon(t, closes, "the other cache to be told"))

	recorded.Memory.Reset()
	began := time.Now()
	var quick, calls int
	for time.Since(began) < 3*time.Second {
		begin := time.Now()
		v, err := two.GetOrLoad(ctx, "k", testkit.Value(2))
		require.NoError(t, err)
		require.Equal(t, 2, v)
		if calls++; time.Since(begin) <= 2*time.Millisecond {
			quick++
		}
	}
	t.Logf("while open: %d calls, %d within 2 ms, %d of them probes", calls, quick, asked.Load())
	// Back-offs of 200, 400, 800 ms and then a second, less a fifth, and a budget each.
	assert.LessOrEqual(t, asked.Load(), int64(6), "nobody but the probes asks Redis")
	assert.Positive(t, asked.Load())
	assert.Greater(t, quick, calls/2, "a call does not wait for Redis")
	assert.Empty(t, opens, "half-open and open again is no change")
	refused := 0
	for _, span := range recorded.Spans() {
		for _, attribute := range span.Attributes {
			if attribute.Key == "cache.breaker" {
				assert.Equal(t, "cache.get", span.Name)
				assert.Equal(t, "open", attribute.Value.AsString())
				refused++
			}
		}
	}
	assert.Equal(t, calls-int(asked.Load()), refused, "their spans say so")

	require.NoError(t, proxy.Heal())
	testkit.Eventually(t, func() bool { v, err := two.Get(ctx, "k"); return err == nil && v == 1 }, "the entry to be served again")
	assert.False(t, testkit.Soon(t, opens, "the breaker to close"))
	assert.False(t, testkit.Soon(t, closes, "the other cache to be told"))
}

// Close ends a cache in time, in each state that it can be in while Redis does not
// answer, and says what it owes.
func TestCloseWhileTheBreakerIsOpen(t *testing.T) {
	forever := func(ctx context.Context, _ string) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
	tests := []struct {
		name string
		with func(t *testing.T, c *cache.Cache[int])
		left int
	}{
		{"idle", func(*testing.T, *cache.Cache[int]) {}, 0},
		{"during loads", func(t *testing.T, c *cache.Cache[int]) {
			for i := range 4 {
				go func() { _, _ = c.GetOrLoad(context.Background(), "load "+strconv.Itoa(i), forever) }()
			}
			testkit.Eventually(t, func() bool { return c.Stats().Waiting == 4 }, "the loads")
		}, 0},
		{"with a queue of invalidations", func(t *testing.T, c *cache.Cache[int]) {
			require.ErrorIs(t, c.Invalidate(t.Context(), "a", "b"), cache.ErrPending)
			require.ErrorIs(t, c.Update(t.Context(), "c", func(context.Context) error { return nil }), cache.ErrPending)
		}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Single(t)
			opened := make(chan bool, 100)
			c, err := cache.New(testkit.TunedClient(t, server), "test", cache.Aside[int](),
				cache.WithHooks(cache.Hooks{Breaker: func(open bool) { opened <- open }}))
			require.NoError(t, err)
			_, err = c.GetOrLoad(t.Context(), "k", testkit.Value(1))
			require.NoError(t, err)
			server.Pause()
			for range 6 {
				_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
				require.NoError(t, err)
			}
			require.True(t, testkit.Soon(t, opened, "the breaker to open"))
			test.with(t, c)
			closed := testkit.Start(func() (struct{}, error) { return struct{}{}, c.Close() })
			err = testkit.Soon(t, closed, "Close").Err
			if test.left == 0 {
				assert.NoError(t, err)
				return
			}
			var left *cache.RemainingError
			require.ErrorAs(t, err, &left)
			assert.Equal(t, test.left, left.Pending)
		})
	}
}
