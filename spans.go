package cache

import (
	"cmp"
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/store"
)

// op is an operation: a span's name, and its sentry.op, which is what puts a
// span on Sentry's Caches page.
type op string

const (
	opGet      op = "cache.get"
	opPut      op = "cache.put"
	opRemove   op = "cache.remove"
	opFlush    op = "cache.flush"
	opLoad     op = "cache.load"
	opLockWait op = "cache.lock.wait"
	opRefresh  op = "cache.refresh"
	opSlide    op = "cache.slide" // an operation of errors; it has no span
)

// failing are the operations that Redis may not answer.
var failing = []op{opGet, opPut, opRemove, opFlush, opLoad, opLockWait, opSlide}

// name is the operation as an attribute.
func (o op) name() string { return strings.TrimPrefix(string(o), "cache.") }

const scope = "github.com/larder-go/cache"

// spans starts and describes a cache's spans.
type spans struct {
	given        trace.TracerProvider // WithTracerProvider's; nil: the parent's or the global one
	keyAttribute func(string) string
	groups       *keyGroups
	options      map[op][]trace.SpanStartOption // attributes that never vary, built once
	last         *atomic.Pointer[providerTracer]
}

// providerTracer remembers the tracer of the provider that was used last.
type providerTracer struct {
	provider trace.TracerProvider
	tracer   trace.Tracer // nil: its spans go nowhere
}

func newSpans(name string, c *config, groups *keyGroups) spans {
	s := spans{
		given:        c.tracers,
		keyAttribute: unpanicking(c.keyAttribute, c.logger),
		groups:       groups,
		options:      map[op][]trace.SpanStartOption{},
		last:         new(atomic.Pointer[providerTracer]),
	}
	if s.given != nil && home(s.given) == globalHome {
		s.given = nil // otel.GetTracerProvider() before it was set: ask again at each call
	}
	for _, o := range []op{opGet, opPut, opRemove, opFlush, opLoad, opLockWait, opRefresh} {
		s.options[o] = []trace.SpanStartOption{trace.WithAttributes(
			attribute.String("sentry.op", string(o)),
			attribute.String("cache.operation", o.name()),
			attribute.String("cache.name", name),
		)}
	}
	return s
}

// start starts a span under ctx's. The span is nil, and nothing is allocated,
// if it would go nowhere: under a local parent that does not record, or without
// a parent and without a provider.
func (s *spans) start(ctx context.Context, o op) (context.Context, trace.Span) {
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

// startRoot starts a span that is no child of ctx's but linked to it: for work
// that the caller caused and does not wait for. Where there is none, what is
// started under the context that it returns has none either.
func (s *spans) startRoot(ctx context.Context, o op) (context.Context, trace.Span) {
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
	if goesNowhere(provider) { // told by its type alone: looking into a struct allocates
		return nil
	}
	known := comparesItself(provider)
	last := s.last.Load()
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
	return reflect.TypeOf(provider).Kind() == reflect.Pointer || reflect.ValueOf(provider).Comparable()
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

// end ends a span. Its status is an error only for what the caller gets as a
// failure (of a load: the caller of the loader): a miss and an absence are
// answers.
func (s *spans) end(span trace.Span, err error) {
	if span == nil {
		return
	}
	if err != nil && !errors.Is(err, ErrMiss) && !isAbsent(err) {
		span.SetStatus(codes.Error, failure(err))
		s.describeError(span, err)
	}
	span.End()
}

// describeError names the kind of an error: its text may quote data.
func (s *spans) describeError(span trace.Span, err error) {
	span.SetAttributes(attribute.String("error.type", reflect.TypeOf(err).String()))
}

// tellable are the errors whose text is known.
var tellable = []error{
	context.Canceled, context.DeadlineExceeded, ErrClosed, ErrOverloaded, ErrBackoff,
	ErrBackpressure, store.ErrBudget, errors.ErrUnsupported,
}

// failure describes an error in a span without quoting what may hold a key or a
// value: a loader's error, and the rest of an error reply of Redis ("ERR unknown
// command 'evalsha', with args beginning with …").
func failure(err error) string {
	for _, known := range tellable {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var own *OpError
	if !errors.As(err, &own) {
		return "the loader or writer failed"
	}
	var reply interface {
		error
		RedisError() // go-redis's mark
	}
	if errors.As(own, &reply) {
		return "redis answered " + code(reply.Error())
	}
	var network *net.OpError
	if errors.As(own, &network) {
		return network.Error()
	}
	return "the cache failed"
}

// code is the first word of an error reply, which by convention is its code.
func code(reply string) string {
	word, _, _ := strings.Cut(reply, " ")
	if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return "an error"
	}
	return word
}
