package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// telemetry is a meter provider that Prometheus collects. This is all that a service
// adds.
type telemetry struct {
	provider *metric.MeterProvider
	registry *prometheus.Registry
	scrapes  atomic.Int64
}

func newTelemetry() (*telemetry, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(
		exporter.WithRegisterer(registry),
		// The names that dashboards and alerts have: dots to underscores, with units.
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
	)
	if err != nil {
		return nil, err
	}
	return &telemetry{provider: metric.NewMeterProvider(metric.WithReader(reader)), registry: registry}, nil
}

func (t *telemetry) shutdown() error { return within(5*time.Second, t.provider.Shutdown) }

// serve answers GET /metrics until ctx ends.
func (t *telemetry) serve(ctx context.Context, listener net.Listener) {
	handler := promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		t.scrapes.Add(1)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // until it is closed
	}()
	<-ctx.Done()
	_ = server.Close()
	<-ended
}

// scraped waits until the metrics were collected n times; false if ctx ends first.
func (t *telemetry) scraped(ctx context.Context, n int) bool {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for t.scrapes.Load() < int64(n) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
