package telemetry_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/meter"
	"github.com/larder-go/cache/internal/testkit"
)

// listed asserts that the metrics are those of the list, with its labels alone.
func listed(t *testing.T, m testkit.Meters) {
	t.Helper()
	found := map[string]metricdata.Metrics{}
	for _, one := range m.Raw(t) {
		found[one.Name] = one
	}
	for _, i := range meter.List {
		one, ok := found[i.Name]
		if !assert.True(t, ok, "%s is not measured", i.Name) {
			continue
		}
		delete(found, i.Name)
		assert.Equal(t, i.Unit, one.Unit, i.Name)
		assert.Equal(t, i.Description, one.Description)
		for _, p := range testkit.Points(t, one.Data) {
			for label, value := range p.Labels {
				if !assert.Contains(t, append(i.Labels, meter.Name), label, i.Name) {
					continue
				}
				if known := meter.Labels[label]; known != nil {
					assert.Contains(t, known, value, "%s of %s", label, i.Name)
				}
			}
			assert.Contains(t, p.Labels, meter.Name, i.Name)
		}
	}
	assert.Empty(t, found, "measured, and not in the list")
}

func TestTheListSaysWhatEachInstrumentIs(t *testing.T) {
	known := map[string]bool{}
	for _, i := range meter.List {
		assert.Regexp(t, `^cache(\.[a-z0-9_]+)+$`, i.Name)
		assert.False(t, known[i.Name], "%s is there twice", i.Name)
		known[i.Name] = true
		assert.Regexp(t, `^(s|By|\{[a-z]+\})$`, i.Unit, i.Name)
		assert.Regexp(t, `^[A-Z0-9].*\.$`, i.Description, i.Name)
		assert.Equal(t, i.Kind.Histogram(), len(i.Buckets) > 0, i.Name)
		assert.IsIncreasing(t, append([]float64{0}, i.Buckets...), i.Name)
		for _, label := range i.Labels {
			assert.Contains(t, meter.Labels, label, i.Name)
		}
	}
}

func TestWhatIsRecorded(t *testing.T) {
	m := testkit.NewMeters(t)
	c := testkit.NewCache[string](t, cachetest.Redis(t), cache.WithMeterProvider(m), cache.WithKeyGroup(testkit.GroupOf))
	ctx := t.Context()
	_, err := c.GetOrLoad(ctx, "a:1", func(context.Context, string) (string, error) {
		time.Sleep(10 * time.Millisecond)
		return "value", nil
	})
	require.NoError(t, err)
	_, err = c.Get(ctx, "a:1")
	require.NoError(t, err)
	_, err = c.GetMany(ctx, []string{"b:1", "a:1"})
	require.NoError(t, err)
	require.NoError(t, c.SetMany(ctx, map[string]string{"b:1": "1234567890", "b:2": ""}))
	_, err = c.GetOrLoad(ctx, "b:3", testkit.Failing[string](testkit.ErrLoader))
	require.Error(t, err)
	_, err = c.GetOrLoad(ctx, "b:4", testkit.Failing[string](cache.ErrNotFound))
	require.ErrorIs(t, err, cache.ErrNotFound)

	got := m.Collect(t)
	for _, want := range []struct {
		name   string
		labels []string
		count  int
	}{
		{"cache.get.duration", nil, 5},
		{"cache.get.duration", []string{"cache.group", "a", "cache.outcome", "miss"}, 1},
		{"cache.get.duration", []string{"cache.group", "a", "cache.outcome", "hit"}, 1},
		{"cache.get.duration", []string{"cache.group", "b", "cache.outcome", "miss"}, 3}, // one is the batch's
		{"cache.load.duration", []string{"cache.group", "a", "cache.load.result", "ok"}, 1},
		{"cache.load.duration", []string{"cache.group", "b", "cache.load.result", "error"}, 1},
		{"cache.load.duration", []string{"cache.group", "b", "cache.load.result", "absent"}, 1},
		{"cache.item.size", []string{"cache.group", "a"}, 1},
		{"cache.item.size", []string{"cache.group", "b"}, 2},
	} {
		assert.Equal(t, want.count, got.Count(want.name, want.labels...), "%s %v", want.name, want.labels)
	}
	assert.Equal(t, float64(len(`"value"`)), got.Sum("cache.item.size", "cache.group", "a"))
	assert.Equal(t, float64(len(`"1234567890"`)+len(`""`)), got.Sum("cache.item.size", "cache.group", "b"))
	assert.GreaterOrEqual(t, got.Sum("cache.load.duration", "cache.group", "a"), 0.01)
	assert.GreaterOrEqual(t, got.Sum("cache.get.duration", "cache.group", "a", "cache.outcome", "miss"), 0.01)
	assert.Equal(t, 3.0, got.Sum("cache.requests", "cache.group", "a"))
	assert.Equal(t, 3.0, got.Sum("cache.requests", "cache.group", "b"))
}

