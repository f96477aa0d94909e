package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/larder-go/cache/internal/meter"
	"github.com/larder-go/cache/internal/mono"
)

// This file makes the instruments of internal/meter's list. What is counted is
// counted by counts.go and group.go, whether or not somebody measures, and read when metrics are
// collected (observe.go): a hit pays for no counter of OpenTelemetry's. Durations
// and sizes are recorded as they come, and not even the clock is read for them
// unless somebody collects them.

// labels are the attributes of one series, in the forms that are passed without
// an allocation.
type labels struct {
	record  []metric.RecordOption
	observe []metric.ObserveOption
}

func newLabels(all ...attribute.KeyValue) labels {
	set := metric.WithAttributeSet(attribute.NewSet(all...))
	return labels{[]metric.RecordOption{set}, []metric.ObserveOption{set}}
}

// groupLabels are those of a group of keys.
type groupLabels struct {
	alone    labels
	outcomes [len(outcomeNames)]labels
	results  [len(loadNames)]labels
}

func newGroupLabels(name, group string) (l groupLabels) {
	all := []attribute.KeyValue{attribute.String(meter.Name, name)}
	if group != "" {
		all = append(all, attribute.String(meter.Group, group))
	}
	all = all[:len(all):len(all)]
	l.alone = newLabels(all...)
	for o, value := range outcomeNames {
		l.outcomes[o] = newLabels(append(all, attribute.String(meter.Outcome, value))...)
	}
	for r, value := range loadNames {
		l.results[r] = newLabels(append(all, attribute.String(meter.Result, value))...)
	}
	return l
}

// instruments are a cache's instruments.
type instruments struct {
	meter    metric.Meter
	integers [meter.Count]metric.Int64Observable
	seconds  [meter.Count]metric.Float64Observable
	getTime  metric.Float64Histogram
	loadTime metric.Float64Histogram
	sinkTime metric.Float64Histogram
	staleAge metric.Float64Histogram
	itemSize metric.Int64Histogram

	name   labels // those of the cache alone
	causes [len(causeNames)]labels
	ops    map[Op]labels

	registration metric.Registration // of what observe.go reads; nil: none
}

func newInstruments(o *Options) instruments {
	provider := o.Meters
	if provider == nil {
		provider = otel.GetMeterProvider() // a placeholder until it is set, which it may be later
	}
	of := attribute.String(meter.Name, o.Name)
	m := instruments{meter: provider.Meter(scope), name: newLabels(of), ops: map[Op]labels{}}
	for id := range meter.Count {
		m.make(id, o.Logger)
	}
	for i, cause := range causeNames {
		m.causes[i] = newLabels(of, attribute.String(meter.Cause, cause))
	}
	for _, op := range failing {
		m.ops[op] = newLabels(of, attribute.String(meter.Op, op.name()))
	}
	return m
}

// make makes one instrument. One that the provider refuses measures nothing.
func (m *instruments) make(id meter.ID, logger *slog.Logger) {
	i := meter.Of(id)
	unit, description := metric.WithUnit(i.Unit), metric.WithDescription(i.Description)
	var err error
	switch i.Kind {
	case meter.Counter:
		m.integers[id], err = m.meter.Int64ObservableCounter(i.Name, unit, description)
	case meter.UpDown:
		m.integers[id], err = m.meter.Int64ObservableUpDownCounter(i.Name, unit, description)
	case meter.Gauge:
		m.integers[id], err = m.meter.Int64ObservableGauge(i.Name, unit, description)
	case meter.Seconds:
		m.seconds[id], err = m.meter.Float64ObservableGauge(i.Name, unit, description)
	case meter.Durations:
		h := m.histogram(id)
		*h, err = m.meter.Float64Histogram(i.Name, unit, description, metric.WithExplicitBucketBoundaries(i.Buckets...))
		if *h == nil || err != nil {
			*h = noop.Float64Histogram{}
		}
	case meter.Sizes:
		m.itemSize, err = m.meter.Int64Histogram(i.Name, unit, description, metric.WithExplicitBucketBoundaries(i.Buckets...))
		if m.itemSize == nil || err != nil {
			m.itemSize = noop.Int64Histogram{}
		}
	}
	if err != nil {
		m.integers[id], m.seconds[id] = nil, nil
		logger.Warn("the meter provider refuses an instrument", "instrument", i.Name, "error", err)
	}
}

// histogram is where the histogram of an ID is kept.
func (m *instruments) histogram(id meter.ID) *metric.Float64Histogram {
	return map[meter.ID]*metric.Float64Histogram{
		meter.GetDuration: &m.getTime, meter.LoadDuration: &m.loadTime, meter.SinkDuration: &m.sinkTime,
		meter.StaleAge: &m.staleAge,
	}[id]
}

// Begin is when an operation begins, on internal/mono's clock; 0 if nobody wants to
// know how long it takes.
func (m *instruments) Begin(ctx context.Context) int64 {
	if !m.getTime.Enabled(ctx) {
		return 0
	}
	return mono.Now()
}

// took records how long a call took that looked up keys of g.
func (m *instruments) took(ctx context.Context, began int64, g *Group, o Outcome) {
	if began != 0 {
		m.getTime.Record(ctx, time.Duration(mono.Now()-began).Seconds(), g.labels.outcomes[o].record...)
	}
}

// loadTook records how long a loader took.
func (m *instruments) loadTook(ctx context.Context, took time.Duration, g *Group, l LoadLabel) {
	if m.loadTime.Enabled(ctx) {
		m.loadTime.Record(ctx, took.Seconds(), g.labels.results[l].record...)
	}
}

// SinkTook records how long a call of a sink took.
func (m *instruments) SinkTook(took time.Duration) {
	if ctx := context.Background(); m.sinkTime.Enabled(ctx) {
		m.sinkTime.Record(ctx, took.Seconds(), m.name.record...)
	}
}

// Aged records the age of a stale value that was served.
func (r *Recorder) Aged(ctx context.Context, age time.Duration, key string) {
	if r.staleAge.Enabled(ctx) {
		r.staleAge.Record(ctx, age.Seconds(), r.groups.find(key).labels.alone.record...)
	}
}

// sized records the size of a value on its way into Redis; -1 is none.
func (r *Recorder) sized(ctx context.Context, size int, key string) {
	if size >= 0 && r.itemSize.Enabled(ctx) {
		r.itemSize.Record(ctx, int64(size), r.groups.find(key).labels.alone.record...)
	}
}
