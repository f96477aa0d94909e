package testkit

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
)

// Station is a process whose commands and whose messages come through proxies of
// their own.
type Station struct {
	Server *redistest.Server
	Link   *redistest.Proxy // what the caches ask
	Ear    *redistest.Proxy // what the L1 hears
	Rdb    *redis.Client    // through the link
	L1     *cache.L1
}

// NewStation is a process of server, with an L1.
func NewStation(t testing.TB, server *redistest.Server, o cache.L1Options) *Station {
	t.Helper()
	s := &Station{Server: server, Link: redistest.NewProxy(t, server.Addr()), Ear: redistest.NewProxy(t, server.Addr())}
	s.Rdb = clientOf(t, server, s.Link)
	s.L1 = NewL1(t, clientOf(t, server, s.Ear), o)
	return s
}

func clientOf(t testing.TB, server *redistest.Server, p *redistest.Proxy) *redis.Client {
	t.Helper()
	return server.Client(t, func(o *redis.Options) { o.Addr = p.Addr() })
}

// Brisk is hearing with the budgets of a program: for what happens while Redis
// fails.
func Brisk[T any](t testing.TB, s *Station, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	client := redis.NewClient(TunedAt(s.Link.Addr()))
	t.Cleanup(func() { _ = client.Close() })
	c, err := cache.New(client, "test", cache.Aside[T](), append(opts, cache.WithL1(s.L1))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() }) // invalidations may be left
	InUse(t, c)
	return c
}

// Hears reports whether the L1 of c has heard what c publishes, on the connection
// that it has now, and keeps values.
func Hears[T any](t testing.TB, c *cache.Cache[T]) bool {
	e, _ := c.Explain(t.Context(), "no such key") // where Redis fails it says what this process knows
	return e.L1.Hears
}

// InUse waits until the L1 keeps what the cache reads.
func InUse[T any](t testing.TB, c *cache.Cache[T]) {
	t.Helper()
	Eventually(t, func() bool { return Hears(t, c) }, "the L1 to hear the cache")
}

// Locally waits until call makes no exchange with Redis: what it asks for is in the
// L1 by then, and the clear token is held.
func (s *Station) Locally(t testing.TB, call func() error) {
	t.Helper()
	Eventually(t, func() bool {
		before := s.Link.Exchanges()
		return call() == nil && s.Link.Exchanges() == before
	}, "a call that asks nobody")
}

// ErrSource is how a loader fails beside Redis.
var ErrSource = errors.New("the source is down too")

// TunedAt are the options of a client set up as the documentation asks for.
func TunedAt(addr string) *redis.Options {
	o := redis.UniversalOptions{Addrs: []string{addr}}
	cache.Tune(&o)
	return o.Simple()
}

// NewL1 is an L1 that is closed with the test.
func NewL1(t testing.TB, rdb redis.UniversalClient, o cache.L1Options) *cache.L1 {
	t.Helper()
	l, err := cache.NewL1(rdb, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l
}

// Nearby waits until c serves key from its L1.
func Nearby[T any](t testing.TB, c *cache.Cache[T], key string, load cache.Loader[T]) {
	t.Helper()
	require.Eventually(t, func() bool {
		before := c.Stats().HitsL1
		_, err := c.GetOrLoad(t.Context(), key, load)
		return err == nil && c.Stats().HitsL1 > before
	}, 30*time.Second, 5*time.Millisecond, "no hit in the L1")
}
