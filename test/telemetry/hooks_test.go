package telemetry_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// events are what a cache's hooks were called with.
type events struct {
	mu      sync.Mutex
	loads   []cache.LoadEvent
	stale   []cache.StaleEvent
	refused []string
	redis   []string // operations
	errs    []error  // theirs
}

// hooks note each event, then call after with the hook's name.
func (e *events) hooks(after func(hook string)) cache.Hooks {
	note := func(hook string, f func()) {
		e.mu.Lock()
		f()
		e.mu.Unlock()
		after(hook)
	}
	return cache.Hooks{
		Load:    func(ev cache.LoadEvent) { note("Load", func() { e.loads = append(e.loads, ev) }) },
		Stale:   func(ev cache.StaleEvent) { note("Stale", func() { e.stale = append(e.stale, ev) }) },
		Refused: func(key string) { note("Refused", func() { e.refused = append(e.refused, key) }) },
		RedisError: func(op string, err error) {
			note("RedisError", func() { e.redis, e.errs = append(e.redis, op), append(e.errs, err) })
		},
	}
}

// hookCase is a call and the events that it must cause.
type hookCase struct {
	name  string
	class func(*cache.TTL)
	call  func(t *testing.T, c *testkit.Traced)
	hook  string
	check func(t *testing.T, e *events)
}

// took is a loader that takes a second.
func took(v string, err error) cache.Loader[string] {
	return func(context.Context, string) (string, error) {
		time.Sleep(time.Second)
		return v, err
	}
}

func loadEvent(want cache.LoadEvent) func(*testing.T, *events) {
	return func(t *testing.T, e *events) { assert.Equal(t, []cache.LoadEvent{want}, e.loads) }
}

func staleEvent(want cache.StaleEvent) func(*testing.T, *events) {
	return func(t *testing.T, e *events) { assert.Equal(t, []cache.StaleEvent{want}, e.stale) }
}

func redisEvents(ops ...string) func(*testing.T, *events) {
	return func(t *testing.T, e *events) {
		assert.Equal(t, ops, e.redis)
		for _, err := range e.errs {
			assert.ErrorContains(t, err, "LOADING")
		}
	}
}

// hookCases are those of every hook.
func hookCases() []hookCase {
	get := func(load cache.Loader[string]) func(*testing.T, *testkit.Traced) {
		return func(t *testing.T, c *testkit.Traced) { _ = c.Ask(t.Context(), load) }
	}
	stale := func(load cache.Loader[string]) func(*testing.T, *testkit.Traced) {
		return func(t *testing.T, c *testkit.Traced) {
			goneStale(t, c)
			require.NoError(t, c.Ask(t.Context(), load))
		}
	}
	broken := func(call func(context.Context, *testkit.Traced) error) func(*testing.T, *testkit.Traced) {
		return func(t *testing.T, c *testkit.Traced) {
			down(t, c)
			_ = call(t.Context(), c)
		}
	}
	second := cache.LoadEvent{Key: testkit.RawKey, Took: time.Second}
	failed, refresh, absent := second, second, second
	failed.Err, refresh.Refresh, absent.Err = testkit.ErrLoader, true, cache.ErrNotFound
	return []hookCase{
		{"a load", nil, get(took(testkit.Secret, nil)), "Load", loadEvent(second)},
		{"a load that fails", nil, get(took("", testkit.ErrLoader)), "Load", loadEvent(failed)},
		{"a load that finds nothing", nil, get(took("", cache.ErrNotFound)), "Load", loadEvent(absent)},
		{"a refresh", staleWhileRevalidate, stale(took(testkit.Secret, nil)), "Load", loadEvent(refresh)},
		{
			"a load that panics", nil, get(func(context.Context, string) (string, error) { panic(testkit.ErrLoader) }), "Load",
			func(t *testing.T, e *events) {
				require.Len(t, e.loads, 1)
				var panicked *cache.PanicError
				require.ErrorAs(t, e.loads[0].Err, &panicked)
				assert.ErrorIs(t, panicked, testkit.ErrLoader)
			},
		},
		{
			"a stale value that is refreshed", staleWhileRevalidate, stale(testkit.Value(testkit.Secret)), "Stale",
			staleEvent(cache.StaleEvent{Key: testkit.RawKey, Age: 70 * time.Second}),
		},
		{
			"a stale value because the load failed", staleIfError, stale(testkit.Failing[string](testkit.ErrLoader)), "Stale",
			staleEvent(cache.StaleEvent{Key: testkit.RawKey, Age: 70 * time.Second, Err: testkit.ErrLoader}),
		},
		{
			"a fill that a change overtook", nil, func(t *testing.T, c *testkit.Traced) {
				require.NoError(t, c.Ask(t.Context(), func(ctx context.Context, key string) (string, error) {
					return testkit.Secret, c.Invalidate(ctx, key)
				}))
			}, "Refused", func(t *testing.T, e *events) { assert.Equal(t, []string{testkit.RawKey}, e.refused) },
		},
		{"a read that fails", nil, broken(getOrLoad(testkit.Value(testkit.Secret))), "RedisError", redisEvents("cache.get")},
		{"a write that fails", nil, broken(setValue), "RedisError", redisEvents("cache.put")},
	}
}

