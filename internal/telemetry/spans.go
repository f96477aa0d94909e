package telemetry

import (
	"cmp"
	"context"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/larder-go/cache"

// spans starts and describes a cache's spans.
type spans struct {
	given        trace.TracerProvider // WithTracerProvider's; nil: the parent's or the global one
	keyAttribute func(string) string
	groups       *groups
	answer       func(error) bool
	failure      func(error) string
	options      map[Op][]trace.SpanStartOption // attributes that never vary, built once
	last         *atomic.Pointer[providerTracer]
}

// providerTracer remembers the tracer of the provider that was used last.
type providerTracer struct {
	provider trace.TracerProvider
	tracer   trace.Tracer // nil: its spans go nowhere
}

func newSpans(of *Options, groups *groups) spans {
	s := spans{
		given:        of.Tracers,
		keyAttribute: unpanicking(of.KeyAttribute, of.Logger),
		groups:       groups,
		answer:       of.Answer,
		failure:      of.Failure,
		options:      map[Op][]trace.SpanStartOption{},
		last:         new(atomic.Pointer[providerTracer]),
	}
	if s.given != nil && home(s.given) == globalHome {
		s.given = nil // otel.GetTracerProvider() before it was set: ask again at each call
	}
	for _, o := range []Op{OpGet, OpPut, OpRemove, OpFlush, OpLoad, OpLockWait, OpRefresh} {
		s.options[o] = []trace.SpanStartOption{trace.WithAttributes(
			attribute.String("sentry.op", string(o)),
			attribute.String("cache.operation", o.name()),
			attribute.String("cache.name", of.Name),
		)}
	}
	return s
}

// Start starts a span under ctx's. The span is nil, and nothing is allocated,
// if it would go nowhere: under a local parent that does not record, or without
// a parent and without a provider.
func (s *spans) Start(ctx context.Context, o Op) (context.Context, trace.Span) {
	tracer := s.tracer(ctx)
	if tracer == nil {
		return ctx, nil
	}
	ctx, span := tracer.Start(ctx, string(o), s.options[o]...)
	if !span.IsRecording() {
		return ctx, nil
	}
	return ctx, span
}

// silent reports, at a fraction of the cost, that Start under ctx starts nothing. It says
// no where it is not certain of that.
func (s *spans) silent(ctx context.Context) bool {
	last := s.last.Load()
	return s.given == nil && last != nil && last.tracer == nil &&
		trace.SpanFromContext(ctx) == noParent && otel.GetTracerProvider() == last.provider
}

// noParent is the span of a context that has none.
var noParent = trace.SpanFromContext(context.Background())

// StartRoot starts a span that is no child of ctx's but linked to it: for work
// that the caller caused and does not wait for. Where there is none, what is
// started under the context that it returns has none either.
func (s *spans) StartRoot(ctx context.Context, o Op) (context.Context, trace.Span) {
	tracer := s.tracer(ctx)
	if tracer == nil {
		return ctx, nil
	}
	options := s.options[o]
	options = append(options[:len(options):len(options)], trace.WithNewRoot())
	if cause := trace.SpanContextFromContext(ctx); cause.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: cause}))
	}
	ctx, span := tracer.Start(ctx, string(o), options...)
	if !span.IsRecording() {
		return ctx, nil
	}
	return ctx, span
}

// tracer is what starts a span under ctx, or nil if none should be started.
func (s *spans) tracer(ctx context.Context) trace.Tracer {
	parent := trace.SpanFromContext(ctx)
	provider := s.given
	if parent.IsRecording() {
		provider = cmp.Or(provider, parent.TracerProvider())
	} else if sc := parent.SpanContext(); sc.IsValid() && !sc.IsRemote() {
		if !sc.IsSampled() || goesNowhere(parent.TracerProvider()) {
			return nil
		}
		// It was recorded and has ended: a load goes on after the caller that
		// caused it has left, and a refresh may begin then.
		provider = cmp.Or(provider, parent.TracerProvider())
	}
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return s.tracerOf(provider)
}

// tracerOf returns provider's tracer, or nil if its spans go nowhere. A
// provider that cannot be compared with the last one is asked each time.
func (s *spans) tracerOf(provider trace.TracerProvider) trace.Tracer {
	last := s.last.Load()
	if goesNowhere(provider) { // told by its type alone: looking into a struct allocates
		if isPointer(provider) && (last == nil || last.provider != provider) {
			s.last.Store(&providerTracer{provider: provider})
		}
		return nil
	}
	known := comparesItself(provider)
	if known && last != nil && last.provider == provider {
		return last.tracer
	}
	next := &providerTracer{provider: provider, tracer: provider.Tracer(scope)}
	if known {
		s.last.Store(next)
	}
	return next.tracer
}

// comparesItself reports whether provider equals itself: a struct may hold what does not.
// What most programs have is a pointer, which costs no look inside.
func comparesItself(provider trace.TracerProvider) bool {
	return isPointer(provider) || reflect.ValueOf(provider).Comparable()
}

func isPointer(provider trace.TracerProvider) bool {
	return reflect.TypeOf(provider).Kind() == reflect.Pointer
}

// globalHome is where OpenTelemetry's placeholder for the global provider
// lives, which stands where nobody has set one.
const globalHome = "go.opentelemetry.io/otel/internal/global"

// goesNowhere reports whether provider is that placeholder or a no-op.
func goesNowhere(provider trace.TracerProvider) bool {
	switch home(provider) {
	case globalHome, "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/trace/noop":
		return true
	}
	return false
}

// home is the package of provider's type.
func home(provider trace.TracerProvider) string {
	t := reflect.TypeOf(provider)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

// End ends a span. Its status is an error only for what the caller gets as a
// failure (of a load: the caller of the loader): a miss and an absence are
// answers.
func (s *spans) End(span trace.Span, err error) {
	if span == nil {
		return
	}
	if err != nil && !s.answer(err) {
		span.SetStatus(codes.Error, s.failure(err))
		s.describeError(span, err)
	}
	span.End()
}

// describeError names the kind of an error: its text may quote data.
func (s *spans) describeError(span trace.Span, err error) {
	span.SetAttributes(attribute.String("error.type", reflect.TypeOf(err).String()))
}
