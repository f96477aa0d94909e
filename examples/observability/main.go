// Observability shows what caches measure: a small shop with traffic of its own, its
// metrics for Prometheus, and where there is one a Prometheus with the rules of
// dashboards, which is asked whether everything is there.
//
//	go run .
//
// It runs until it is interrupted, or for -for. Redis is embedded unless REDIS_URL
// names one.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	listen     string
	dashboards string // the folder with alerts.yaml and grafana.json
	scrapes    int    // after how many Prometheus is asked
	until      func(ctx context.Context) (context.Context, context.CancelFunc)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:9464", "where /metrics is")
	flag.StringVar(&s.dashboards, "dashboards", "../../dashboards", "the folder with alerts.yaml and grafana.json")
	flag.IntVar(&s.scrapes, "scrapes", 15, "after how many scrapes, one a second, Prometheus is asked")
	length := flag.Duration("for", 0, "for how long it runs; 0 is until it is interrupted")
	flag.Parse()
	s.until = func(ctx context.Context) (context.Context, context.CancelFunc) {
		if *length <= 0 {
			return context.WithCancel(ctx)
		}
		return context.WithTimeout(ctx, *length)
	}
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "observability:", err)
		os.Exit(1)
	}
}

// run opens the shop and its metrics, and sends customers until the time is over.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	ctx, cancel := s.until(ctx)
	defer cancel()
	rdb, err := openRedis(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rdb.Close()) }()
	telemetry, err := newTelemetry()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, telemetry.shutdown()) }()
	shop, err := openShop(rdb.client, telemetry.provider)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.close()) }()
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { telemetry.serve(ctx, listener) })
	running.Go(func() { shop.traffic(ctx) })
	fmt.Fprintf(out, "metrics     http://%s/metrics\n", listener.Addr())
	if err := observe(ctx, s, listener.Addr().String(), telemetry, out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// observe starts a Prometheus, if there is one, and asks it what it has seen once it
// has come a few times. It goes on until ctx ends.
func observe(ctx context.Context, s settings, target string, telemetry *telemetry, out io.Writer) error {
	p, err := startPrometheus(ctx, s.dashboards, target)
	if errors.Is(err, errNoPrometheus) {
		fmt.Fprintln(out, "prometheus  none on the PATH: nobody collects them")
		return nil
	}
	if err != nil {
		return err
	}
	defer p.stop()
	fmt.Fprintf(out, "prometheus  %s, with the rules of %s\n", p.url, s.dashboards)
	if telemetry.scraped(ctx, s.scrapes) {
		report, err := p.check(ctx, s.dashboards)
		if err != nil && ctx.Err() == nil {
			return err
		}
		fmt.Fprintln(out, report)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.ended:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("prometheus has ended: %w", cmp.Or(err, errors.New("without an error")))
	}
}

// within gives f so long.
func within(d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return f(ctx)
}
