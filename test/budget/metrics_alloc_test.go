package budget_test

import (
	"maps"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// measurings are ways to be measured, or not.
func measurings(t testing.TB) map[string][]cache.Option {
	all := map[string][]cache.Option{
		"no provider":                  nil,
		"a no-op provider":             {cache.WithMeterProvider(noop.NewMeterProvider())},
		"a provider that nobody reads": {cache.WithMeterProvider(metric.NewMeterProvider())},
		"a provider that is read":      {cache.WithMeterProvider(testkit.NewMeters(t))},
	}
	for name, options := range maps.Clone(all) {
		all[name+", groups"] = append(options[:len(options):len(options)], cache.WithKeyGroup(testkit.GroupOf))
	}
	return all
}

func TestAHitThatIsMeasuredAllocatesNoMore(t *testing.T) {
	rdb := redistest.Single(t).Client(t)
	hit := func(options ...cache.Option) float64 {
		c := testkit.NewCache[article](t, rdb, append(options, cache.WithXFetch(0))...)
		_ = c.Set(t.Context(), "group:key", newArticle())
		return allocs(t, func() error { _, err := c.Get(t.Context(), "group:key"); return err })
	}
	plain := hit()
	for name, options := range measurings(t) {
		assert.LessOrEqual(t, hit(options...), plain+testkit.PoolSlack, name)
	}
}

// hitInL1 is a cache that serves key from its L1.
func hitInL1(t testing.TB, rdb redis.UniversalClient, key string, options ...cache.Option) *cache.Cache[article] {
	t.Helper()
	l1 := testkit.NewL1(t, rdb, cache.L1Options{TTL: time.Hour})
	c := testkit.NewCache[article](t, rdb, append(options, cache.WithL1(l1), testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Hour }))...)
	testkit.InUse(t, c)
	testkit.Nearby(t, c, key, testkit.Value(newArticle()))
	return c
}

func TestAHitInTheL1ThatIsMeasuredAllocatesNothing(t *testing.T) {
	rdb, load := cachetest.Redis(t), testkit.Value(newArticle())
	caches := map[string]*cache.Cache[article]{}
	for name, options := range measurings(t) {
		caches[name] = hitInL1(t, rdb, "group:key", options...)
	}
	for name, c := range caches {
		testkit.Eventually(t, func() bool { // the clear token is renewed meanwhile, by others
			return testing.AllocsPerRun(testkit.AllocRuns, func() { _, _ = c.GetOrLoad(t.Context(), "group:key", load) }) == 0
		}, name+": no allocations")
	}
}
