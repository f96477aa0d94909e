package main

import (
	"context"
	"time"

	apimetric "go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	apitrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
)

// telemetry: what being watched costs.
var telemetry = scenario{
	name:  "telemetry",
	about: "A hit of ours, in Redis and in memory, with more and more telemetry. One goroutine; exported spans are thrown away.",
	run:   runTelemetry,
	job:   telemetryJob,
}

const unwatched = "no provider"

var telemetryRows = []peers.Row{
	{Name: unwatched, About: "nothing given: the default", Kind: peers.Floor},
	{Name: "noop provider", About: "WithTracerProvider(noop)", Kind: peers.Ours},
	{Name: "SDK, never", About: "sampler NeverSample", Kind: peers.Ours},
	{Name: "SDK, always", About: "sampler AlwaysSample, batches to nowhere", Kind: peers.Ours},
	{Name: "metrics", About: "SDK meter provider with a reader, no spans", Kind: peers.Ours},
}

func runTelemetry(b *bench) error {
	server, err := b.server()
	if err != nil {
		return err
	}
	fillSpec := runner.Spec{Job: fillJob, Row: peers.Default, Keys: b.some(hitKeys), Size: work.Nested, Goroutines: fillers}
	if _, _, err := b.measure(server, fillSpec); err != nil {
		return err
	}
	// In memory they are few: an entry is there for two seconds, and all must be.
	for _, tier := range []struct {
		title, row string
		keys       int
	}{{"hit in Redis", peers.Default, hitKeys}, {"hit in memory", peers.NearRow, hitKeys / 20}} {
		t := report.NewTable(tier.title, unwatched,
			report.Column{Metric: runner.PerOp, Ratio: true}, report.Column{Metric: runner.CPU, Digits: 2}, report.Column{Metric: runner.Allocs, Digits: 1})
		err := runner.Interleave(b.count(7), len(telemetryRows), func(round, i int) error {
			spec := runner.Spec{Row: tier.row, Mode: telemetryRows[i].Name, Goroutines: 1, Keys: b.some(tier.keys), Size: work.Nested, Round: round, For: b.length(600 * time.Millisecond)}
			s, _, err := b.measure(server, spec)
			t.Add(telemetryRows[i], s, runner.Audit{})
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, telemetryRows)
	}
	return nil
}

// watch is the provider of a row.
func watch(mode string) apitrace.TracerProvider {
	switch mode {
	case "noop provider":
		return noop.NewTracerProvider()
	case "SDK, never":
		return trace.NewTracerProvider(trace.WithSampler(trace.NeverSample()), trace.WithBatcher(nowhere{}))
	case "SDK, always":
		return trace.NewTracerProvider(trace.WithSampler(trace.AlwaysSample()), trace.WithBatcher(nowhere{}))
	default:
		return nil
	}
}

// meters is the meter provider of a row.
func meters(mode string) apimetric.MeterProvider {
	if mode != "metrics" {
		return nil
	}
	return metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
}

// nowhere is an exporter that throws spans away.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []trace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                          { return nil }

func telemetryJob(c *runner.Child) (runner.Sample, error) {
	source := newSource(c.Spec.Size)
	p, err := open(c, peers.Env{Fresh: 10 * time.Hour, Load: source.get, Tracers: watch(c.Spec.Mode), Meters: meters(c.Spec.Mode)})
	if err != nil {
		return nil, err
	}
	keys := work.Keys(c.Spec.Keys)
	if c.Spec.Row != peers.NearRow {
		return measureHits(c, p, source)
	}
	if err := getAll(p, keys); err != nil { // twice: what is loaded, then what is found
		return nil, err
	}
	if err := inMemory(p, keys, &source.loads); err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	ops, err := batches(p, keys, c.Spec)
	return c.Stop(ops), err
}
