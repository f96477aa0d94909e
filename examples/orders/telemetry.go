package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracing is where spans go, and how to end it.
type tracing struct {
	trace.TracerProvider
	close func(ctx context.Context) error
}

// startTracing sends spans to an OTLP collector over HTTP if
// OTEL_EXPORTER_OTLP_ENDPOINT names one, else to: "stdout", "stderr", "off",
// or the name of a file, which is overwritten.
func startTracing(ctx context.Context, to string) (*tracing, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, err
		}
		return exportTo(exporter, io.NopCloser(nil)), nil
	}
	switch to {
	case "off":
		return &tracing{noop.NewTracerProvider(), func(context.Context) error { return nil }}, nil
	case "stdout":
		return writeTo(os.Stdout, io.NopCloser(nil))
	case "stderr":
		return writeTo(os.Stderr, io.NopCloser(nil))
	}
	file, err := os.Create(to)
	if err != nil {
		return nil, err
	}
	return writeTo(file, file)
}

func writeTo(w io.Writer, c io.Closer) (*tracing, error) {
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(w))
	if err != nil {
		return nil, err
	}
	return exportTo(exporter, c), nil
}

func exportTo(exporter sdktrace.SpanExporter, c io.Closer) *tracing {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "orders"))),
	)
	return &tracing{provider, func(ctx context.Context) error {
		if err := provider.Shutdown(ctx); err != nil {
			return fmt.Errorf("spans: %w", err)
		}
		return c.Close()
	}}
}
