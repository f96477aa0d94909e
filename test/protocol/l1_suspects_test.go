package protocol_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// While Redis is down, what the L1 held serves only those who accept a stale value
// rather than an error; when it is back, nobody.
func TestSuspectsServeStaleIfErrorOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := redistest.Single(t)
	s := testkit.NewStation(t, server, cache.L1Options{TTL: time.Minute})
	var mu sync.Mutex
	var events []cache.StaleEvent
	tolerant := testkit.Class(func(ttl *cache.TTL) { ttl.StaleIfError = time.Minute })
	c := testkit.Brisk[int](t, s, tolerant, cache.WithLock(cache.Lock{Wait: time.Millisecond}),
		cache.WithHooks(cache.Hooks{Stale: func(e cache.StaleEvent) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}}))
	for _, key := range []string{"k", "changed"} {
		s.Locally(t, func() error { _, err := c.GetOrLoad(ctx, key, testkit.Value(1)); return err })
	}
	server.Kill()
	testkit.Eventually(t, func() bool { return !testkit.Hears(t, c) }, "the subscription to be lost")

	got, err := c.GetOrLoad(ctx, "k", testkit.Failing[int](testkit.ErrSource))
	require.NoError(t, err)
	assert.Equal(t, 1, got)
	assert.EqualValues(t, 1, c.Stats().Stale)
	mu.Lock()
	require.Len(t, events, 1)
	assert.Equal(t, "k", events[0].Key)
	assert.ErrorIs(t, events[0].Err, testkit.ErrSource)
	assert.Positive(t, events[0].Age)
	mu.Unlock()

	fresh, err := c.GetOrLoad(ctx, "k", testkit.Value(2))
	require.NoError(t, err)
	assert.Equal(t, 2, fresh, "a load that succeeds wins")
	for name, opt := range map[string]cache.EntryOption{
		"a class without StaleIfError": testkit.Class(func(*cache.TTL) {}),
		"a value beyond its MaxAge": testkit.Class(func(ttl *cache.TTL) {
			ttl.Fresh, ttl.StaleIfError, ttl.MaxAge = time.Millisecond, time.Minute, time.Millisecond
		}),
	} {
		_, err = c.GetOrLoad(ctx, "k", testkit.Failing[int](testkit.ErrSource), opt)
		assert.ErrorIs(t, err, testkit.ErrSource, name)
	}
	require.ErrorIs(t, c.Invalidate(ctx, "changed"), cache.ErrPending)
	_, err = c.GetOrLoad(ctx, "changed", testkit.Failing[int](testkit.ErrSource))
	assert.ErrorIs(t, err, testkit.ErrSource, "what this process has changed is gone")

	server.Restart()
	testkit.Eventually(t, func() bool { return testkit.Hears(t, c) }, "the subscription to be back")
	testkit.Eventually(t, func() bool {
		_, err := c.GetOrLoad(ctx, "k", testkit.Failing[int](testkit.ErrSource))
		return err != nil
	}, "the suspects to be dropped")
	s.Locally(t, func() error { _, err := c.GetOrLoad(ctx, "k", testkit.Value(3)); return err })
}

// Scenario 28 for the L1: whatever Redis does, and in whatever order they are closed,
// nothing is left.
func TestClosingAnL1LeavesNothing(t *testing.T) {
	server := redistest.Single(t)
	for name, fault := range map[string]func(*redistest.Proxy){
		"alive":            func(*redistest.Proxy) {},
		"dead":             (*redistest.Proxy).Cut,
		"a black hole":     (*redistest.Proxy).Swallow,
		"a sudden silence": func(p *redistest.Proxy) { time.AfterFunc(time.Millisecond, p.Swallow) },
	} {
		for order, l1First := range map[string]bool{"L1 first": true, "cache first": false} {
			for when, wait := range map[string]bool{"in use": true, "while it subscribes": false} {
				if wait && name != "alive" {
					continue
				}
				t.Run(name+", "+order+", "+when, func(t *testing.T) { closes(t, server, fault, l1First, wait) })
			}
		}
	}
}

func closes(t *testing.T, server *redistest.Server, fault func(*redistest.Proxy), l1First, wait bool) {
	t.Helper()
	p := redistest.NewProxy(t, server.Addr())
	before := goleak.IgnoreCurrent()
	client := redis.NewClient(testkit.TunedAt(p.Addr()))
	fault(p)
	l, err := cache.NewL1(client, cache.L1Options{})
	require.NoError(t, err)
	c, err := cache.New(client, "test", cache.Aside[int](), cache.WithL1(l))
	require.NoError(t, err)
	if wait {
		testkit.InUse(t, c)
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
	}
	began := time.Now()
	if l1First {
		require.NoError(t, l.Close())
		_, err := c.GetOrLoad(context.WithoutCancel(t.Context()), "k", testkit.Value(1))
		assert.NoError(t, err, "it goes on without")
		require.NoError(t, c.Close())
	} else {
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
	}
	t.Logf("closed in %v", time.Since(began))
	assert.Less(t, time.Since(began), 5*time.Second)
	require.NoError(t, client.Close())
	goleak.VerifyNone(t, before)
}
