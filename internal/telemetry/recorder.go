// Package telemetry is what a cache reports of itself in spans and numbers: where spans
// begin and what they say, counters, and the instruments of internal/meter's list. It
// knows no values and no Redis. Hooks and the events of the log are the root package's.
package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Options are what a recorder is given.
type Options struct {
	Name                   string // of the cache
	Tracers                trace.TracerProvider
	Meters                 metric.MeterProvider
	KeyAttribute, KeyGroup func(key string) string
	Logger                 *slog.Logger

	// Answer reports whether an error is an answer and no failure, as a miss is;
	// Failure is the text of one that is, without what may hold a key or a value.
	Answer  func(error) bool
	Failure func(error) string
	// Unasked is what errors are that say that Redis was not even asked.
	Unasked error
}

// Recorder counts and describes what a cache does. Make it with [New].
type Recorder struct {
	Counts
	Logger  *slog.Logger
	Unasked error

	// RedisKey is where a key is kept, Peer the node that has it, "" where that is not
	// known. They are set before the first span ends.
	RedisKey func(key string) string
	Peer     func(ctx context.Context, redisKey string) (host string, port int)

	groups *groups
	instruments
	spans
}

// New returns the recorder of a cache, to be kept where it is used: a hit in the L1
// counts in a fraction of the time that it takes, and each pointer on the way shows.
func New(o Options) Recorder {
	groups := newGroups(&o)
	return Recorder{
		Counts:      Counts{redisErrors: newRedisErrors()},
		Logger:      o.Logger,
		Unasked:     o.Unasked,
		groups:      groups,
		instruments: newInstruments(&o),
		spans:       newSpans(&o, groups),
	}
}

// Loaded counts a loader call for keys of which this is the first, and ends its span.
func (r *Recorder) Loaded(ctx context.Context, span trace.Span, key string, took time.Duration, l LoadLabel, err error) {
	g := r.groups.find(key)
	g.loads[l].Add(1)
	r.loadTook(ctx, took, g, l)
	r.End(span, err)
}
