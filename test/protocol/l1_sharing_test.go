package protocol_test

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestClonesAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	for name, tt := range map[string]struct {
		clone func(any) any
		near  bool
	}{
		"copied":                       {func(v any) any { return maps.Clone(v.(map[string]int)) }, true},
		"a Clone of another type":      {func(any) any { return 1 }, false},
		"a Clone that returns nothing": {func(any) any { return nil }, false},
		"a Clone that panics":          {func(any) any { panic("boom") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := testkit.NewStation(t, server, cache.L1Options{TTL: time.Minute, Clone: tt.clone})
			c := hearing[map[string]int](t, s)
			load := func(context.Context, string) (map[string]int, error) { return map[string]int{"a": 1}, nil }
			for range 50 {
				got, err := c.GetOrLoad(t.Context(), "k", load)
				require.NoError(t, err)
				require.Equal(t, map[string]int{"a": 1}, got)
				got["a"], got["b"] = 2, 2
			}
			assert.Equal(t, tt.near, c.Stats().HitsL1 > 0)
		})
	}
}

// Caches of different types share an L1, and its budget.
func TestCachesShareTheBudget(t *testing.T) {
	t.Parallel()
	const budget = 64 << 10
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute, MaxBytes: budget})
	m := testkit.NewMeters(t)
	of := hearing[int](t, s, cache.WithMeterProvider(m))
	texts, err := cache.New(s.Rdb, "texts", cache.Aside[string](), testkit.Patient(), cache.WithL1(s.L1), cache.WithMeterProvider(m))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, texts.Close()) })
	testkit.InUse(t, texts)
	twin := hearing[int](t, s, cache.WithMeterProvider(m)) // the same name and type again
	ctx := t.Context()
	s.Locally(t, func() error { _, err := of.GetOrLoad(ctx, "k", testkit.Value(1)); return err })
	s.Locally(t, func() error { _, err := texts.GetOrLoad(ctx, "k", testkit.Value("one")); return err })
	s.Locally(t, func() error { _, err := twin.GetOrLoad(ctx, "k", testkit.Value(2)); return err })
	number, err := of.GetOrLoad(ctx, "k", testkit.Value(3))
	require.NoError(t, err)
	text, err := texts.GetOrLoad(ctx, "k", testkit.Value("two"))
	require.NoError(t, err)
	assert.Equal(t, []any{1, "one"}, []any{number, text})

	require.NoError(t, twin.Invalidate(ctx, "k"))
	testkit.Eventually(t, func() bool { got, err := of.GetOrLoad(ctx, "k", testkit.Value(4)); return err == nil && got == 4 }, "the twin's message")
	text, err = texts.GetOrLoad(ctx, "k", testkit.MustNotLoad[string](t))
	require.NoError(t, err)
	assert.Equal(t, "one", text)

	for _, key := range testkit.Numbers(1000) {
		_, err := of.GetOrLoad(ctx, key, testkit.Value(1))
		require.NoError(t, err)
		_, err = of.Get(ctx, key) // what a load has stored its own message may drop
		require.NoError(t, err)
		_, err = texts.GetOrLoad(ctx, key, testkit.Value(key))
		require.NoError(t, err)
		_, err = texts.Get(ctx, key)
		require.NoError(t, err)
	}
	testkit.Eventually(t, func() bool { return m.Collect(t).Sum("cache.l1.size") <= budget }, "the budget to be respected")
	assert.Positive(t, m.Collect(t).Sum("cache.l1.evictions"))
	assert.Positive(t, m.Collect(t).Sum("cache.l1.entries"))
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A cache on another Redis than its L1 would never be told of a change.
func TestACacheOnAnotherRedisDoesWithoutItsL1(t *testing.T) {
	t.Parallel()
	l := testkit.NewL1(t, redistest.Single(t).Client(t), cache.L1Options{TTL: time.Minute})
	var log logged
	m := testkit.NewMeters(t)
	c := testkit.NewCache[int](t, redistest.Single(t).Client(t), cache.WithL1(l), cache.WithMeterProvider(m),
		cache.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	testkit.Eventually(t, func() bool {
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		return bytes.Contains([]byte(log.String()), []byte("same Redis"))
	}, "the warning")
	assert.Zero(t, c.Stats().HitsL1)
	assert.Zero(t, m.Collect(t).Sum("cache.l1.entries"))
}
