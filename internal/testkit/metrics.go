package testkit

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// GroupOf is the part of a key before the colon.
func GroupOf(key string) string {
	group, _, _ := strings.Cut(key, ":")
	return group
}

// Meters is a meter provider, and what reads it.
type Meters struct {
	*metric.MeterProvider
	reader *metric.ManualReader
}

// NewMeters is a meter provider that is read when a test asks.
func NewMeters(t testing.TB) Meters {
	reader := metric.NewManualReader()
	m := Meters{metric.NewMeterProvider(metric.WithReader(reader)), reader}
	t.Cleanup(func() { _ = m.Shutdown(context.Background()) }) // the test may have done it
	return m
}

// point is one series as it was collected.
type point struct {
	Labels map[string]string
	Value  float64 // of a histogram: the sum
	count  uint64  // of a histogram
}

// collected is what one collection brought, by instrument.
type collected map[string][]point

func (m Meters) Collect(t require.TestingT) collected {
	all := collected{}
	for _, one := range m.Raw(t) {
		all[one.Name] = Points(t, one.Data)
	}
	return all
}

func (m Meters) Raw(t require.TestingT) []metricdata.Metrics {
	var rm metricdata.ResourceMetrics
	require.NoError(t, m.reader.Collect(context.Background(), &rm))
	if len(rm.ScopeMetrics) == 0 {
		return nil
	}
	require.Len(t, rm.ScopeMetrics, 1)
	require.Equal(t, "github.com/larder-go/cache", rm.ScopeMetrics[0].Scope.Name)
	return rm.ScopeMetrics[0].Metrics
}

func Points(t require.TestingT, data metricdata.Aggregation) (all []point) {
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

// With are the points that have these labels: name, value, name, value …
func (r collected) With(name string, labels ...string) (found []point) {
	for _, p := range r[name] {
		ok := true
		for i := 0; i < len(labels); i += 2 {
			ok = ok && p.Labels[labels[i]] == labels[i+1]
		}
		if ok {
			found = append(found, p)
		}
	}
	return found
}

// Sum adds the values of points up.
func (r collected) Sum(name string, labels ...string) (sum float64) {
	for _, p := range r.With(name, labels...) {
		sum += p.Value
	}
	return sum
}

// Count is how many values histograms have.
func (r collected) Count(name string, labels ...string) (n int) {
	for _, p := range r.With(name, labels...) {
		n += int(p.count)
	}
	return n
}
