package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
)

// recorder keeps the spans of a provider.
type recorder struct {
	*sdktrace.TracerProvider
	memory *tracetest.InMemoryExporter
}

func newRecorder(opts ...sdktrace.TracerProviderOption) *recorder {
	memory := tracetest.NewInMemoryExporter()
	opts = append(opts, sdktrace.WithSyncer(memory))
	return &recorder{TracerProvider: sdktrace.NewTracerProvider(opts...), memory: memory}
}

// spans are those that have ended, in the order in which they were started.
func (r *recorder) spans() tracetest.SpanStubs {
	spans := r.memory.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return spans
}

// named is the only span of a name.
func (r *recorder) named(t testing.TB, name string) tracetest.SpanStub {
	t.Helper()
	var found tracetest.SpanStubs
	for _, span := range r.spans() {
		if span.Name == name {
			found = append(found, span)
		}
	}
	require.Len(t, found, 1, "spans named %s among %s", name, r.tree())
	return found[0]
}

// tree draws the spans: "parent(child other)", roots side by side, by name.
func (r *recorder) tree() string {
	spans := r.memory.GetSpans()
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

// attributes are a span's, with their types.
func attributes(span *tracetest.SpanStub) map[string]any {
	all := map[string]any{}
	for _, kv := range span.Attributes {
		all[string(kv.Key)] = kv.Value.AsInterface()
	}
	return all
}

// with is attributes and more.
func with(base map[string]any, more map[string]any) map[string]any {
	all := map[string]any{}
	maps.Copy(all, base)
	maps.Copy(all, more)
	return all
}

// traced is one cache in a bubble, whose spans are recorded.
type traced struct {
	*cache.Cache[string]
	rdb   *cachetest.Server
	spans *recorder
}

const (
	secret     = "hunter2" // a value, or part of an error: in no span
	secretSize = int64(len(`"` + secret + `"`))
	rawKey     = "k"
)

var errLoader = errors.New("no row for " + secret)

// inTrace runs test in a bubble with a cache that serves stale values for a
// minute in either way that class allows.
func inTrace(t *testing.T, mutate func(*cache.TTL), test func(t *testing.T, c *traced), opts ...cache.Option) {
	inOneBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := &traced{rdb: rdb.(*cachetest.Server), spans: newRecorder()}
		class := &cache.TTL{Name: "test", Fresh: time.Minute, Jitter: -1, Absent: 10 * time.Second}
		if mutate != nil {
			mutate(class)
		}
		opts = append([]cache.Option{cache.Expires(class), cache.WithTracerProvider(c.spans), cache.WithXFetch(0)}, opts...)
		c.Cache = newCache[string](t, rdb, opts...)
		test(t, c)
	})
}

// get is GetOrLoad of the test's key.
func (c *traced) get(ctx context.Context, load cache.Loader[string], opts ...cache.EntryOption) error {
	_, err := c.GetOrLoad(ctx, rawKey, load, opts...)
	return err
}

// peer is the attributes that name the server.
func (c *traced) peer(t *testing.T) map[string]any {
	host, service, err := net.SplitHostPort(c.rdb.Addr())
	require.NoError(t, err)
	port, err := strconv.ParseInt(service, 10, 64)
	require.NoError(t, err)
	return map[string]any{"network.peer.address": host, "network.peer.port": port}
}

func staleWhileRevalidate(class *cache.TTL) { class.StaleWhileRevalidate = time.Minute }
func staleIfError(class *cache.TTL)         { class.StaleIfError = time.Minute }

// everything is all that the spans say.
func everything(r *recorder) string {
	var all strings.Builder
	for _, span := range r.spans() {
		fmt.Fprintln(&all, span.Name, span.Status, span.Attributes, span.Events, span.Links)
	}
	return all.String()
}
