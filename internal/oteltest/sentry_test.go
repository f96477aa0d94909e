package oteltest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	proto "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opOf is the op that Sentry's relay gives to a span that came by OTLP: sentry.op
// wins; else the first of these attributes says; else it is "default". Name and kind
// of the span never do.
func opOf(span *proto.Span) string {
	if op, ok := attributeOf(span, "sentry.op").(string); ok && op != "" {
		return op
	}
	for _, inferred := range []struct{ attribute, op string }{
		{"http.request.method", "http"},
		{"db.system.name", "db"},
		{"gen_ai.provider.name", "gen_ai"},
		{"rpc.service", "rpc"},
		{"messaging.system", "message"},
		{"faas.trigger", "faas"},
	} {
		if attributeOf(span, inferred.attribute) == nil {
			continue
		}
		if inferred.op == "http" && span.Kind == proto.Span_SPAN_KIND_SERVER {
			return "http.server"
		}
		if inferred.op == "http" {
			return "http.client"
		}
		return inferred.op
	}
	return "default"
}

// onCachesPage is the page's filter.
func onCachesPage(span *proto.Span) bool {
	op := opOf(span)
	return op == "cache.get" || op == "cache.get_item"
}

// missRate is the page's figure: a span without cache.hit would count as a hit.
func missRate(spans []*proto.Span) (misses, all int) {
	for _, span := range spans {
		if !onCachesPage(span) {
			continue
		}
		all++
		if attributeOf(span, "cache.hit") == false {
			misses++
		}
	}
	return misses, all
}

const hidden = "hunter2" // the value; in no span

// request does what a handler might, under the span of a server, and returns the
// spans that Sentry got.
func request(t *testing.T, handle func(context.Context, redis.UniversalClient, cache.Option)) (server *proto.Span, others []*proto.Span) {
	t.Helper()
	r := newReceiver(t)
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(r.URL+"/v1/traces"),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithHeaders(map[string]string{"x-sentry-auth": "sentry sentry_key=public"}))
	require.NoError(t, err)
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	ctx, span := provider.Tracer("server").Start(t.Context(), "GET /users", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", "GET")))
	handle(ctx, cachetest.Redis(t), cache.WithTracerProvider(provider))
	span.End()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, provider.Shutdown(ctx))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, auth := range r.auth {
		assert.Equal(t, "sentry sentry_key=public", auth)
	}
	for _, sent := range r.spans {
		if sent.Name == "GET /users" {
			server = sent
			continue
		}
		others = append(others, sent)
	}
	require.NotNil(t, server, "the server's span")
	return server, others
}

