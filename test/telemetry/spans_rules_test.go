package telemetry_test

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
	"github.com/larder-go/cache/internal/testkit"
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

// incomparable is a provider that == panics on.
type incomparable struct {
	trace.TracerProvider
	_ []int
}

// unsampled is a provider that records nothing.
func unsampled() *testkit.Recorder {
	return testkit.NewRecorder(sdktrace.WithSampler(sdktrace.NeverSample()))
}

func TestWhereSpansAreStarted(t *testing.T) {
	alone := func(t *testing.T, _ *testkit.Recorder) context.Context { return t.Context() }
	local := func(flags trace.TraceFlags) func(*testing.T, *testkit.Recorder) context.Context {
		return func(t *testing.T, _ *testkit.Recorder) context.Context {
			return trace.ContextWithSpanContext(t.Context(), testkit.SpanContext(flags))
		}
	}
	remote := func(t *testing.T, _ *testkit.Recorder) context.Context {
		return trace.ContextWithRemoteSpanContext(t.Context(), testkit.SpanContext(trace.FlagsSampled))
	}
	given := func(r *testkit.Recorder) []cache.Option { return []cache.Option{cache.WithTracerProvider(r)} }
	silent := func(p trace.TracerProvider) func(*testkit.Recorder) []cache.Option {
		return func(*testkit.Recorder) []cache.Option { return []cache.Option{cache.WithTracerProvider(p)} }
	}
	none := func(*testkit.Recorder) []cache.Option { return nil }
	tests := []struct {
		name    string
		options func(*testkit.Recorder) []cache.Option
		global  bool
		parent  func(*testing.T, *testkit.Recorder) context.Context
		started bool
	}{
		{"no provider and no parent", none, false, alone, false},
		{"no provider and a remote parent", none, false, remote, false},
		{"a no-op provider", silent(noop.NewTracerProvider()), false, alone, false},
		{"the no-op provider of a span that is none", silent(trace.SpanFromContext(t.Context()).TracerProvider()), false, alone, false},
		{"a provider that samples nothing", silent(unsampled()), false, alone, false},
		{"a provider", given, false, alone, true},
		{"a provider that cannot be compared", func(r *testkit.Recorder) []cache.Option {
			return []cache.Option{cache.WithTracerProvider(incomparable{TracerProvider: r})}
		}, false, alone, true},
		{"a provider that is set globally", none, true, alone, true},
		{"the global placeholder, given before a provider is set", silent(otel.GetTracerProvider()), true, alone, true},
		{"a provider and a remote parent", given, false, remote, true},
		{"a provider and a local parent that was not sampled", given, false, local(0), false},
		{"a provider and a local parent that does not record", given, false, local(trace.FlagsSampled), false},
		{"a provider and a parent whose provider did not sample it", given, true, func(t *testing.T, _ *testkit.Recorder) context.Context {
			return parentOf(t, unsampled())
		}, false},
		{"no provider and a parent that records", none, false, func(t *testing.T, r *testkit.Recorder) context.Context {
			return parentOf(t, r)
		}, true},
		{"a provider and a parent of another one that records", given, false, func(t *testing.T, _ *testkit.Recorder) context.Context {
			return parentOf(t, testkit.NewRecorder())
		}, true},
		{"no provider and a parent that has ended", none, false, func(t *testing.T, r *testkit.Recorder) context.Context {
			ctx, span := r.Tracer("parent").Start(t.Context(), "parent")
			span.End()
			r.Memory.Reset()
			return ctx
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				spans := testkit.NewRecorder()
				c := testkit.NewCache[string](t, rdb, test.options(spans)...)
				if test.global {
					setGlobal(t, spans)
				}
				ctx := test.parent(t, spans)
				for range 2 { // the second time with the tracer that is remembered
					require.NoError(t, c.Invalidate(t.Context(), testkit.RawKey))
					spans.Memory.Reset()
					_, err := c.GetOrLoad(ctx, testkit.RawKey, testkit.Value(testkit.Secret))
					require.NoError(t, err)
					if !test.started {
						assert.Empty(t, spans.Tree())
						continue
					}
					assert.Equal(t, "cache.get(cache.load cache.put)", spans.Tree())
					get := spans.Named(t, "cache.get")
					assert.Equal(t, trace.SpanContextFromContext(ctx).SpanID(), get.Parent.SpanID())
					assert.Equal(t, "github.com/larder-go/cache", get.InstrumentationScope.Name)
				}
			})
		})
	}
}

