package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/larder-go/cache"
)

// What a service decides once, all of its caches get.
func ExampleOptions() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()

	house := cache.Options{
		cache.Expires(profiles),
		cache.WithLoadTimeout(5 * time.Second),
		cache.WithLoadLimit(16), // 64 connections of the database, 4 processes
		cache.WithLogger(slog.Default()),
	}
	users := must(cache.New(rdb, "users", cache.Aside[User](), house))
	defer users.Close()
	stock := must(cache.New(rdb, "stock", cache.Aside[int](), house,
		cache.Expires(prices), // what comes later wins
		cache.WithXFetch(0)))  // no early refresh: each load is billed
	defer stock.Close()

	fmt.Println(users.Set(ctx, "42", User{Name: "Grace"}), stock.Set(ctx, "tea", 7))
	rdb.advance(5 * time.Minute)
	_, err := stock.Get(ctx, "tea")
	fmt.Println(must(users.Get(ctx, "42")).Name, err)
	// Output:
	// <nil> <nil>
	// Grace cache: miss
}

// A client that reads from replicas is refused, unless its lag is acceptable.
func ExampleAllowReplicaReads() {
	replicas := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{"node1:6379", "node2:6379"}, ReadOnly: true, // it dials with the first command
	})
	defer replicas.Close()

	_, err := cache.New(replicas, "users", cache.Aside[User]())
	fmt.Println("accepted:", err == nil)
	users, err := cache.New(replicas, "users", cache.Aside[User](), cache.AllowReplicaReads())
	fmt.Println("accepted:", err == nil)
	defer users.Close()
	// Output:
	// accepted: false
	// accepted: true
}

// The log has what the cache absorbed, and never a key.
func ExampleWithLogger() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.WithLogger(logger)))
	defer users.Close()

	rdb.fail()
	fmt.Println(must(users.GetOrLoad(ctx, "42", repo.Find)).Name)
	// Output:
	// level=WARN msg="redis failed" cache=users op=cache.get error="LOADING Redis is loading the dataset in memory"
	// SELECT user 42
	// Grace
}

// Hooks feed whatever counts and alerts. They must be quick.
func ExampleHooks() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.Expires(profiles),
		cache.WithHooks(cache.Hooks{
			Load:       func(e cache.LoadEvent) { fmt.Println("load", e.Key, e.Err) },
			Stale:      func(e cache.StaleEvent) { fmt.Println("stale", e.Key, "because", e.Err) },
			Refused:    func(key string) { fmt.Println("refused", key) },
			RedisError: func(op string, err error) { fmt.Println("redis", op) },
		})))
	defer users.Close()

	load := func(context.Context, string) (User, error) { return User{Name: "Grace"}, nil }
	down := func(context.Context, string) (User, error) { return User{}, errors.New("no database") }
	must(users.GetOrLoad(ctx, "42", load))
	rdb.advance(time.Hour)
	must(users.GetOrLoad(ctx, "42", down))
	rdb.fail()
	must(users.GetOrLoad(ctx, "42", load))
	// Output:
	// load 42 <nil>
	// load 42 no database
	// stale 42 because no database
	// redis cache.get
	// load 42 <nil>
}

// The counters of a cache, for a page that shows whether it is worth its keep.
func ExampleCache_Stats() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	load := func(context.Context, string) (User, error) { return User{Name: "Grace"}, nil }
	for range 10 {
		must(users.GetOrLoad(ctx, "42", load))
	}
	s := users.Stats()
	lookups := s.Hits + s.Stale + s.Absent + s.Misses
	fmt.Printf("%d look-ups, %d %% hits, %d loads\n", lookups, 100*s.Hits/lookups, s.Loads)
	// Output: 10 look-ups, 90 % hits, 1 loads
}

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

