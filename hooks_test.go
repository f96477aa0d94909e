package cache_test

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
	call  func(t *testing.T, c *traced)
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
	get := func(load cache.Loader[string]) func(*testing.T, *traced) {
		return func(t *testing.T, c *traced) { _ = c.get(t.Context(), load) }
	}
	stale := func(load cache.Loader[string]) func(*testing.T, *traced) {
		return func(t *testing.T, c *traced) {
			goneStale(t, c)
			require.NoError(t, c.get(t.Context(), load))
		}
	}
	broken := func(call func(context.Context, *traced) error) func(*testing.T, *traced) {
		return func(t *testing.T, c *traced) {
			down(t, c)
			_ = call(t.Context(), c)
		}
	}
	second := cache.LoadEvent{Key: rawKey, Took: time.Second}
	failed, refresh, absent := second, second, second
	failed.Err, refresh.Refresh, absent.Err = errLoader, true, cache.ErrNotFound
	return []hookCase{
		{"a load", nil, get(took(secret, nil)), "Load", loadEvent(second)},
		{"a load that fails", nil, get(took("", errLoader)), "Load", loadEvent(failed)},
		{"a load that finds nothing", nil, get(took("", cache.ErrNotFound)), "Load", loadEvent(absent)},
		{"a refresh", staleWhileRevalidate, stale(took(secret, nil)), "Load", loadEvent(refresh)},
		{
			"a load that panics", nil, get(func(context.Context, string) (string, error) { panic(errLoader) }), "Load",
			func(t *testing.T, e *events) {
				require.Len(t, e.loads, 1)
				var panicked *cache.PanicError
				require.ErrorAs(t, e.loads[0].Err, &panicked)
				assert.ErrorIs(t, panicked, errLoader)
			},
		},
		{
			"a stale value that is refreshed", staleWhileRevalidate, stale(value(secret)), "Stale",
			staleEvent(cache.StaleEvent{Key: rawKey, Age: 70 * time.Second}),
		},
		{
			"a stale value because the load failed", staleIfError, stale(failing[string](errLoader)), "Stale",
			staleEvent(cache.StaleEvent{Key: rawKey, Age: 70 * time.Second, Err: errLoader}),
		},
		{
			"a fill that a change overtook", nil, func(t *testing.T, c *traced) {
				require.NoError(t, c.get(t.Context(), func(ctx context.Context, key string) (string, error) {
					return secret, c.Invalidate(ctx, key)
				}))
			}, "Refused", func(t *testing.T, e *events) { assert.Equal(t, []string{rawKey}, e.refused) },
		},
		{"a read that fails", nil, broken(getOrLoad(value(secret))), "RedisError", redisEvents("cache.get")},
		{"a write that fails", nil, broken(setValue), "RedisError", redisEvents("cache.put")},
	}
}

func TestHooks(t *testing.T) {
	for _, test := range hookCases() {
		t.Run(test.name, func(t *testing.T) {
			var e events
			inTrace(t, test.class, func(t *testing.T, c *traced) {
				test.call(t, c)
				settled(t, c.Cache)
				c.rdb.Heal()
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
			inTrace(t, test.class, func(t *testing.T, c *traced) {
				test.call(t, c)
				settled(t, c.Cache)
				c.rdb.Heal()
				test.check(t, &e)
				assert.Contains(t, out.String(), `msg="a hook panicked"`)
				assert.Contains(t, out.String(), "hook="+test.hook)
				assert.Contains(t, out.String(), `panic="a bug in a hook"`)
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
			var c *traced
			called := make(chan string, 100)
			var inside atomic.Bool // a hook: what it does is not hooked again
			hook := func(name string) {
				if !inside.CompareAndSwap(false, true) {
					return
				}
				defer inside.Store(false)
				ctx := context.Background()
				_ = c.Invalidate(ctx, rawKey)
				_ = lookOnly(ctx, c)
				_, err := c.GetOrLoad(ctx, "other", value(secret))
				assert.NoError(t, err)
				_ = c.Set(ctx, "other", secret)
				_ = c.Stats()
				called <- name
			}
			inTrace(t, test.class, func(t *testing.T, traced *traced) {
				c = traced
				test.call(t, c)
				settled(t, c.Cache)
				c.rdb.Heal()
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
