package cache_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
)

// measurings are ways to be measured, or not.
func measurings(t testing.TB) map[string][]cache.Option {
	all := map[string][]cache.Option{
		"no provider":                  nil,
		"a no-op provider":             {cache.WithMeterProvider(noop.NewMeterProvider())},
		"a provider that nobody reads": {cache.WithMeterProvider(metric.NewMeterProvider())},
		"a provider that is read":      {cache.WithMeterProvider(newMeters(t))},
	}
	for name, options := range maps.Clone(all) {
		all[name+", groups"] = append(options[:len(options):len(options)], cache.WithKeyGroup(groupOf))
	}
	return all
}

func TestMeasuringAllocatesNothing(t *testing.T) {
	for name, options := range measurings(t) {
		t.Run(name, func(t *testing.T) {
			c := newCache[int](t, cachetest.Redis(t), options...)
			assert.Zero(t, testing.AllocsPerRun(allocRuns, func() { cache.StartsSpan(t.Context(), c) }))
		})
	}
}

func TestAHitThatIsMeasuredAllocatesNoMore(t *testing.T) {
	rdb := redistest.Single(t).Client(t)
	hit := func(options ...cache.Option) float64 {
		c := newCache[article](t, rdb, append(options, cache.WithXFetch(0))...)
		_ = c.Set(t.Context(), "group:key", newArticle())
		return allocs(t, func() error { _, err := c.Get(t.Context(), "group:key"); return err })
	}
	plain := hit()
	for name, options := range measurings(t) {
		assert.LessOrEqual(t, hit(options...), plain+poolSlack, name)
	}
}

func TestAHitInTheL1ThatIsMeasuredAllocatesNothing(t *testing.T) {
	rdb := cachetest.Redis(t)
	for name, options := range measurings(t) {
		l1 := newL1(t, rdb, cache.L1Options{TTL: time.Hour})
		c := newCache[article](t, rdb, append(options, cache.WithL1(l1), class(func(ttl *cache.TTL) { ttl.Fresh = time.Hour }))...)
		inUse(t, c)
		load := value(newArticle())
		nearby(t, c, "group:key", load)
		eventually(t, func() bool { // the clear token is renewed meanwhile, by others
			return testing.AllocsPerRun(allocRuns, func() { _, _ = c.GetOrLoad(t.Context(), "group:key", load) }) == 0
		}, name+": no allocations")
	}
}

// BenchmarkMeasuring is what metrics add to a hit.
func BenchmarkMeasuring(b *testing.B) {
	for name, options := range measurings(b) {
		b.Run(name, func(b *testing.B) {
			c := newCache[int](b, cachetest.Redis(b), options...)
			b.ReportAllocs()
			for b.Loop() {
				cache.StartsSpan(b.Context(), c)
			}
		})
	}
}
