package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/larder-go/cache"
)

// measurement compares the service without and with the cache.
type measurement struct {
	length        time.Duration // of both phases
	driver        *driver
	plain, cached http.Handler
	cache         *cache.Cache[Page]
}

// plainLength is how long the phase without the cache lasts: 10 s, or a third
// of a short measurement.
func (m *measurement) plainLength() time.Duration { return min(10*time.Second, m.length/3) }

// run drives both phases and prints the report to w.
func (m *measurement) run(ctx context.Context, w io.Writer) error {
	defer m.driver.client.CloseIdleConnections()
	without, err := m.phase(ctx, "without the cache", m.plain, m.plainLength())
	if err != nil {
		return err
	}
	// The cache starts cold, also in a Redis that has entries of an earlier run.
	for page := 1; page <= storedPages; page++ {
		if err := m.cache.Invalidate(ctx, strconv.Itoa(page)); err != nil {
			return err
		}
	}
	with, err := m.phase(ctx, "with the cache", m.cached, m.length-m.plainLength())
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := writeReport(w, m.driver.mix.pages, without, with); err != nil {
		return err
	}
	s := m.cache.Stats()
	_, err = fmt.Fprintf(w, "Counted by the cache: %d fresh hits, %d stale, %d misses, "+
		"%d loads, %d look-ups that shared a load.\n", s.Hits, s.Stale, s.Misses, s.Loads, s.Coalesced)
	return err
}

// phase drives h on a server of its own.
func (m *measurement) phase(ctx context.Context, name string, h http.Handler, length time.Duration) (phase, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return phase{}, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- serve(serving, listener, h) }()
	p, err := m.driver.run(ctx, name, "http://"+listener.Addr().String(), runtime.GOMAXPROCS(0), length)
	stop()
	return p, errors.Join(err, <-served)
}