func TestTheAgeOfStaleValuesIsMeasured(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := testkit.NewMeters(t)
		c := testkit.NewCache[int](t, rdb, cache.WithMeterProvider(m), cache.WithXFetch(0),
			cache.Expires(&cache.TTL{Fresh: time.Minute, Jitter: -1, StaleWhileRevalidate: time.Minute}))
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(90 * time.Second)
		_, err = c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		time.Sleep(time.Second)
		got := m.Collect(t)
		assert.Equal(t, 1, got.Count("cache.stale.age"))
		assert.InDelta(t, 90, got.Sum("cache.stale.age"), 1)
		assert.Equal(t, 1.0, got.Sum("cache.refreshes", "cache.refresh.cause", "stale"))
		assert.Zero(t, got.Sum("cache.refreshes", "cache.refresh.cause", "early"))
	})
}

func TestGroupsBeyondTheBoundAreOther(t *testing.T) {
	m, spans := testkit.NewMeters(t), testkit.NewRecorder()
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithMeterProvider(m), cache.WithTracerProvider(spans), cache.WithKeyGroup(testkit.GroupOf))
	for i := range 100 {
		_, err := c.GetOrLoad(t.Context(), fmt.Sprintf("g%d:k", i), testkit.Value(i))
		require.NoError(t, err)
	}
	_, _ = c.Get(t.Context(), "other:own")
	_, _ = c.Get(t.Context(), ":none")
	agree(t, m, "test", c.Stats)
	got := m.Collect(t)
	groups := map[string]float64{}
	for _, p := range got["cache.requests"] {
		groups[p.Labels["cache.group"]] += p.Value
	}
	assert.Len(t, groups, 32+2)
	assert.Equal(t, 69.0, groups["other"])
	assert.Equal(t, 1.0, groups[""])
	assert.Equal(t, 1.0, groups["g31"])
	assert.NotContains(t, groups, "g32")
	assert.Equal(t, 68.0, got.Sum("cache.loads", "cache.group", "other"))

	traced := map[string]float64{}
	for _, span := range spans.Spans() {
		if span.Name == "cache.get" {
			traced[fmt.Sprint(testkit.Attributes(&span)["cache.group"])]++
		}
	}
	traced[""] = traced["<nil>"] // left out where there is none
	delete(traced, "<nil>")
	assert.Equal(t, groups, traced, "traces and metrics agree")
}

func TestAGroupFunctionThatPanicsMakesNoGroup(t *testing.T) {
	m := testkit.NewMeters(t)
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithMeterProvider(m), cache.WithKeyGroup(func(string) string { panic("boom") }))
	_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
	require.NoError(t, err)
	for _, p := range m.Collect(t)["cache.requests"] {
		assert.NotContains(t, p.Labels, "cache.group")
	}
}

func TestAClosedCacheIsNotObservedAnyMore(t *testing.T) {
	rdb, m := cachetest.Redis(t), testkit.NewMeters(t)
	kept := testkit.NewCache[int](t, rdb, cache.WithMeterProvider(m))
	ended, err := cache.New(rdb, "ended", cache.Aside[int](), cache.WithMeterProvider(m))
	require.NoError(t, err)
	_, _ = kept.Get(t.Context(), "k")
	require.NotEmpty(t, m.Collect(t).With("cache.requests", "cache.name", "ended"))
	require.NoError(t, ended.Close())
	got := m.Collect(t)
	assert.Empty(t, got.With("cache.requests", "cache.name", "ended"))
	assert.Equal(t, 1.0, got.Sum("cache.requests", "cache.name", "test"))
}

func TestCachesOfOneNameAddUp(t *testing.T) {
	rdb, m := cachetest.Redis(t), testkit.NewMeters(t)
	for range 2 {
		c := testkit.NewCache[int](t, rdb, cache.WithMeterProvider(m))
		_, _ = c.Get(t.Context(), "k")
	}
	assert.Equal(t, 2.0, m.Collect(t).Sum("cache.requests", "cache.outcome", "miss"))
}

// onceEnv marks the process in which OpenTelemetry's global provider is set: it can
// be set once.
const onceEnv = "CACHE_TEST_SETS_THE_METER_PROVIDER"

func TestTheGlobalProviderMayBeSetLater(t *testing.T) {
	if os.Getenv(onceEnv) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
		again.Env = append(os.Environ(), onceEnv+"=1")
		out, err := again.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: "+t.Name())
		return
	}
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	_, _ = c.Get(t.Context(), "early")
	m := testkit.NewMeters(t)
	otel.SetMeterProvider(m)
	_, _ = c.Get(t.Context(), "late")
	got := m.Collect(t)
	assert.Equal(t, 2.0, got.Sum("cache.requests", "cache.outcome", "miss"))
	assert.Equal(t, 1, got.Count("cache.get.duration"))
	require.NoError(t, c.Close())
	assert.Empty(t, m.Collect(t)["cache.requests"])
}

func TestANilMeterProviderIsRefused(t *testing.T) {
	_, err := cache.New(cachetest.Redis(t), "test", cache.Aside[int](), cache.WithMeterProvider(nil))
	assert.ErrorContains(t, err, "WithMeterProvider: provider is nil")
}
