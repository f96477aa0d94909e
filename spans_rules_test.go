package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/larder-go/cache"
)

// setGlobal makes p the global provider until the test ends.
func setGlobal(t *testing.T, p trace.TracerProvider) {
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(p)
	t.Cleanup(func() { otel.SetTracerProvider(before) })
}

// parentOf is a context with a span of p, which ends with the test.
func parentOf(t *testing.T, p trace.TracerProvider) context.Context {
	ctx, span := p.Tracer("parent").Start(t.Context(), "parent")
	t.Cleanup(func() { span.End() })
	return ctx
}

func spanContext(flags trace.TraceFlags) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags,
	})
}

// incomparable is a provider that == panics on.
type incomparable struct {
	trace.TracerProvider
	_ []int
}

// unsampled is a provider that records nothing.
func unsampled() *recorder { return newRecorder(sdktrace.WithSampler(sdktrace.NeverSample())) }

func TestWhereSpansAreStarted(t *testing.T) {
	alone := func(t *testing.T, _ *recorder) context.Context { return t.Context() }
	local := func(flags trace.TraceFlags) func(*testing.T, *recorder) context.Context {
		return func(t *testing.T, _ *recorder) context.Context {
			return trace.ContextWithSpanContext(t.Context(), spanContext(flags))
		}
	}
	remote := func(t *testing.T, _ *recorder) context.Context {
		return trace.ContextWithRemoteSpanContext(t.Context(), spanContext(trace.FlagsSampled))
	}
	given := func(r *recorder) []cache.Option { return []cache.Option{cache.WithTracerProvider(r)} }
	silent := func(p trace.TracerProvider) func(*recorder) []cache.Option {
		return func(*recorder) []cache.Option { return []cache.Option{cache.WithTracerProvider(p)} }
	}
	none := func(*recorder) []cache.Option { return nil }
	tests := []struct {
		name    string
		options func(*recorder) []cache.Option
		global  bool
		parent  func(*testing.T, *recorder) context.Context
		started bool
	}{
		{"no provider and no parent", none, false, alone, false},
		{"no provider and a remote parent", none, false, remote, false},
		{"a no-op provider", silent(noop.NewTracerProvider()), false, alone, false},
		{"the no-op provider of a span that is none", silent(trace.SpanFromContext(t.Context()).TracerProvider()), false, alone, false},
		{"a provider that samples nothing", silent(unsampled()), false, alone, false},
		{"a provider", given, false, alone, true},
		{"a provider that cannot be compared", func(r *recorder) []cache.Option {
			return []cache.Option{cache.WithTracerProvider(incomparable{TracerProvider: r})}
		}, false, alone, true},
		{"a provider that is set globally", none, true, alone, true},
		{"the global placeholder, given before a provider is set", silent(otel.GetTracerProvider()), true, alone, true},
		{"a provider and a remote parent", given, false, remote, true},
		{"a provider and a local parent that was not sampled", given, false, local(0), false},
		{"a provider and a local parent that does not record", given, false, local(trace.FlagsSampled), false},
		{"a provider and a parent whose provider did not sample it", given, true, func(t *testing.T, _ *recorder) context.Context {
			return parentOf(t, unsampled())
		}, false},
		{"no provider and a parent that records", none, false, func(t *testing.T, r *recorder) context.Context {
			return parentOf(t, r)
		}, true},
		{"a provider and a parent of another one that records", given, false, func(t *testing.T, _ *recorder) context.Context {
			return parentOf(t, newRecorder())
		}, true},
		{"no provider and a parent that has ended", none, false, func(t *testing.T, r *recorder) context.Context {
			ctx, span := r.Tracer("parent").Start(t.Context(), "parent")
			span.End()
			r.memory.Reset()
			return ctx
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				spans := newRecorder()
				c := newCache[string](t, rdb, test.options(spans)...)
				if test.global {
					setGlobal(t, spans)
				}
				ctx := test.parent(t, spans)
				for range 2 { // the second time with the tracer that is remembered
					require.NoError(t, c.Invalidate(t.Context(), rawKey))
					spans.memory.Reset()
					_, err := c.GetOrLoad(ctx, rawKey, value(secret))
					require.NoError(t, err)
					if !test.started {
						assert.Empty(t, spans.tree())
						continue
					}
					assert.Equal(t, "cache.get(cache.load cache.put)", spans.tree())
					get := spans.named(t, "cache.get")
					assert.Equal(t, trace.SpanContextFromContext(ctx).SpanID(), get.Parent.SpanID())
					assert.Equal(t, "github.com/larder-go/cache", get.InstrumentationScope.Name)
				}
			})
		})
	}
}

