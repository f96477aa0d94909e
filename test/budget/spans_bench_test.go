package budget_test

import (
	"context"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// thrownAway is an exporter that throws spans away.
type thrownAway struct{}

func (thrownAway) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (thrownAway) Shutdown(context.Context) error                             { return nil }

// sampling is a provider whose spans are thrown away in batches.
func sampling(b *testing.B, s sdktrace.Sampler) cache.Option {
	p := sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithBatcher(thrownAway{}))
	b.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return cache.WithTracerProvider(p)
}

// BenchmarkTelemetryOnAHit is what being watched costs a hit.
func BenchmarkTelemetryOnAHit(b *testing.B) {
	metrics := func() cache.Option { return cache.WithMeterProvider(testkit.NewMeters(b)) }
	watched := []struct {
		name    string
		options func() cache.Options
	}{
		{"no provider", func() cache.Options { return nil }},
		{"SDK never", func() cache.Options { return cache.Options{sampling(b, sdktrace.NeverSample())} }},
		{"SDK always", func() cache.Options { return cache.Options{sampling(b, sdktrace.AlwaysSample())} }},
		{"metrics", func() cache.Options { return cache.Options{metrics()} }},
		{"SDK always and metrics", func() cache.Options { return cache.Options{sampling(b, sdktrace.AlwaysSample()), metrics()} }},
	}
	rdb := redistest.Single(b).Client(b)
	load := testkit.Value(newArticle())
	open := func(b *testing.B, options ...cache.Option) *cache.Cache[article] {
		return testkit.NewCache[article](b, rdb, append(options, cache.WithXFetch(0), testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = 10 * time.Hour }))...)
	}
	for _, w := range watched {
		b.Run("hit in the L1/"+w.name, func(b *testing.B) {
			c := open(b, w.options(), cache.WithL1(testkit.NewL1(b, rdb, cache.L1Options{TTL: time.Hour})))
			testkit.InUse(b, c)
			testkit.Nearby(b, c, "k", load)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.GetOrLoad(b.Context(), "k", load); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("hit in Redis/"+w.name, func(b *testing.B) {
			c := open(b, w.options())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.GetOrLoad(b.Context(), "k", load); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
