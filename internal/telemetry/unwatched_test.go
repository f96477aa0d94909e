package telemetry_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/telemetry"
)

// A hit in the L1 asks whether anybody is told of it before it does what only they want.
func TestALookUpIsUnwatchedOnlyWhereNobodyIsToldOfIt(t *testing.T) {
	recorder := func(o telemetry.Options) *telemetry.Recorder {
		o.Name, o.Logger = "test", slog.New(slog.DiscardHandler)
		r := telemetry.New(o)
		return &r
	}
	sdk := trace.NewTracerProvider()
	traced, span := sdk.Tracer("parent").Start(t.Context(), "parent")
	defer span.End()
	remote := oteltrace.ContextWithRemoteSpanContext(t.Context(), span.SpanContext())
	none := recorder(telemetry.Options{})
	holds := func(r *telemetry.Recorder, ctx context.Context, want bool, why string) {
		t.Helper()
		for range 2 { // the first one may have to ask
			_, span := r.Start(ctx, telemetry.OpGet)
			unwatched := r.Unwatched(ctx)
			assert.False(t, unwatched && (span != nil || r.Begin(ctx) != 0), why)
			assert.Equal(t, want, unwatched, why)
		}
	}
	holds(none, t.Context(), true, "no provider")
	holds(none, traced, false, "a parent that records")
	holds(none, remote, false, "a remote parent")
	holds(none, t.Context(), true, "no provider, after others")
	holds(recorder(telemetry.Options{Tracers: sdk}), t.Context(), false, "a provider")
	holds(recorder(telemetry.Options{Meters: metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))}),
		t.Context(), false, "metrics")

	placeholder := otel.GetTracerProvider()
	defer otel.SetTracerProvider(placeholder)
	otel.SetTracerProvider(sdk)
	holds(none, t.Context(), false, "a provider that is set globally")
}
