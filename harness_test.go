package cache_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
)

// eachRedis runs test on miniredis and on a real redis-server.
func eachRedis(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Run("miniredis", func(t *testing.T) { test(t, cachetest.Redis(t)) })
	t.Run("redis", func(t *testing.T) { test(t, redistest.Single(t).Client(t)) })
}

// patient gives Redis operations so long that a busy machine cannot make them time
// out. What is about budgets does without it.
func patient() cache.Option { return cache.WithBudgets(30*time.Second, 30*time.Second) }

// newCache is a cache that the end of the test closes.
func newCache[T any](t testing.TB, rdb redis.UniversalClient, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	c, err := cache.New(rdb, "test", cache.Aside[T](), patient(), cache.Options(opts))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// value is a loader that returns v.
func value[T any](v T) cache.Loader[T] {
	return func(context.Context, string) (T, error) { return v, nil }
}

// failing is a loader that fails with err.
func failing[T any](err error) cache.Loader[T] {
	return func(context.Context, string) (v T, _ error) { return v, err }
}

// mustNotLoad is a loader that fails the test when it is called.
func mustNotLoad[T any](t testing.TB) cache.Loader[T] {
	return func(context.Context, string) (v T, _ error) {
		t.Error("the loader was called")
		return v, errors.New("must not load")
	}
}

// gated is a loader that waits: each call reads the value, says so on entered,
// and returns what it read once it is let go.
type gated[T any] struct {
	read    func() T
	entered chan struct{}
	release chan struct{}
	calls   atomic.Int64
}

func newGated[T any](read func() T) *gated[T] {
	return &gated[T]{read: read, entered: make(chan struct{}, 1000), release: make(chan struct{})}
}

func (g *gated[T]) load(ctx context.Context, _ string) (T, error) {
	g.calls.Add(1)
	v := g.read()
	g.entered <- struct{}{}
	select {
	case <-g.release:
		return v, nil
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// result is what a call on another goroutine ended with.
type result[T any] struct {
	v   T
	err error
}

// start runs f on a goroutine of its own.
func start[T any](f func() (T, error)) <-chan result[T] {
	out := make(chan result[T], 1)
	go func() {
		v, err := f()
		out <- result[T]{v, err}
	}()
	return out
}

// forever is how long to wait for what must happen at all.
const forever = time.Minute

// soon waits for a value that must come.
func soon[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(forever):
		require.FailNow(t, "timed out waiting for "+what)
		panic("unreachable")
	}
}

// eventually polls until ok.
func eventually(t testing.TB, ok func() bool, what string) {
	t.Helper()
	require.Eventually(t, ok, forever, 2*time.Millisecond, what)
}

// figure is how long something took, and what it must stay below.
type figure struct {
	what        string
	took, bound time.Duration
}

// inTime asserts that the figures of a round are below their bounds. A busy
// machine may spoil a round, so it gets three of them; what else is asserted in
// one counts at once.
func inTime(t *testing.T, round func() []figure) {
	t.Helper()
	for left := 2; ; left-- {
		var late []figure
		for _, f := range round() {
			if f.took >= f.bound {
				late = append(late, f)
			}
		}
		if len(late) == 0 || left == 0 || t.Failed() {
			assert.Empty(t, late, "not below their bounds")
			return
		}
		t.Logf("not below their bounds, %d more rounds: %+v", left, late)
	}
}

// waiting reports whether n callers wait for loads of c.
func waiting[T any](c *cache.Cache[T], n int) func() bool {
	return func() bool { return c.Stats().Waiting >= int64(n) }
}

// inBubble runs test on a fake clock that the program and Redis share.
func inBubble(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	t.Run("by what is left of a record", func(t *testing.T) {
		b := cachetest.NewBubble(t)
		synctest.Test(t, func(t *testing.T) { test(t, b.Redis(t)) })
	})
	t.Run("by the clock of Redis", func(t *testing.T) { inOneBubble(t, test) })
}

// inOneBubble is inBubble for a test that keeps something outside of it: once, with
// a Redis whose clock is asked.
func inOneBubble(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		rdb := b.Redis(t)
		rdb.AddHook(claims{})
		test(t, rdb)
	})
}

// claims is a hook that lets a miniredis call itself Redis: it is for those whose
// clock and keys have one time.
type claims struct{}

const redisInfo = "redis_version:7.0.0"

func (claims) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (claims) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (claims) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		sent := make([]redis.Cmder, 0, len(cmds))
		for _, cmd := range cmds {
			if cmd.Name() != "info" {
				sent = append(sent, cmd)
				continue
			}
			switch info := cmd.(type) {
			case *redis.StringCmd:
				info.SetVal(redisInfo)
			case *redis.Cmd:
				info.SetVal(redisInfo)
			}
		}
		return next(ctx, sent)
	}
}
