package telemetry_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// inside is a writer that notes the span of its context.
type inside struct {
	in  *trace.SpanContext
	err error
}

func (w inside) Write(ctx context.Context, _, _ string) error { return w.note(ctx) }
func (w inside) Delete(ctx context.Context, _ string) error   { return w.note(ctx) }

func (w inside) note(ctx context.Context) error {
	*w.in = trace.SpanContextFromContext(ctx)
	return w.err
}

// What the writer of a strategy, or of Update, asks the system of record for is
// within the span of the write, as a load is within that of the look-up.
func TestTheSpanOfAWriteIsAroundTheWriter(t *testing.T) {
	var in trace.SpanContext
	writer := inside{in: &in}
	calls := map[string]func(ctx context.Context, c *cache.Cache[string]) error{
		"cache.put": func(ctx context.Context, c *cache.Cache[string]) error {
			return c.Set(ctx, testkit.RawKey, testkit.Secret)
		},
		"cache.remove": func(ctx context.Context, c *cache.Cache[string]) error {
			return c.Delete(ctx, testkit.RawKey)
		},
	}
	for span, call := range calls {
		for _, how := range [][]cache.WriteThroughOption{nil, {cache.FailClosed()}} {
			recorded := testkit.NewRecorder()
			c, err := cache.New(cachetest.Redis(t), "test", cache.WriteThrough(writer, how...), testkit.Patient(), cache.WithTracerProvider(recorded))
			require.NoError(t, err)
			require.NoError(t, call(t.Context(), c))
			around := recorded.Named(t, span)
			assert.Equal(t, around.SpanContext.SpanID(), in.SpanID())
			require.NoError(t, c.Close())
		}
	}
	recorded := testkit.NewRecorder()
	c := testkit.NewCache[string](t, cachetest.Redis(t), cache.WithTracerProvider(recorded))
	require.NoError(t, c.Update(t.Context(), testkit.RawKey, writer.note))
	around := recorded.Named(t, "cache.remove")
	assert.Equal(t, around.SpanContext.SpanID(), in.SpanID())
}

// The status of a write's span is the error that the caller gets, and no other.
func TestTheStatusOfAWriteIsTheCallersError(t *testing.T) {
	failed := func(description string) sdktrace.Status {
		return sdktrace.Status{Code: codes.Error, Description: description}
	}
	set := func(ctx context.Context, c *cache.Cache[string]) error {
		return c.Set(ctx, testkit.RawKey, testkit.Secret)
	}
	remove := func(ctx context.Context, c *cache.Cache[string]) error { return c.Delete(ctx, testkit.RawKey) }
	update := func(write func(context.Context) error) func(context.Context, *cache.Cache[string]) error {
		return func(ctx context.Context, c *cache.Cache[string]) (err error) {
			defer func() {
				if recover() != nil {
					err = testkit.ErrLoader
				}
			}()
			return c.Update(ctx, testkit.RawKey, write)
		}
	}
	through := func(w cache.Writer[string], how ...cache.WriteThroughOption) cache.Strategy[string] {
		return cache.WriteThrough(w, how...)
	}
	tests := []struct {
		name     string
		strategy cache.Strategy[string]
		down     bool
		call     func(context.Context, *cache.Cache[string]) error
		status   sdktrace.Status
		span     string
	}{
		{"a write", through(rows{}), false, set, sdktrace.Status{}, "cache.put"},
		{"the writer fails", through(rows{testkit.ErrLoader}), false, set, failed("the loader or writer failed"), "cache.put"},
		{"the writer fails to delete", through(rows{testkit.ErrLoader}), false, remove, failed("the loader or writer failed"), "cache.remove"},
		{"Redis is down", through(rows{}), true, set, failed("redis answered LOADING"), "cache.put"},
		{"Redis is down, fail closed", through(rows{}, cache.FailClosed()), true, set, failed("redis answered LOADING"), "cache.put"},
		{"an update fails", cache.Aside[string](), false, update(func(context.Context) error { return testkit.ErrLoader }), failed("the loader or writer failed"), "cache.remove"},
		{"an update panics", cache.Aside[string](), false, update(func(context.Context) error { panic(testkit.Secret) }), failed("the loader or writer failed"), "cache.remove"},
		{"an update while Redis is down", cache.Aside[string](), true, update(func(context.Context) error { return nil }), failed("redis answered LOADING"), "cache.remove"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			recorded, rdb := testkit.NewRecorder(), cachetest.Redis(t)
			c, err := cache.New(rdb, "test", test.strategy, testkit.Patient(), cache.WithTracerProvider(recorded))
			require.NoError(t, err)
			defer func() { assert.NoError(t, c.Shutdown(context.WithoutCancel(t.Context()))) }()
			if test.down {
				rdb.Fail("LOADING " + testkit.RawKey + " " + testkit.Secret)
				defer rdb.Heal()
			}
			err = test.call(t.Context(), c)
			assert.Equal(t, test.status.Code == codes.Error, err != nil, "%v", err)
			span := recorded.Named(t, test.span)
			assert.Equal(t, test.status, span.Status)
			assert.NotContains(t, testkit.Everything(recorded), testkit.Secret)
		})
	}
}

func TestTheSpanOfAPutThatIsPushedBackSaysSo(t *testing.T) {
	recorded := testkit.NewRecorder()
	o := cache.WriteBehindOptions{Partitions: 1, MaxDirty: 1, Refuse: true}
	c := testkit.NewBehind(t, cachetest.Redis(t), nil, o, cache.WithTracerProvider(recorded))
	require.NoError(t, c.Set(t.Context(), "a", testkit.Secret))
	recorded.Memory.Reset()
	require.ErrorIs(t, c.Delete(t.Context(), "b"), cache.ErrBackpressure)
	span := recorded.Named(t, "cache.remove")
	assert.Equal(t, sdktrace.Status{Code: codes.Error, Description: cache.ErrBackpressure.Error()}, span.Status)
	assert.Equal(t, []string{"b"}, testkit.Attributes(&span)["cache.key"])
}

// What cannot be encoded is not sent: no node, and no size.
func TestTheSpanOfAPutThatCannotBeEncoded(t *testing.T) {
	recorded := testkit.NewRecorder()
	c := testkit.NewCache[any](t, cachetest.Redis(t), cache.WithTracerProvider(recorded))
	require.Error(t, c.Set(t.Context(), testkit.RawKey, make(chan int)))
	put := recorded.Named(t, "cache.put")
	assert.Equal(t, codes.Error, put.Status.Code)
	for _, name := range []string{"network.peer.address", "network.peer.port", "cache.item_size"} {
		assert.NotContains(t, testkit.Attributes(&put), name)
	}
}