func TestARefreshIsARootThatIsLinkedToItsCause(t *testing.T) {
	inTrace(t, staleWhileRevalidate, func(t *testing.T, c *traced) {
		goneStale(t, c)
		c.spans.memory.Reset()
		ctx := parentOf(t, c.spans)
		require.NoError(t, c.get(ctx, value(secret)))
		settled(t, c.Cache)
		get, refresh := c.spans.named(t, "cache.get"), c.spans.named(t, "cache.refresh")
		assert.Equal(t, trace.SpanFromContext(ctx).SpanContext().SpanID(), get.Parent.SpanID())
		assert.False(t, refresh.Parent.IsValid())
		assert.NotEqual(t, get.SpanContext.TraceID(), refresh.SpanContext.TraceID())
		require.Len(t, refresh.Links, 1)
		assert.Equal(t, get.SpanContext.SpanID(), refresh.Links[0].SpanContext.SpanID())
		assert.Equal(t, get.SpanContext.TraceID(), refresh.Links[0].SpanContext.TraceID())
		assert.Equal(t, map[string]any{
			"sentry.op": "cache.refresh", "cache.operation": "refresh", "cache.name": "test", "cache.key": []string{rawKey},
		}, attributes(&refresh))
	})
}

func TestARefreshUnderAParentThatDoesNotRecordHasNoSpans(t *testing.T) {
	inTrace(t, staleWhileRevalidate, func(t *testing.T, c *traced) {
		goneStale(t, c)
		c.spans.memory.Reset()
		require.NoError(t, c.get(parentOf(t, unsampled()), value(secret)))
		settled(t, c.Cache)
		assert.EqualValues(t, 1, c.Stats().Loads, "it was made")
		assert.Empty(t, c.spans.tree())
	})
}

// The spans of a refresh must not depend on whether the goroutine that makes it
// starts before or after its cause has ended.
func TestEveryRefreshHasASpan(t *testing.T) {
	inTrace(t, staleWhileRevalidate, func(t *testing.T, c *traced) {
		for range 50 {
			goneStale(t, c)
			c.spans.memory.Reset()
			require.NoError(t, c.get(t.Context(), value(secret)))
			settled(t, c.Cache)
			require.Equal(t, "cache.get cache.refresh(cache.load cache.put)", c.spans.tree())
		}
	})
}

func TestTheSpansOfALoadGoOnWhenItsCallerHasLeft(t *testing.T) {
	inTrace(t, nil, func(t *testing.T, c *traced) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		leader := start(func() (string, error) { return c.GetOrLoad(ctx, rawKey, took(secret, nil)) })
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.get(t.Context(), mustNotLoad[string](t)), "it joins")
		require.ErrorIs(t, (<-leader).err, context.DeadlineExceeded)
		assert.Equal(t, "cache.get cache.get(cache.load cache.put)", c.spans.tree())
		left := c.spans.spans()[0]
		assert.Equal(t, sdktrace.Status{Code: codes.Error, Description: "context deadline exceeded"}, left.Status)
	})
}

func TestWaitingForAnotherProcessIsASpan(t *testing.T) {
	inTrace(t, nil, func(t *testing.T, c *traced) {
		other := newCache[string](t, c.rdb)
		first := start(func() (string, error) {
			return other.GetOrLoad(t.Context(), rawKey, func(context.Context, string) (string, error) {
				time.Sleep(time.Second)
				return secret, nil
			})
		})
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.get(t.Context(), mustNotLoad[string](t)))
		require.NoError(t, (<-first).err)
		settled(t, c.Cache)
		assert.Equal(t, "cache.get(cache.lock.wait)", c.spans.tree())
		wait := c.spans.named(t, "cache.lock.wait")
		assert.GreaterOrEqual(t, wait.EndTime.Sub(wait.StartTime), 800*time.Millisecond)
		get := c.spans.named(t, "cache.get")
		assert.Equal(t, secretSize, attributes(&get)["cache.item_size"])
	})
}