// use is every operation of a cache that Sentry has a word for: two misses of which
// one is absent, a batch, hits, a remembered absence, writes and removals.
func use(t *testing.T) func(context.Context, redis.UniversalClient, cache.Option) {
	return func(ctx context.Context, rdb redis.UniversalClient, traced cache.Option) {
		hour := cache.Expires(&cache.TTL{Name: "hour", Fresh: time.Hour, Jitter: -1, Absent: time.Minute})
		c, err := cache.New(rdb, "users", cache.Aside[string](), traced, hour, cache.WithXFetch(0))
		require.NoError(t, err)
		defer func() { assert.NoError(t, c.Close()) }()
		load := func(_ context.Context, key string) (string, error) {
			if key == "nobody" {
				return "", cache.ErrNotFound
			}
			return hidden, nil
		}
		for range 2 {
			_, err = c.GetOrLoad(ctx, "42", load)
			require.NoError(t, err)
			_, err = c.GetOrLoad(ctx, "nobody", load)
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		_, err = c.GetMany(ctx, []string{"42", "43"})
		require.NoError(t, err)
		require.NoError(t, c.Set(ctx, "43", hidden))
		require.NoError(t, c.SetMany(ctx, map[string]string{"44": hidden, "45": hidden}))
		_, err = c.GetMany(ctx, []string{"44", "45"})
		require.NoError(t, err)
		require.NoError(t, c.Delete(ctx, "42"))
		require.NoError(t, c.Update(ctx, "43", func(context.Context) error { return nil }))
		require.NoError(t, c.Flush(ctx))
		_, err = c.GetOrLoad(ctx, "46", func(context.Context, string) (string, error) { return "", errors.New(hidden) })
		require.Error(t, err)
	}
}

func TestSentryGetsWhatItsCachesPageNeeds(t *testing.T) {
	server, spans := request(t, use(t))
	assert.Equal(t, "http.server", opOf(server))
	assert.False(t, onCachesPage(server))
	count := map[string]int{}
	for _, span := range spans {
		op := opOf(span)
		count[op]++
		t.Run(op, func(t *testing.T) {
			assert.Equal(t, span.Name, op, "the name is the op")
			assert.Equal(t, op, attributeOf(span, "sentry.op"))
			assert.Equal(t, strings.TrimPrefix(op, "cache."), attributeOf(span, "cache.operation"))
			assert.Equal(t, server.TraceId, span.TraceId)
			assert.True(t, within(server, span, spans), "in the server's segment")
			assert.Empty(t, span.Events, "Sentry drops them")
			for _, kv := range span.Attributes {
				assert.False(t, strings.HasPrefix(kv.Key, "db."), "%s: with db.system.name it could be a query", kv.Key)
			}
			assert.NotContains(t, span.String(), hidden)
			typed(t, span, op)
		})
	}
	assert.Equal(t, map[string]int{
		"cache.get": 7, "cache.load": 3, "cache.put": 4, "cache.remove": 2, "cache.flush": 1,
	}, count)
	misses, all := missRate(spans)
	assert.Equal(t, 7, all, "each cache.get is on the page")
	assert.Equal(t, 4, misses)
}

// typed checks presence and types as Sentry's conventions have them. OTLP has one
// type of integers.
func typed(t *testing.T, span *proto.Span, op string) {
	get, put, remove := op == "cache.get", op == "cache.put", op == "cache.remove"
	if get {
		assert.IsType(t, true, attributeOf(span, "cache.hit"), "required on every cache.get")
	} else {
		assert.Nil(t, attributeOf(span, "cache.hit"))
	}
	if get || put || remove {
		assert.IsType(t, []string{}, attributeOf(span, "cache.key"))
		assert.IsType(t, "", attributeOf(span, "network.peer.address"))
		port, ok := attributeOf(span, "network.peer.port").(int64)
		assert.True(t, ok && port > 0, "an integer")
	}
	if !get && !put {
		return
	}
	ttl, ok := attributeOf(span, "cache.ttl").(int64)
	assert.True(t, ok, "an integer")
	assert.Contains(t, []int64{60, 59, 3600, 3599}, ttl, "seconds")
	if size := attributeOf(span, "cache.item_size"); size != nil {
		assert.Contains(t, []int64{int64(len(hidden) + 2), 2 * int64(len(hidden)+2)}, size, "bytes, an integer")
	} else {
		assert.Contains(t, []any{"nobody", "46"}, attributeOf(span, "cache.key").([]string)[0], "only what has no value has no size")
	}
}

// within reports whether span is below top.
func within(top, span *proto.Span, all []*proto.Span) bool {
	if string(span.ParentSpanId) == string(top.SpanId) {
		return true
	}
	for _, parent := range all {
		if string(parent.SpanId) == string(span.ParentSpanId) {
			return within(top, parent, all)
		}
	}
	return false
}

// The rule itself: what would happen without sentry.op, and with a db.* beside.
func TestTheRelaysRule(t *testing.T) {
	_, spans := request(t, use(t))
	for _, span := range spans {
		bare := &proto.Span{Name: span.Name, Kind: span.Kind}
		for _, kv := range span.Attributes {
			if kv.Key != "sentry.op" {
				bare.Attributes = append(bare.Attributes, kv)
			}
		}
		assert.Equal(t, "default", opOf(bare), "neither name nor kind says it")
		assert.False(t, onCachesPage(bare))
	}
	query := &proto.Span{Name: "GET", Kind: proto.Span_SPAN_KIND_CLIENT, Attributes: textual("db.system.name", "redis")}
	assert.Equal(t, "db", opOf(query))
	query.Attributes = append(query.Attributes, textual("sentry.op", "cache.get")...)
	assert.Equal(t, "cache.get", opOf(query), "sentry.op wins")
}
