package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
)

// Recorder keeps the spans of a provider.
type Recorder struct {
	*sdktrace.TracerProvider
	Memory *tracetest.InMemoryExporter
}

// NewRecorder is a provider that keeps its spans in memory.
func NewRecorder(opts ...sdktrace.TracerProviderOption) *Recorder {
	memory := tracetest.NewInMemoryExporter()
	opts = append(opts, sdktrace.WithSyncer(memory))
	return &Recorder{TracerProvider: sdktrace.NewTracerProvider(opts...), Memory: memory}
}

// Spans are those that have ended, in the order in which they were started.
func (r *Recorder) Spans() tracetest.SpanStubs {
	spans := r.Memory.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return spans
}

// Named is the only span of a name.
func (r *Recorder) Named(t testing.TB, name string) tracetest.SpanStub {
	t.Helper()
	var found tracetest.SpanStubs
	for _, span := range r.Spans() {
		if span.Name == name {
			found = append(found, span)
		}
	}
	require.Len(t, found, 1, "spans named %s among %s", name, r.Tree())
	return found[0]
}

// Tree draws the spans: "parent(child other)", roots side by side, by name.
func (r *Recorder) Tree() string {
	spans := r.Memory.GetSpans()
	known := map[string]bool{}
	for _, span := range spans {
		known[span.SpanContext.SpanID().String()] = true
	}
	var draw func(parent string) string
	draw = func(parent string) string {
		var names []string
		for _, span := range spans {
			under := span.Parent.SpanID().String()
			if !known[under] {
				under = ""
			}
			if under != parent {
				continue
			}
			name := span.Name
			if children := draw(span.SpanContext.SpanID().String()); children != "" {
				name += "(" + children + ")"
			}
			names = append(names, name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	return draw("")
}

// Attributes are a span's, with their types.
func Attributes(span *tracetest.SpanStub) map[string]any {
	all := map[string]any{}
	for _, kv := range span.Attributes {
		all[string(kv.Key)] = kv.Value.AsInterface()
	}
	return all
}

// Traced is one cache in a bubble, whose spans are recorded.
type Traced struct {
	*cache.Cache[string]
	Rdb   *cachetest.Server
	Spans *Recorder
}

const (
	Secret     = "hunter2" // a value, or part of an error: in no span
	SecretSize = int64(len(`"` + Secret + `"`))
	RawKey     = "k"
)

// ErrLoader is a loader's error, whose text no span may have.
var ErrLoader = errors.New("no row for " + Secret)

// InTrace runs test in a bubble with a cache that serves stale values for a
// minute in either way that class allows.
func InTrace(t *testing.T, mutate func(*cache.TTL), test func(t *testing.T, c *Traced), opts ...cache.Option) {
	inOneBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := &Traced{Rdb: rdb.(*cachetest.Server), Spans: NewRecorder()}
		class := &cache.TTL{Name: "test", Fresh: time.Minute, Jitter: -1, Absent: 10 * time.Second}
		if mutate != nil {
			mutate(class)
		}
		opts = append([]cache.Option{cache.Expires(class), cache.WithTracerProvider(c.Spans), cache.WithXFetch(0)}, opts...)
		c.Cache = NewCache[string](t, rdb, opts...)
		test(t, c)
	})
}

// Ask is GetOrLoad of the test's key.
func (c *Traced) Ask(ctx context.Context, load cache.Loader[string], opts ...cache.EntryOption) error {
	_, err := c.GetOrLoad(ctx, RawKey, load, opts...)
	return err
}

// Peer is the attributes that name the server.
func (c *Traced) Peer(t *testing.T) map[string]any {
	host, service, err := net.SplitHostPort(c.Rdb.Addr())
	require.NoError(t, err)
	port, err := strconv.ParseInt(service, 10, 64)
	require.NoError(t, err)
	return map[string]any{"network.peer.address": host, "network.peer.port": port}
}

// Everything is all that the spans say.
func Everything(r *Recorder) string {
	var all strings.Builder
	for _, span := range r.Spans() {
		fmt.Fprintln(&all, span.Name, span.Status, span.Attributes, span.Events, span.Links)
	}
	return all.String()
}

// SpanContext is that of a parent elsewhere.
func SpanContext(flags trace.TraceFlags) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags,
	})
}
