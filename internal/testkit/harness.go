package testkit

import (
	"context"
	"errors"
	"flag"
	"strconv"
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

// EveryCall is each method that touches an entry, by name.
func EveryCall(c *cache.Cache[string], load cache.Loader[string]) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Get":         func(ctx context.Context) error { _, err := c.Get(ctx, "k"); return err },
		"GetOrLoad":   func(ctx context.Context) error { _, err := c.GetOrLoad(ctx, "k", load); return err },
		"ReadThrough": func(ctx context.Context) error { _, err := c.ReadThrough(load).Get(ctx, "k"); return err },
		"Set":         func(ctx context.Context) error { return c.Set(ctx, "k", "v") },
		"SetMany":     func(ctx context.Context) error { return c.SetMany(ctx, map[string]string{"k": "v", "l": "w"}) },
		"Delete":      func(ctx context.Context) error { return c.Delete(ctx, "k") },
		"Invalidate":  func(ctx context.Context) error { return c.Invalidate(ctx, "k") },
		"Expire":      func(ctx context.Context) error { return c.Expire(ctx, "k") },
		"Update": func(ctx context.Context) error {
			return c.Update(ctx, "k", func(context.Context) error { return errors.New("the write was called") })
		},
	}
}

// AllocRuns is of how many calls allocations are the mean.
const AllocRuns = 300

// FindingNames are the findings without what varies.
func FindingNames(all []cache.Finding) (names []string) {
	for _, f := range all {
		names = append(names, f.Name)
	}
	return names
}

// ClientThrough is a client whose deadlines leave room for held replies.
func ClientThrough(t testing.TB, proxy *redistest.Proxy) *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Addr: proxy.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true, Protocol: 2, DisableIdentity: true,
	})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// EachRedis runs test on miniredis and on a real redis-server.
func EachRedis(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Run("miniredis", func(t *testing.T) { test(t, cachetest.Redis(t)) })
	t.Run("redis", func(t *testing.T) { test(t, redistest.Single(t).Client(t)) })
}

// Patient gives Redis operations so long that a busy machine cannot make them time
// out. What is about budgets does without it.
func Patient() cache.Option { return cache.WithBudgets(30*time.Second, 30*time.Second) }

// NewCache is a cache that the end of the test closes.
func NewCache[T any](t testing.TB, rdb redis.UniversalClient, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	c, err := cache.New(rdb, "test", cache.Aside[T](), Patient(), cache.Options(opts))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// Value is a loader that returns v.
func Value[T any](v T) cache.Loader[T] {
	return func(context.Context, string) (T, error) { return v, nil }
}

// Failing is a loader that fails with err.
func Failing[T any](err error) cache.Loader[T] {
	return func(context.Context, string) (v T, _ error) { return v, err }
}

// MustNotLoad is a loader that fails the test when it is called.
func MustNotLoad[T any](t testing.TB) cache.Loader[T] {
	return func(context.Context, string) (v T, _ error) {
		t.Error("the loader was called")
		return v, errors.New("must not load")
	}
}

// gated is a loader that waits: each call reads the value, says so on entered,
// and returns what it read once it is let go.
type gated[T any] struct {
	read    func() T
	Entered chan struct{}
	Release chan struct{}
	Calls   atomic.Int64
}

// NewGated is a loader of what read returns.
func NewGated[T any](read func() T) *gated[T] {
	return &gated[T]{read: read, Entered: make(chan struct{}, 1000), Release: make(chan struct{})}
}

// Load is the loader.
func (g *gated[T]) Load(ctx context.Context, _ string) (T, error) {
	g.Calls.Add(1)
	v := g.read()
	g.Entered <- struct{}{}
	select {
	case <-g.Release:
		return v, nil
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// Result is what a call on another goroutine ended with.
type Result[T any] struct {
	V   T
	Err error
}

// Start runs f on a goroutine of its own.
func Start[T any](f func() (T, error)) <-chan Result[T] {
	out := make(chan Result[T], 1)
	go func() {
		v, err := f()
		out <- Result[T]{v, err}
	}()
	return out
}

// Forever is how long to wait for what must happen at all.
const Forever = time.Minute

// Soon waits for a value that must come.
func Soon[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Forever):
		require.FailNow(t, "timed out waiting for "+what)
		panic("unreachable")
	}
}

// Eventually polls until ok.
func Eventually(t testing.TB, ok func() bool, what string) {
	t.Helper()
	require.Eventually(t, ok, Forever, 2*time.Millisecond, what)
}

// Figure is how long something took, and what it must stay below.
type Figure struct {
	What        string
	Took, Bound time.Duration
}

// InTime asserts that the figures of a round are below their bounds. A busy
// machine may spoil a round, so it gets three of them; what else is asserted in
// one counts at once.
func InTime(t *testing.T, round func() []Figure) {
	t.Helper()
	for left := 2; ; left-- {
		var late []Figure
		for _, f := range round() {
			if f.Took >= f.Bound {
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

// Waiting reports whether n callers wait for loads of c.
func Waiting[T any](c *cache.Cache[T], n int) func() bool {
	return func() bool { return c.Stats().Waiting >= int64(n) }
}

// InBubble runs test on a fake clock that the program and Redis share.
func InBubble(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
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
		rdb.AddHook(Claims{})
		test(t, rdb)
	})
}

// Claims is a hook that lets a miniredis call itself Redis: it is for those whose
// clock and keys have one time.
type Claims struct{}

const redisInfo = "redis_version:7.0.0"

func (Claims) DialHook(next redis.DialHook) redis.DialHook { return next }

func (Claims) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (Claims) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
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

// Outage is a client hook that fails every command while it is on: a process
// that is paused or cut off, seen from Redis.
type Outage struct{ On atomic.Bool }

// ErrOutage is the error of each command.
var ErrOutage = errors.New("dial tcp: connection refused")

func (o *Outage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *Outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if o.On.Load() {
			cmd.SetErr(ErrOutage)
			return ErrOutage
		}
		return next(ctx, cmd)
	}
}

func (o *Outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if o.On.Load() {
			for _, cmd := range cmds {
				cmd.SetErr(ErrOutage)
			}
			return ErrOutage
		}
		return next(ctx, cmds)
	}
}

// Always returns v each time.
func Always(v int) func() int { return func() int { return v } }

// Sliding is a class whose reads prolong the entry.
func Sliding(mutate func(*cache.TTL)) cache.EntryOption {
	return Class(func(ttl *cache.TTL) {
		ttl.Sliding, ttl.MaxAge = true, 10*time.Minute
		mutate(ttl)
	})
}

// Unchanged leaves a class as it is.
func Unchanged(*cache.TTL) {}

// Class is an expiry class without jitter, so that times are exact.
func Class(mutate func(*cache.TTL)) cache.EntryOption {
	ttl := &cache.TTL{Name: "test", Fresh: time.Minute, Jitter: -1}
	mutate(ttl)
	return cache.Expires(ttl)
}

// Settled lets background work end.
func Settled[T any](t *testing.T, c *cache.Cache[T]) {
	t.Helper()
	for c.Stats().Loading > 0 {
		time.Sleep(time.Millisecond)
	}
	synctest.Wait()
}

// Must returns v, or panics: for what a test sets up.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// AtOnce lets n tests run at once, if the command line does not say how many: for
// packages whose tests wait for a lease, a message, a loader that is held. TestMain
// calls it.
func AtOnce(n int) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(strconv.Itoa(n))
	}
}
