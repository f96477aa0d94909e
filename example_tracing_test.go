package cache_test

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/larder-go/cache"
)

// Spans go to OpenTelemetry's global provider, or to the one that is given. Keys
// that are personal data are shown as WithKeyAttribute says.
func ExampleWithTracerProvider() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User](),
		cache.WithTracerProvider(printing{}), // in a service: the SDK's
		cache.WithKeyAttribute(masked),
		cache.WithKeyGroup(domain)))
	defer users.Close()

	load := func(context.Context, string) (User, error) { return User{Name: "Ada"}, nil }
	for range 2 {
		must(users.GetOrLoad(ctx, "ada@example.org", load))
	}
	// Output:
	// cache.load
	// cache.put cache.key=["…@example.org"] cache.group=example.org
	// cache.get cache.key=["…@example.org"] cache.group=example.org cache.hit=false
	// cache.get cache.key=["…@example.org"] cache.group=example.org cache.hit=true
}

// masked is what a trace shows of an address, domain what it is counted under.
func masked(address string) string { return "…@" + domain(address) }

func domain(address string) string {
	_, host, _ := strings.Cut(address, "@")
	return host
}

// printing is a tracer provider that prints each span as it ends.
type printing struct{ noop.TracerProvider }

func (printing) Tracer(string, ...trace.TracerOption) trace.Tracer { return printingTracer{} }

type printingTracer struct{ noop.Tracer }

func (printingTracer) Start(ctx context.Context, name string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	return ctx, &printingSpan{text: name}
}

type printingSpan struct {
	noop.Span
	text string
}

func (*printingSpan) IsRecording() bool { return true }

func (s *printingSpan) SetAttributes(kv ...attribute.KeyValue) {
	for _, a := range kv {
		switch a.Key {
		case "cache.key", "cache.group", "cache.hit":
			s.text += fmt.Sprintf(" %s=%s", a.Key, a.Value)
		}
	}
}

func (s *printingSpan) End(...trace.SpanEndOption) { fmt.Println(s.text) }
