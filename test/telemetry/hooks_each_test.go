package telemetry_test

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// TestHooks and its neighbours are in a bubble. The two hooks that are called by
// goroutines of the cache's, or for all caches of a client, are here.

// outsideCalls are how the other hooks come to be called, and what must go on then.
// opened is told the cache first.
var outsideCalls = map[string]func(t *testing.T, hooks cache.Hooks, log *slog.Logger, opened func(*cache.Cache[string])){
	"Breaker": func(t *testing.T, hooks cache.Hooks, log *slog.Logger, opened func(*cache.Cache[string])) {
		rdb := cachetest.Redis(t)
		c, err := cache.New(rdb, "test", cache.Aside[string](), cache.WithHooks(hooks), cache.WithLogger(log))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() }) // hooks may leave invalidations
		opened(c)
		rdb.Fail("LOADING")
		testkit.Eventually(t, func() bool { _, _ = c.Get(t.Context(), "k"); return refuses(t, c) }, "the breaker to open")
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("past Redis"))
		require.NoError(t, err)
		assert.Equal(t, "past Redis", got)
		rdb.Heal()
		testkit.Eventually(t, func() bool { _, _ = c.Get(t.Context(), "k"); return !refuses(t, c) }, "the breaker to close")
	},
	"DeadLetter": func(t *testing.T, hooks cache.Hooks, log *slog.Logger, opened func(*cache.Cache[string])) {
		ledger, _ := testkit.Picky(func() error { return testkit.ErrRefused })
		c := testkit.NewBehind(t, cachetest.Redis(t), ledger, testkit.OneTry, cache.WithHooks(hooks), cache.WithLogger(log))
		opened(c)
		require.NoError(t, c.Set(t.Context(), "k", "bad"))
		testkit.Eventually(t, func() bool { return len(testkit.Letters(t, c)) == 1 }, "the dead letter")
		require.NoError(t, c.Set(t.Context(), "next", "good"))
		testkit.Eventually(t, func() bool { return ledger.Values()["next"] == "good" }, "the workers to go on")
	},
}

// outsideHooks are those of outsideCalls, each of which calls f with its name.
func outsideHooks(f func(hook string)) cache.Hooks {
	return cache.Hooks{
		Breaker:    func(bool) { f("Breaker") },
		DeadLetter: func(string, uint64, error) { f("DeadLetter") },
	}
}

func TestEveryHookIsTested(t *testing.T) {
	tested := map[string]bool{}
	for _, test := range hookCases() {
		tested[test.hook] = true
	}
	for hook := range outsideCalls {
		tested[hook] = true
	}
	hooks := reflect.TypeFor[cache.Hooks]()
	for i := range hooks.NumField() {
		assert.Equal(t, reflect.Func, hooks.Field(i).Type.Kind(), "it may be nil")
		assert.True(t, tested[hooks.Field(i).Name], "no test makes %s panic, or call the cache", hooks.Field(i).Name)
	}
	assert.Len(t, tested, hooks.NumField())
}

func TestHooksOfTheBackgroundMayPanic(t *testing.T) {
	for name, call := range outsideCalls {
		t.Run(name, func(t *testing.T) {
			var out log
			call(t, outsideHooks(func(string) { panic("a bug in a hook") }), slog.New(slog.NewTextHandler(&out, nil)), func(*cache.Cache[string]) {})
			testkit.Eventually(t, func() bool { return strings.Contains(out.String(), "hook="+name) }, "the log")
		})
	}
}

func TestHooksOfTheBackgroundMayCallTheCache(t *testing.T) {
	for name, call := range outsideCalls {
		t.Run(name, func(t *testing.T) {
			called := make(chan string, 100)
			var opened atomic.Pointer[cache.Cache[string]]
			var inside atomic.Bool // a hook: what it does is not hooked again
			call(t, outsideHooks(func(hook string) {
				c := opened.Load()
				if c == nil || !inside.CompareAndSwap(false, true) {
					return
				}
				defer inside.Store(false)
				ctx := context.Background()
				_, _ = c.Get(ctx, "k")
				_, _ = c.GetOrLoad(ctx, "other", testkit.Value("other"))
				_ = c.Set(ctx, "other", "other")
				_ = c.Invalidate(ctx, "other")
				_ = c.Stats()
				select {
				case called <- hook:
				default:
				}
			}), slog.New(slog.DiscardHandler), opened.Store)
			assert.Equal(t, name, testkit.Soon(t, called, "the hook to return"))
		})
	}
}

// refuses reports whether the breaker keeps c from asking Redis.
func refuses(t *testing.T, c *cache.Cache[string]) bool {
	e, _ := c.Explain(t.Context(), "k")
	return e.BreakerOpen
}

// A cache without hooks, or with some, calls those that there are.
func TestHooksMayBeNil(t *testing.T) {
	for name, call := range outsideCalls {
		t.Run(name, func(t *testing.T) {
			call(t, cache.Hooks{}, slog.New(slog.DiscardHandler), func(*cache.Cache[string]) {})
		})
	}
	for _, test := range hookCases() {
		t.Run(test.name, func(t *testing.T) {
			testkit.InTrace(t, test.class, func(t *testing.T, c *testkit.Traced) {
				test.call(t, c)
				testkit.Settled(t, c.Cache)
				c.Rdb.Heal()
			})
		})
	}
}
