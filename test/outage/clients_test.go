package outage_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
)

// brokenHook is a hook with a bug.
type brokenHook struct{ on atomic.Bool }

func (h *brokenHook) panics() {
	if h.on.Load() {
		var rows []int
		_ = rows[len(rows)]
	}
}

func (*brokenHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *brokenHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h.panics()
		return err
	}
}

func (h *brokenHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		h.panics()
		return err
	}
}

// A hook of the client that panics makes operations fail, each for all who shared it,
// on whatever goroutine it ran. It neither ends the process nor speaks against Redis.
func TestAHookOfTheClientMayPanic(t *testing.T) {
	for name, configure := range map[string]func(*redis.Options){
		"on the goroutine of the caller": func(o *redis.Options) { o.ContextTimeoutEnabled = true },
		"on one of the cache's":          func(o *redis.Options) { o.ContextTimeoutEnabled = false },
	} {
		t.Run(name, func(t *testing.T) {
			rdb, hook := redistest.Single(t).Client(t, configure), new(brokenHook)
			rdb.AddHook(hook)
			l1, err := cache.NewL1(rdb, cache.L1Options{})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, l1.Close()) })
			sliding := cache.Expires(&cache.TTL{Fresh: patience, Sliding: true, MaxAge: patience})
			budgets := cache.WithBudgets(patience, patience) // a busy machine must not end a command before its hook does
			c, near := asideCache(t, rdb, budgets), asideCache(t, rdb, budgets, cache.WithL1(l1), sliding)
			one := func(context.Context, string) (int, error) { return 1, nil }
			for _, key := range manyKeys(32) {
				_, err := c.GetOrLoad(t.Context(), key, one)
				require.NoError(t, err)
			}
			hook.on.Store(true)
			var callers sync.WaitGroup
			for _, key := range manyKeys(32) {
				for _, c := range []*cache.Cache[int]{c, near} {
					callers.Go(func() {
						for range 50 {
							v, err := c.GetOrLoad(t.Context(), key, one)
							assert.NoError(t, err)
							assert.Equal(t, 1, v)
							_, err = c.Get(t.Context(), key)
							assert.ErrorContains(t, err, "a hook of the client panicked: runtime error")
						}
					})
				}
			}
			callers.Wait()
			require.ErrorIs(t, c.Invalidate(t.Context(), "1"), cache.ErrPending)
			require.ErrorIs(t, c.Update(t.Context(), "2", func(context.Context) error { return nil }), cache.ErrPending)
			require.Error(t, c.Set(t.Context(), "3", 3))
			seen, err := c.Explain(t.Context(), "1")
			require.Error(t, err)
			assert.False(t, seen.BreakerOpen)
			hook.on.Store(false)
			require.Eventually(t, func() bool { return c.Stats().Pending == 0 }, patience, tick)
			_, err = c.Get(t.Context(), "4")
			assert.NoError(t, err)
		})
	}
}

// wrapped is a client, and a provider, that can be compared by its type and not by
// what is in it.
type wrapped struct {
	redis.UniversalClient
	with any
}

type provider struct {
	trace.TracerProvider
	with any
}

// What a caller wraps need not be comparable.
func TestClientsAndProvidersThatCannotBeCompared(t *testing.T) {
	rdb := wrapped{cachetest.Redis(t), []string{"a slice"}}
	for range 2 {
		c, err := cache.New(rdb, "test", cache.Aside[int](),
			cache.WithTracerProvider(provider{noop.NewTracerProvider(), []int{1}}))
		require.NoError(t, err)
		for range 2 {
			v, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) { return 1, nil })
			require.NoError(t, err)
			require.Equal(t, 1, v)
		}
		require.NoError(t, c.Close())
	}
}