func TestHooks(t *testing.T) {
	for _, test := range hookCases() {
		t.Run(test.name, func(t *testing.T) {
			var e events
			testkit.InTrace(t, test.class, func(t *testing.T, c *testkit.Traced) {
				test.call(t, c)
				testkit.Settled(t, c.Cache)
				c.Rdb.Heal()
				test.check(t, &e)
			}, cache.WithHooks(e.hooks(func(string) {})))
		})
	}
}

// log is a buffer for several goroutines.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAHookThatPanicsIsContainedAndLogged(t *testing.T) {
	for _, test := range hookCases() {
		t.Run(test.name, func(t *testing.T) {
			var e events
			var out log
			testkit.InTrace(t, test.class, func(t *testing.T, c *testkit.Traced) {
				test.call(t, c)
				testkit.Settled(t, c.Cache)
				c.Rdb.Heal()
				test.check(t, &e)
				assert.Contains(t, out.String(), `msg="a hook panicked"`)
				assert.Contains(t, out.String(), "hook="+test.hook)
				assert.Contains(t, out.String(), `panic="it panicked with a string"`)
				assert.Contains(t, out.String(), "hooks_test.go", "the stack")
			}, cache.WithHooks(e.hooks(func(string) { panic("a bug in a hook") })),
				cache.WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
		})
	}
}

// No lock is held while a hook runs: one may change the very key that it hears
// about, look it up, and load others. A bubble that stands still is a failure.
func TestHooksMayCallTheCache(t *testing.T) {
	for _, test := range hookCases() {
		t.Run(test.name, func(t *testing.T) {
			var e events
			var c *testkit.Traced
			called := make(chan string, 100)
			var inside atomic.Bool // a hook: what it does is not hooked again
			hook := func(name string) {
				if !inside.CompareAndSwap(false, true) {
					return
				}
				defer inside.Store(false)
				ctx := context.Background()
				_ = c.Invalidate(ctx, testkit.RawKey)
				_ = lookOnly(ctx, c)
				_, err := c.GetOrLoad(ctx, "other", testkit.Value(testkit.Secret))
				assert.NoError(t, err)
				_ = c.Set(ctx, "other", testkit.Secret)
				_ = c.Stats()
				called <- name
			}
			testkit.InTrace(t, test.class, func(t *testing.T, traced *testkit.Traced) {
				c = traced
				test.call(t, c)
				testkit.Settled(t, c.Cache)
				c.Rdb.Heal()
				for c.Stats().Pending > 0 {
					time.Sleep(time.Second) // what a hook invalidated while Redis was down
				}
				assert.Contains(t, drain(called), test.hook)
			}, cache.WithHooks(e.hooks(hook)))
		})
	}
}

// drain takes what is in c now.
func drain[T any](c <-chan T) (all []T) {
	for {
		select {
		case v := <-c:
			all = append(all, v)
		default:
			return all
		}
	}
}