func TestARefreshIsARootThatIsLinkedToItsCause(t *testing.T) {
	testkit.InTrace(t, staleWhileRevalidate, func(t *testing.T, c *testkit.Traced) {
		goneStale(t, c)
		c.Spans.Memory.Reset()
		ctx := parentOf(t, c.Spans)
		require.NoError(t, c.Ask(ctx, testkit.Value(testkit.Secret)))
		testkit.Settled(t, c.Cache)
		get, refresh := c.Spans.Named(t, "cache.get"), c.Spans.Named(t, "cache.refresh")
		assert.Equal(t, trace.SpanFromContext(ctx).SpanContext().SpanID(), get.Parent.SpanID())
		assert.False(t, refresh.Parent.IsValid())
		assert.NotEqual(t, get.SpanContext.TraceID(), refresh.SpanContext.TraceID())
		require.Len(t, refresh.Links, 1)
		assert.Equal(t, get.SpanContext.SpanID(), refresh.Links[0].SpanContext.SpanID())
		assert.Equal(t, get.SpanContext.TraceID(), refresh.Links[0].SpanContext.TraceID())
		assert.Equal(t, map[string]any{
			"sentry.op": "cache.refresh", "cache.operation": "refresh", "cache.name": "test", "cache.key": []string{testkit.RawKey},
		}, testkit.Attributes(&refresh))
	})
}

func TestARefreshUnderAParentThatDoesNotRecordHasNoSpans(t *testing.T) {
	testkit.InTrace(t, staleWhileRevalidate, func(t *testing.T, c *testkit.Traced) {
		goneStale(t, c)
		c.Spans.Memory.Reset()
		require.NoError(t, c.Ask(parentOf(t, unsampled()), testkit.Value(testkit.Secret)))
		testkit.Settled(t, c.Cache)
		assert.EqualValues(t, 1, c.Stats().Loads, "it was made")
		assert.Empty(t, c.Spans.Tree())
	})
}

// The spans of a refresh must not depend on whether the goroutine that makes it
// starts before or after its cause has ended.
func TestEveryRefreshHasASpan(t *testing.T) {
	testkit.InTrace(t, staleWhileRevalidate, func(t *testing.T, c *testkit.Traced) {
		for range 50 {
			goneStale(t, c)
			c.Spans.Memory.Reset()
			require.NoError(t, c.Ask(t.Context(), testkit.Value(testkit.Secret)))
			testkit.Settled(t, c.Cache)
			require.Equal(t, "cache.get cache.refresh(cache.load cache.put)", c.Spans.Tree())
		}
	})
}

func TestTheSpansOfALoadGoOnWhenItsCallerHasLeft(t *testing.T) {
	testkit.InTrace(t, nil, func(t *testing.T, c *testkit.Traced) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		leader := testkit.Start(func() (string, error) { return c.GetOrLoad(ctx, testkit.RawKey, took(testkit.Secret, nil)) })
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.Ask(t.Context(), testkit.MustNotLoad[string](t)), "it joins")
		require.ErrorIs(t, (<-leader).Err, context.DeadlineExceeded)
		assert.Equal(t, "cache.get cache.get(cache.load cache.put)", c.Spans.Tree())
		left := c.Spans.Spans()[0]
		assert.Equal(t, sdktrace.Status{Code: codes.Error, Description: "context deadline exceeded"}, left.Status)
	})
}

func TestWaitingForAnotherProcessIsASpan(t *testing.T) {
	testkit.InTrace(t, nil, func(t *testing.T, c *testkit.Traced) {
		other := testkit.NewCache[string](t, c.Rdb)
		first := testkit.Start(func() (string, error) {
			return other.GetOrLoad(t.Context(), testkit.RawKey, func(context.Context, string) (string, error) {
				time.Sleep(time.Second)
				return testkit.Secret, nil
			})
		})
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.Ask(t.Context(), testkit.MustNotLoad[string](t)))
		require.NoError(t, (<-first).Err)
		testkit.Settled(t, c.Cache)
		assert.Equal(t, "cache.get(cache.lock.wait)", c.Spans.Tree())
		wait := c.Spans.Named(t, "cache.lock.wait")
		assert.GreaterOrEqual(t, wait.EndTime.Sub(wait.StartTime), 800*time.Millisecond)
		get := c.Spans.Named(t, "cache.get")
		assert.Equal(t, testkit.SecretSize, testkit.Attributes(&get)["cache.item_size"])
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
			testkit.InTrace(t, nil, func(t *testing.T, c *testkit.Traced) { useKey(t, c, key, test.want) }, cache.WithKeyAttribute(test.show))
		})
	}
}