func TestKeysAreShownAsWithKeyAttributeSays(t *testing.T) {
	const key = "user:ada@example.com"
	tests := []struct {
		name string
		show func(string) string
		want any
	}{
		{"redacted", func(string) string { return "user:…" }, []string{"user:…"}},
		{"left out", func(string) string { return "" }, nil},
		{"left out if the function panics", func(key string) string { panic(key) }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inTrace(t, nil, func(t *testing.T, c *traced) { useKey(t, c, key, test.want) }, cache.WithKeyAttribute(test.show))
		})
	}
}

// useKey leaves spans of each operation and looks for the key in them.
func useKey(t *testing.T, c *traced, key string, want any) {
	quoting := func(_ context.Context, key string) (string, error) {
		return "", fmt.Errorf("nested: %w", &cache.OpError{Op: "get", Key: key, Err: errors.New("for " + key)})
	}
	ctx := t.Context()
	_, err := c.GetOrLoad(ctx, key, quoting)
	require.Error(t, err)
	require.NoError(t, c.Set(ctx, key, secret))
	require.NoError(t, c.Delete(ctx, key))
	c.rdb.Fail("ERR unknown command 'get', with args beginning with: '" + key + "'")
	_, err = c.Get(ctx, key)
	require.ErrorContains(t, err, key)
	c.rdb.Heal()
	names := map[string]bool{}
	for _, span := range c.spans.spans() {
		names[span.Name] = true
		if span.Name != "cache.load" {
			assert.Equal(t, want, attributes(&span)["cache.key"], span.Name)
		}
	}
	assert.Len(t, names, 4, "get, load, put and remove")
	assert.Contains(t, everything(c.spans), "redis answered ERR")
	assert.NotContains(t, everything(c.spans), key)
	assert.NotContains(t, everything(c.spans), secret)
}

func TestAnEncodingForTheSpanAloneMayPanic(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		spans := newRecorder()
		c := newCache[any](t, rdb, cache.WithTracerProvider(spans))
		_, err := c.GetOrLoad(t.Context(), rawKey, value[any](explosive{}), cache.StoreIf(false))
		require.NoError(t, err)
		get := spans.named(t, "cache.get")
		assert.NotContains(t, attributes(&get), "cache.item_size")
	})
}

// explosive is a value whose encoding panics.
type explosive struct{}

func (explosive) MarshalJSON() ([]byte, error) { panic("boom") }

// The wait for another process ends where the caller's own load begins.
func TestALoadAfterAWaitIsNoPartOfTheWait(t *testing.T) {
	inTrace(t, nil, func(t *testing.T, c *traced) {
		other := newCache[string](t, c.rdb)
		first := start(func() (string, error) { return other.GetOrLoad(t.Context(), rawKey, took(secret, nil)) })
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.get(t.Context(), took(secret, nil)))
		require.NoError(t, (<-first).err)
		settled(t, c.Cache)
		assert.Equal(t, "cache.get(cache.load cache.lock.wait)", c.spans.tree())
		wait := c.spans.named(t, "cache.lock.wait")
		assert.Less(t, wait.EndTime.Sub(wait.StartTime), 500*time.Millisecond)
	}, cache.WithLock(cache.Lock{Wait: 100 * time.Millisecond}))
}

// The peer is the node that was asked: none where Redis was not.
func TestCallsThatAskNobodyHaveNoPeer(t *testing.T) {
	inTrace(t, nil, func(t *testing.T, c *traced) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.get(ctx, mustNotLoad[string](t)), context.Canceled)
		get := c.spans.named(t, "cache.get")
		assert.NotContains(t, attributes(&get), "network.peer.address")
	})
}

// A stale value that is served without a refresh is reported too.
func TestAStaleValueThatIsNotRefreshedIsReported(t *testing.T) {
	var e events
	inTrace(t, staleWhileRevalidate, func(t *testing.T, c *traced) {
		goneStale(t, c)
		require.NoError(t, c.get(t.Context(), value("new"), cache.StoreIf(false)))
		assert.EqualValues(t, 1, c.Stats().Stale)
		assert.Len(t, e.stale, 1)
	}, cache.WithHooks(e.hooks(func(string) {})))
}
