package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache"
)

// adminPages is the expiry class of the pages: up to a minute old, for the
// next minute still served while one request reloads, and for an hour served
// if the database is down.
var adminPages = &cache.TTL{
	Name:                 "admin-pages",
	Fresh:                time.Minute,
	StaleWhileRevalidate: time.Minute,
	StaleIfError:         time.Hour,
}

// storedPages are the pages worth keeping: the first ones are opened all day,
// page 900 is opened once.
const storedPages = 3

// finder is where the handler gets pages from: the repository, or the
// repository behind the cache.
type finder interface {
	Find(ctx context.Context, number int) (Page, error)
}

// cachedPages is a repository behind a cache. This is all that a service
// changes to use one.
type cachedPages struct {
	repository finder
	pages      *cache.Cache[Page]
}

// Find serves pages up to storedPages from the cache, and loads the others
// through it: requests for one page at the same time share one query.
func (c *cachedPages) Find(ctx context.Context, number int) (Page, error) {
	load := func(ctx context.Context, _ string) (Page, error) { return c.repository.Find(ctx, number) }
	return c.pages.GetOrLoad(ctx, strconv.Itoa(number), load, cache.StoreIf(number <= storedPages))
}

// lastPage bounds what may be asked for, and thereby OFFSET and the number of
// keys.
const lastPage = 10_000

// newHandler serves GET /admin/order-items?page=N as JSON.
func newHandler(pages finder, tracer trace.Tracer, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/order-items", func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), "GET /admin/order-items", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		status, err := servePage(ctx, w, r, pages)
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, err.Error())
			logger.ErrorContext(ctx, "order items", "status", status, "error", err)
		}
	})
	return mux
}

// servePage answers one request and returns what it answered.
func servePage(ctx context.Context, w http.ResponseWriter, r *http.Request, pages finder) (int, error) {
	start := time.Now()
	number, err := pageNumber(r.FormValue("page"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return http.StatusBadRequest, err
	}
	page, err := pages.Find(ctx, number)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, cache.ErrOverloaded) || errors.Is(err, cache.ErrBackoff) {
			status = http.StatusServiceUnavailable
		}
		http.Error(w, http.StatusText(status), status)
		return status, err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Cache", verdict(page, start))
	return http.StatusOK, json.NewEncoder(w).Encode(page)
}

// pageNumber parses the parameter; none means the first page.
func pageNumber(s string) (int, error) {
	if s == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > lastPage {
		return 0, errors.New("page must be a number from 1 to " + strconv.Itoa(lastPage))
	}
	return n, nil
}

// verdict is "hit" if the page had been loaded before the request came. A
// request that waited for another one's query is a miss too, although its own
// loader did not run.
func verdict(page Page, start time.Time) string {
	if page.LoadedAt.Before(start) {
		return "hit"
	}
	return "miss"
}

// listenAndServe serves h at addr until ctx ends.
func listenAndServe(ctx context.Context, addr string, h http.Handler) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "serving http://%s/admin/order-items?page=1\n", listener.Addr())
	return serve(ctx, listener, h)
}

// serve answers requests until ctx ends, then finishes those under way, for up
// to 10 s.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	err := within(10*time.Second, server.Shutdown)
	<-failed // ErrServerClosed
	return err
}