// useKey leaves spans of each operation and looks for the key in them.
func useKey(t *testing.T, c *testkit.Traced, key string, want any) {
	quoting := func(_ context.Context, key string) (string, error) {
		return "", fmt.Errorf("nested: %w", &cache.OpError{Op: "get", Key: key, Err: errors.New("for " + key)})
	}
	ctx := t.Context()
	_, err := c.GetOrLoad(ctx, key, quoting)
	require.Error(t, err)
	require.NoError(t, c.Set(ctx, key, testkit.Secret))
	require.NoError(t, c.Delete(ctx, key))
	c.Rdb.Fail("ERR unknown command 'get', with args beginning with: '" + key + "'")
	_, err = c.Get(ctx, key)
	require.ErrorContains(t, err, key)
	c.Rdb.Heal()
	names := map[string]bool{}
	for _, span := range c.Spans.Spans() {
		names[span.Name] = true
		if span.Name != "cache.load" {
			assert.Equal(t, want, testkit.Attributes(&span)["cache.key"], span.Name)
		}
	}
	assert.Len(t, names, 4, "get, load, put and remove")
	assert.Contains(t, testkit.Everything(c.Spans), "redis answered ERR")
	assert.NotContains(t, testkit.Everything(c.Spans), key)
	assert.NotContains(t, testkit.Everything(c.Spans), testkit.Secret)
}

func TestAnEncodingForTheSpanAloneMayPanic(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		spans := testkit.NewRecorder()
		c := testkit.NewCache[any](t, rdb, cache.WithTracerProvider(spans))
		_, err := c.GetOrLoad(t.Context(), testkit.RawKey, testkit.Value[any](explosive{}), cache.StoreIf(false))
		require.NoError(t, err)
		get := spans.Named(t, "cache.get")
		assert.NotContains(t, testkit.Attributes(&get), "cache.item_size")
	})
}

// explosive is a value whose encoding panics.
type explosive struct{}

func (explosive) MarshalJSON() ([]byte, error) { panic("boom") }

// The wait for another process ends where the caller's own load begins.
func TestALoadAfterAWaitIsNoPartOfTheWait(t *testing.T) {
	testkit.InTrace(t, nil, func(t *testing.T, c *testkit.Traced) {
		other := testkit.NewCache[string](t, c.Rdb)
		first := testkit.Start(func() (string, error) { return other.GetOrLoad(t.Context(), testkit.RawKey, took(testkit.Secret, nil)) })
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.Ask(t.Context(), took(testkit.Secret, nil)))
		require.NoError(t, (<-first).Err)
		testkit.Settled(t, c.Cache)
		assert.Equal(t, "cache.get(cache.load cache.lock.wait)", c.Spans.Tree())
		wait := c.Spans.Named(t, "cache.lock.wait")
		assert.Less(t, wait.EndTime.Sub(wait.StartTime), 500*time.Millisecond)
	}, cache.WithLock(cache.Lock{Wait: 100 * time.Millisecond}))
}

// The peer is the node that was asked: none where Redis was not.
func TestCallsThatAskNobodyHaveNoPeer(t *testing.T) {
	testkit.InTrace(t, nil, func(t *testing.T, c *testkit.Traced) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.Ask(ctx, testkit.MustNotLoad[string](t)), context.Canceled)
		get := c.Spans.Named(t, "cache.get")
		assert.NotContains(t, testkit.Attributes(&get), "network.peer.address")
	})
}

// A stale value that is served without a refresh is reported too.
func TestAStaleValueThatIsNotRefreshedIsReported(t *testing.T) {
	var e events
	testkit.InTrace(t, staleWhileRevalidate, func(t *testing.T, c *testkit.Traced) {
		goneStale(t, c)
		require.NoError(t, c.Ask(t.Context(), testkit.Value("new"), cache.StoreIf(false)))
		assert.EqualValues(t, 1, c.Stats().Stale)
		assert.Len(t, e.stale, 1)
	}, cache.WithHooks(e.hooks(func(string) {})))
}
