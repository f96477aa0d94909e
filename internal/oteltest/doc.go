// Package oteltest holds the test of what leaves a process: spans of a cache that
// went through OpenTelemetry's OTLP exporter, as a back-end receives them. It has a
// module of its own, so that who uses the cache does not depend on exporters.
package oteltest
