// Orders is the slow admin page that a cache exists for: a list of order items
// that joins three tables and sorts by a sum over all rows. The first three
// pages are served from the cache, the others from the database.
//
//	go run .             # then open http://127.0.0.1:8080/admin/order-items?page=1
//	go run . -load 30s   # measures it without and with the cache
//
// It needs nothing but Go: the database is SQLite unless DATABASE_URL names a
// PostgreSQL, and Redis is embedded unless REDIS_URL names one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// settings are the flags.
type settings struct {
	addr  string
	spans string
	load  time.Duration
	mix   mix
}

func main() {
	var s settings
	flag.StringVar(&s.addr, "addr", "127.0.0.1:8080", "address to serve at; -load picks a free port")
	flag.StringVar(&s.spans, "spans", "",
		"where spans go: stdout, stderr, off or a file; default stdout, with -load off")
	flag.DurationVar(&s.load, "load", 0,
		"measure for this long instead of serving: 10s (at most a third) without the cache, the rest with it")
	flag.IntVar(&s.mix.workers, "workers", runtime.GOMAXPROCS(0),
		"with -load: page views in flight; the default is one for each core")
	flag.IntVar(&s.mix.pages, "pages", 10, "with -load: how many different pages are viewed")
	flag.Float64Var(&s.mix.skew, "zipf", 1.3, "with -load: exponent of the distribution of page views, above 1")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

// run opens what the service stands on, lets it work, and closes it all in the
// reverse order.
func run(ctx context.Context, s settings) (err error) {
	if s.load > 0 {
		if err := s.mix.validate(); err != nil {
			return err
		}
	}
	spans, err := startTracing(ctx, s.spansOrDefault())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, within(5*time.Second, spans.close)) }()
	start := time.Now()
	db, err := openDatabase(ctx, os.Getenv("DATABASE_URL"), shop)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fmt.Fprintf(os.Stderr, "%s with %d order items, ready after %.1fs\n",
		db.kind, shop.orderItems, time.Since(start).Seconds())
	rdb, err := openRedis(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rdb.Close()) }()
	return s.work(ctx, db, rdb.client, spans)
}

// work builds the service and serves, or measures it.
func (s settings) work(ctx context.Context, db *database, rdb redis.UniversalClient, spans *tracing) (err error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	pages, err := cache.New(rdb, "orders", cache.Aside[Page](), cache.Expires(adminPages),
		cache.WithTracerProvider(spans), cache.WithLogger(logger))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pages.Close()) }()

	tracer := spans.Tracer("github.com/larder-go/cache/examples/orders")
	repo := &repository{db: db.DB, tracer: tracer}
	cached := &cachedPages{repository: repo, pages: pages}
	if s.load == 0 {
		return listenAndServe(ctx, s.addr, newHandler(cached, tracer, logger))
	}
	if db.kind == sqlite {
		repo.meter = &cpuMeter{}
	}
	m := measurement{
		length: s.load, driver: newDriver(s.mix, repo.meter, os.Stderr), cache: pages,
		plain: newHandler(repo, tracer, logger), cached: newHandler(cached, tracer, logger),
	}
	return m.run(ctx, os.Stdout)
}

func (s settings) spansOrDefault() string {
	switch {
	case s.spans != "":
		return s.spans
	case s.load > 0:
		return "off"
	}
	return "stdout"
}

// within calls f with d to finish. Closing needs a context of its own: the
// service's has ended by then.
func within(d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return f(ctx)
}
