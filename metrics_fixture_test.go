package cache_test

import (
	"context"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/larder-go/cache"
)

// meters is a meter provider, and what reads it.
type meters struct {
	*metric.MeterProvider
	reader *metric.ManualReader
}

func newMeters(t testing.TB) meters {
	reader := metric.NewManualReader()
	m := meters{metric.NewMeterProvider(metric.WithReader(reader)), reader}
	t.Cleanup(func() { _ = m.Shutdown(context.Background()) }) // the test may have done it
	return m
}

// point is one series as it was collected.
type point struct {
	labels map[string]string
	value  float64 // of a histogram: the sum
	count  uint64  // of a histogram
}

// collected is what one collection brought, by instrument.
type collected map[string][]point

func (m meters) collect(t require.TestingT) collected {
	all := collected{}
	for _, one := range m.raw(t) {
		all[one.Name] = points(t, one.Data)
	}
	return all
}

func (m meters) raw(t require.TestingT) []metricdata.Metrics {
	var rm metricdata.ResourceMetrics
	require.NoError(t, m.reader.Collect(context.Background(), &rm))
	if len(rm.ScopeMetrics) == 0 {
		return nil
	}
	require.Len(t, rm.ScopeMetrics, 1)
	require.Equal(t, "github.com/larder-go/cache", rm.ScopeMetrics[0].Scope.Name)
	return rm.ScopeMetrics[0].Metrics
}

func points(t require.TestingT, data metricdata.Aggregation) (all []point) {
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			all = append(all, point{labelsOf(p.Attributes), float64(p.Value), 0})
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			all = append(all, point{labelsOf(p.Attributes), float64(p.Value), 0})
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			all = append(all, point{labelsOf(p.Attributes), p.Value, 0})
		}
	case metricdata.Histogram[int64]:
		for _, p := range d.DataPoints {
			all = append(all, point{labelsOf(p.Attributes), float64(p.Sum), p.Count})
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			all = append(all, point{labelsOf(p.Attributes), p.Sum, p.Count})
		}
	default:
		require.FailNowf(t, "unknown data", "%T", data)
	}
	return all
}

func labelsOf(set attribute.Set) map[string]string {
	all := map[string]string{}
	for _, kv := range set.ToSlice() {
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}

// with are the points that have these labels: name, value, name, value …
func (r collected) with(name string, labels ...string) (found []point) {
	for _, p := range r[name] {
		ok := true
		for i := 0; i < len(labels); i += 2 {
			ok = ok && p.labels[labels[i]] == labels[i+1]
		}
		if ok {
			found = append(found, p)
		}
	}
	return found
}

// sum adds the values of points up.
func (r collected) sum(name string, labels ...string) (sum float64) {
	for _, p := range r.with(name, labels...) {
		sum += p.value
	}
	return sum
}

// count is how many values histograms have.
func (r collected) count(name string, labels ...string) (n int) {
	for _, p := range r.with(name, labels...) {
		n += int(p.count)
	}
	return n
}

// figureOf says where each field of Stats is among the metrics: an instrument, and
// labels.
var figureOf = map[string][][]string{
	"HitsL1":       {{"cache.requests", "cache.outcome", "hit_l1"}},
	"Hits":         {{"cache.requests", "cache.outcome", "hit"}, {"cache.requests", "cache.outcome", "hit_l1"}},
	"Stale":        {{"cache.requests", "cache.outcome", "stale"}},
	"Absent":       {{"cache.requests", "cache.outcome", "absent"}},
	"Misses":       {{"cache.requests", "cache.outcome", "miss"}},
	"Loads":        {{"cache.loads"}},
	"LoadErrors":   {{"cache.loads", "cache.load.result", "error"}},
	"LoadsAbsent":  {{"cache.loads", "cache.load.result", "absent"}},
	"Coalesced":    {{"cache.coalesced"}},
	"LockWaits":    {{"cache.lock.waits"}},
	"RefusedFills": {{"cache.fills.refused"}},
	"Refreshes":    {{"cache.refreshes"}},
	"Bypassed":     {{"cache.bypassed"}},
	"Corrupt":      {{"cache.records.corrupt"}},
	"Foreign":      {{"cache.records.foreign"}},
	"Pending":      {{"cache.invalidations.pending"}},
	"Dirty":        {{"cache.write_behind.dirty"}},
	"DeadLetters":  {{"cache.write_behind.dead_letters"}},
	"Flushed":      {{"cache.write_behind.flushed"}},
	"FlushErrors":  {{"cache.write_behind.flush.errors"}},
	"RedisErrors":  {{"cache.redis.errors"}},
	"Loading":      {{"cache.loads.running"}},
	"Waiting":      {{"cache.requests.waiting"}},
	"Lag":          {{"cache.write_behind.lag"}},
	"Unencodable":  {{"cache.values.unencodable"}},
}

// agree asserts that the metrics of the cache of that name say what Stats says, field
// by field, and returns it. Work in the background may come between two readings.
func agree(t require.TestingT, m meters, name string, stats func() cache.Stats) cache.Stats {
	for range 1000 {
		before := stats()
		got := m.collect(t)
		if before != stats() {
			continue
		}
		fields := reflect.ValueOf(before)
		for i := range fields.NumField() {
			field := fields.Type().Field(i).Name
			require.Contains(t, figureOf, field, "no metric is named for the field")
			want := float64(fields.Field(i).Int())
			if d, ok := fields.Field(i).Interface().(time.Duration); ok {
				want = d.Seconds()
			}
			sum := 0.0
			for _, figure := range figureOf[field] {
				sum += got.sum(figure[0], append(figure[1:], "cache.name", name)...)
			}
			require.Equal(t, strconv.FormatFloat(want, 'g', -1, 64), strconv.FormatFloat(sum, 'g', -1, 64), "%s of %s", field, name)
		}
		return before
	}
	assert.Fail(t, "Stats never stood still")
	return cache.Stats{}
}
