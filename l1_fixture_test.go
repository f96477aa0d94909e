package cache_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
)

// station is a process whose commands and whose messages come through proxies of
// their own.
type station struct {
	server *redistest.Server
	link   *redistest.Proxy // what the caches ask
	ear    *redistest.Proxy // what the L1 hears
	rdb    *redis.Client    // through the link
	l1     *cache.L1
}

func newStation(t testing.TB, server *redistest.Server, o cache.L1Options) *station {
	t.Helper()
	s := &station{server: server, link: redistest.NewProxy(t, server.Addr()), ear: redistest.NewProxy(t, server.Addr())}
	s.rdb = clientOf(t, server, s.link)
	s.l1 = newL1(t, clientOf(t, server, s.ear), o)
	return s
}

func clientOf(t testing.TB, server *redistest.Server, p *redistest.Proxy) *redis.Client {
	t.Helper()
	return server.Client(t, func(o *redis.Options) { o.Addr = p.Addr() })
}

// hearing is a cache of the station whose L1 is in use.
func hearing[T any](t testing.TB, s *station, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	c := newCache[T](t, s.rdb, append(opts, cache.WithL1(s.l1))...)
	inUse(t, c)
	return c
}

// brisk is hearing with the budgets of a program: for what happens while Redis
// fails.
func brisk[T any](t testing.TB, s *station, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	client := redis.NewClient(tunedAt(s.link.Addr()))
	t.Cleanup(func() { _ = client.Close() })
	c, err := cache.New(client, "test", cache.Aside[T](), append(opts, cache.WithL1(s.l1))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() }) // invalidations may be left
	inUse(t, c)
	return c
}

// hears reports whether the L1 of c has heard what c publishes, on the connection
// that it has now, and keeps values.
func hears[T any](t testing.TB, c *cache.Cache[T]) bool {
	e, _ := c.Explain(t.Context(), "no such key") // where Redis fails it says what this process knows
	return e.L1.Hears
}

// inUse waits until the L1 keeps what the cache reads.
func inUse[T any](t testing.TB, c *cache.Cache[T]) {
	t.Helper()
	eventually(t, func() bool { return hears(t, c) }, "the L1 to hear the cache")
}

// locally waits until call makes no exchange with Redis: what it asks for is in the
// L1 by then, and the clear token is held.
func (s *station) locally(t testing.TB, call func() error) {
	t.Helper()
	eventually(t, func() bool {
		before := s.link.Exchanges()
		return call() == nil && s.link.Exchanges() == before
	}, "a call that asks nobody")
}

// hits calls get until it does not return v, for d at most, and returns how often
// it did.
func hits[T comparable](t testing.TB, d time.Duration, v T, get func() (T, error)) (n int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		got, err := get()
		require.NoError(t, err)
		if got != v {
			break
		}
	}
	return n
}