// Why did this read go to the database? Explain asks the code that decides. Its
// String has all that is known; Action is for a program, Next for a person.
func ExampleCache_Explain() {
	ctx := context.Background()
	rdb := embeddedRedis() // in a service: redis.NewUniversalClient; see Tune
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[string]()))
	defer users.Close()
	why := func() {
		e := must(users.Explain(ctx, "42"))
		fmt.Printf("%s: %s\n", e.Action, e.Next)
	}
	find := func(context.Context, string) (string, error) { return "Ada", nil }

	why()
	must(users.GetOrLoad(ctx, "42", find))
	why()
	rdb.Set(ctx, "users:42", "somebody else's", 0)
	why()
	// Output:
	// load: GetOrLoad loads after taking the lease
	// hit: GetOrLoad is served from Redis
	// bypass: GetOrLoad loads without storing, because the bytes are not this library's
}

// At start, or in a health check: what is this Redis set to that hurts a cache?
func ExampleDiagnose() {
	rdb := embeddedRedis() // a test double, which tells little of itself
	defer rdb.Close()
	findings, err := cache.Diagnose(context.Background(), rdb)
	if err != nil {
		fmt.Println("Redis does not answer:", err)
	}
	for _, f := range findings {
		fmt.Println(f.Name)
		_, _ = f.Detail, f.Mend // what was seen, and the command that mends it
	}
	// Output:
	// cannot be read
	// cannot be read
}

// All bad arguments of New are reported at once.
func ExampleNew() {
	_, err := cache.New(nil, "", cache.Aside[User](), cache.WithLoadLimit(0), cache.Expires(nil))
	fmt.Println(err)
	// Output:
	// cache: new: WithLoadLimit: 0 is below 1
	// Expires: TTL: the class is nil
	// name: a cache's name has 1 to 64 bytes, this one has 0
	// client: is nil
}

// An OpError is the cache's own failure, with the key that it concerns: of many
// keys, one for each. A loader's or a writer's failure never is one.
func ExampleOpError() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()
	rdb.fail()

	err := users.Set(ctx, "42", User{Name: "Grace"})
	var failed *cache.OpError
	if errors.As(err, &failed) {
		fmt.Println(failed.Op, failed.Key, redis.IsLoadingError(failed))
	}

	down := errors.New("the database is down")
	_, err = users.GetOrLoad(ctx, "42", func(context.Context, string) (User, error) { return User{}, down })
	fmt.Println(errors.As(err, &failed), err)
	// Output:
	// set 42 true
	// false the database is down
}

// A panic of a loader stays out of the goroutine it runs on and reaches those
// who wait for it as an error.
func ExamplePanicError() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	_, err := users.GetOrLoad(ctx, "42", func(context.Context, string) (User, error) {
		columns := strings.Split("42;Grace", ",")
		return User{ID: columns[0], Name: columns[1]}, nil
	})
	var panicked *cache.PanicError
	if errors.As(err, &panicked) {
		fmt.Println(panicked.Value, len(panicked.Stack) > 0) // log the stack
	}
	// Output: runtime error: index out of range [1] with length 1 true
}

func ExampleTune() {
	o := &redis.UniversalOptions{
		Addrs:       []string{"localhost:6379"},
		ReadTimeout: 80 * time.Millisecond, // What is set stays.
	}
	cache.Tune(o)
	client := redis.NewUniversalClient(o) // It dials with the first command.
	defer client.Close()

	fmt.Println("deadlines are kept:", o.ContextTimeoutEnabled)
	fmt.Println("dial, read, write:", o.DialTimeout, o.ReadTimeout, o.WriteTimeout)
	// Output:
	// deadlines are kept: true
	// dial, read, write: 300ms 80ms 150ms
}

// A cluster's reload interval is not among the universal options: it is set
// where they become a cluster's.
func ExampleTune_cluster() {
	o := &redis.UniversalOptions{Addrs: []string{"node1:6379", "node2:6379"}}
	cache.Tune(o)
	cluster := o.Cluster()
	cluster.ClusterStateReloadInterval = time.Second
	client := redis.NewClusterClient(cluster)
	defer client.Close()

	fmt.Println(cluster.ContextTimeoutEnabled, cluster.ClusterStateReloadInterval)
	// Output: true 1s
}
