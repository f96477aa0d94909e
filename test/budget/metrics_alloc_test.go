package budget_test

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

// hitsInL1 are caches that serve key from an L1, by what they are made with. All of
// them wait at once for their L1 to hear them.
func hitsInL1(t testing.TB, key string, options map[string][]cache.Option) map[string]*cache.Cache[article] {
	t.Helper()
	rdb, all := cachetest.Redis(t), map[string]*cache.Cache[article]{}
	fresh := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Hour })
	for name, how := range options {
		l1 := testkit.NewL1(t, rdb, cache.L1Options{TTL: time.Hour})
		all[name] = testkit.NewCache[article](t, rdb, append(how, cache.WithL1(l1), fresh)...)
	}
	for _, c := range all {
		testkit.InUse(t, c)
		testkit.Nearby(t, c, key, testkit.Value(newArticle()))
	}
	return all
}

func TestAHitInTheL1ThatIsMeasuredAllocatesNothing(t *testing.T) {
	load := testkit.Value(newArticle())
	for name, c := range hitsInL1(t, "group:key", measurings(t)) {
		testkit.Eventually(t, func() bool { // the clear token is renewed meanwhile, by others
			return testing.AllocsPerRun(testkit.AllocRuns, func() { _, _ = c.GetOrLoad(t.Context(), "group:key", load) }) == 0
		}, name+": no allocations")
	}
}
