package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/larder-go/cache"
)

func contextThatEnded(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

// countingPages is a repository that counts its queries.
type countingPages struct {
	queries atomic.Int64
	err     error
}

func (c *countingPages) Find(_ context.Context, number int) (Page, error) {
	c.queries.Add(1)
	return Page{Number: number, LoadedAt: time.Now()}, c.err
}

// newCachedPages returns repo behind a cache in an embedded Redis.
func newCachedPages(t *testing.T, repo finder) *cachedPages {
	t.Helper()
	rdb, err := openRedis("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	o := rdb.client.(*redis.Client).Options()
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = time.Minute, time.Minute, time.Minute
	rdb.client.AddHook(patient{})
	pages, err := cache.New(rdb.client, "orders", cache.Aside[Page](), cache.Expires(adminPages))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pages.Close()) })
	return &cachedPages{repository: repo, pages: pages}
}

// patient takes the deadlines off a client's commands: what a test is about must
// not depend on how busy the machine is.
type patient struct{}

func (patient) DialHook(next redis.DialHook) redis.DialHook { return next }

func (patient) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return next(context.WithoutCancel(ctx), cmd) }
}

func (patient) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(context.WithoutCancel(ctx), cmds) }
}

func handlerOf(pages finder, log *bytes.Buffer) http.Handler {
	return newHandler(pages, noop.NewTracerProvider().Tracer(""), slog.New(slog.NewTextHandler(log, nil)))
}

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, http.NoBody))
	return w
}

func TestABadPageIsRefusedBeforeAnyQuery(t *testing.T) {
	for _, page := range []string{"0", "-1", "two", "1.5", "10001", "99999999999999999999"} {
		t.Run(page, func(t *testing.T) {
			var repo countingPages
			w := get(handlerOf(&repo, new(bytes.Buffer)), "/admin/order-items?page="+page)
			assert.Equal(t, http.StatusBadRequest, w.Code)
			assert.Contains(t, w.Body.String(), "from 1 to 10000")
			assert.Zero(t, repo.queries.Load())
		})
	}
}

func TestOnlyTheFirstPagesAreStored(t *testing.T) {
	for _, c := range []struct {
		name, target, second string
		queries              int64
	}{
		{"page 1 is served from the cache", "?page=1", "hit", 1},
		{"no page means page 1", "", "hit", 1},
		{"page 3 is served from the cache", "?page=3", "hit", 1},
		{"page 4 is loaded each time", "?page=4", "miss", 2},
		{"the last page is loaded each time", "?page=10000", "miss", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var repo countingPages
			h := handlerOf(newCachedPages(t, &repo), new(bytes.Buffer))
			first, second := get(h, "/admin/order-items"+c.target), get(h, "/admin/order-items"+c.target)
			assert.Equal(t, "miss", first.Header().Get("X-Cache"))
			assert.Equal(t, c.second, second.Header().Get("X-Cache"))
			assert.Equal(t, c.queries, repo.queries.Load())
			if c.second == "hit" {
				assert.JSONEq(t, first.Body.String(), second.Body.String())
			}
		})
	}
}

func TestARequestThatWaitedForAnothersQueryIsAMiss(t *testing.T) {
	start := time.Now()
	assert.Equal(t, "miss", verdict(Page{LoadedAt: start.Add(time.Millisecond)}, start))
	assert.Equal(t, "hit", verdict(Page{LoadedAt: start.Add(-time.Millisecond)}, start))
}

func TestErrorsAreLoggedAndNotShown(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
	}{
		{"the database fails", errors.New("secret"), http.StatusInternalServerError},
		{"too many loads", cache.ErrOverloaded, http.StatusServiceUnavailable},
		{"the fleet backs off", cache.ErrBackoff, http.StatusServiceUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			w := get(handlerOf(&countingPages{err: c.err}, &log), "/admin/order-items?page=1")
			assert.Equal(t, c.status, w.Code)
			assert.NotContains(t, w.Body.String(), c.err.Error())
			assert.Contains(t, log.String(), c.err.Error())
		})
	}
}

func TestADeadRedisIsNotTheAdminsProblem(t *testing.T) {
	rdb, err := openRedis("")
	require.NoError(t, err)
	defer rdb.Close()
	pages, err := cache.New(rdb.client, "orders", cache.Aside[Page]())
	require.NoError(t, err)
	defer pages.Close()
	rdb.embedded.Close()
	var repo countingPages
	w := get(handlerOf(&cachedPages{repository: &repo, pages: pages}, new(bytes.Buffer)), "/admin/order-items?page=1")
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, int64(1), repo.queries.Load())
}
