package outage_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// pair is a primary and a replica whose link runs through a proxy.
type pair struct {
	primary, replica *redistest.Server
	link             *redistest.Proxy
	heir             *redis.Client // of the replica
}

// newPair starts both. The replica gets its first copy directly, since the proxy
// does not understand that, and goes on from there through the proxy.
func newPair(t *testing.T) *pair {
	p := &pair{primary: redistest.Single(t, redistest.Config("repl-diskless-sync-delay", "0"))}
	p.link = redistest.NewProxy(t, p.primary.Addr())
	p.replica = redistest.Single(t)
	p.heir = p.replica.Client(t)
	p.follow(t, p.primary.Addr())
	p.follow(t, p.link.Addr())
	require.Positive(t, p.link.Commands(), "the link runs through the proxy")
	return p
}

// follow makes the replica follow the server behind addr, and waits until it does.
func (p *pair) follow(t *testing.T, addr string) {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	require.NoError(t, p.heir.ReplicaOf(t.Context(), host, port).Err())
	testkit.Eventually(t, func() bool {
		info := p.heir.Info(t.Context(), "replication").Val()
		return strings.Contains(info, "master_port:"+port) && strings.Contains(info, "master_link_status:up")
	}, "the replica to follow "+addr)
}

// failover kills the primary and promotes the replica.
func (p *pair) failover(t *testing.T) {
	t.Helper()
	p.primary.Kill()
	require.NoError(t, p.heir.ReplicaOf(t.Context(), "NO", "ONE").Err())
}

// replicated waits until the replica has all that the primary had by now. The
// number of keys does not tell: a lease and the entry that replaces it are one.
func (p *pair) replicated(t *testing.T, rdb *redis.Client) {
	t.Helper()
	want := offset(t, rdb, "master_repl_offset")
	testkit.Eventually(t, func() bool { return offset(t, p.heir, "slave_repl_offset") >= want }, "the replica to catch up")
}

// offset is a position in the stream of changes, by its name in INFO.
func offset(t *testing.T, rdb *redis.Client, name string) int64 {
	t.Helper()
	_, rest, found := strings.Cut(rdb.Info(t.Context(), "replication").Val(), "\n"+name+":")
	require.True(t, found, name)
	text, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

// Scenario 10, without WithReplicaWait: the loss, for the record.
//
//  1. The link to the replica stalls.
//  2. W commits v1, invalidates; the primary accepts, W returns nil.
//  3. The primary dies, the replica is promoted. It never heard of W.
//  4. R reads v0, up to its hard TTL.
func TestFailoverResurrection(t *testing.T) {
	p := newPair(t)
	rdb := p.primary.Client(t)
	c := testkit.NewCache[int](t, rdb)
	_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(0))
	require.NoError(t, err)
	p.replicated(t, rdb)

	p.link.Swallow()
	require.NoError(t, c.Invalidate(t.Context(), "k"), "acknowledged")
	_, err = c.Get(t.Context(), "k")
	require.ErrorIs(t, err, cache.ErrMiss)

	p.failover(t)
	got, err := testkit.NewCache[int](t, p.heir).GetOrLoad(t.Context(), "k", testkit.Value(1))
	require.NoError(t, err)
	t.Logf("without WithReplicaWait: acknowledged 1, lost %d", 1-got)
	assert.Equal(t, 0, got, "the old value is back: this is what WithReplicaWait is for")
}

// Scenario 10, with it: while the link is stalled, no invalidation is acknowledged.
func TestFailoverResurrectionWithReplicaWait(t *testing.T) {
	p := newPair(t)
	rdb := p.primary.Client(t)
	c := testkit.NewCache[int](t, rdb, cache.WithReplicaWait(1, 200*time.Millisecond))
	ctx := t.Context()

	confirmed := func(what string, call func() error) { // 200 ms may be too few for a link on a busy machine
		t.Helper()
		testkit.Eventually(t, func() bool { return call() == nil && c.Stats().Pending == 0 }, what)
	}
	var one time.Duration
	confirmed("a confirmation by the healthy link", func() error {
		began := time.Now()
		defer func() { one = time.Since(began) }()
		return c.Invalidate(ctx, "healthy")
	})
	keys := make([]string, testkit.Span(40, 10))
	for i := range keys {
		keys[i] = strconv.Itoa(i)
		_, err := c.GetOrLoad(ctx, keys[i], testkit.Value(0))
		require.NoError(t, err)
	}
	confirmed("the healthy link", func() error { return c.Invalidate(ctx, keys...) })
	confirmed("the healthy link", func() error {
		return c.Update(ctx, "k", func(context.Context) error { return nil })
	})
	for _, key := range keys {
		_, err := c.GetOrLoad(ctx, key, testkit.Value(0))
		require.NoError(t, err)
	}
	p.replicated(t, rdb)

	p.link.Swallow()
	began := time.Now()
	var pending, calls atomic.Int64
	var writers sync.WaitGroup
	for _, key := range keys {
		writers.Go(func() {
			calls.Add(2)
			for _, err := range []error{
				c.Invalidate(ctx, key),
				c.Update(ctx, key, func(context.Context) error { return nil }),
			} {
				var opErr *cache.OpError
				if assert.ErrorIs(t, err, cache.ErrPending) && assert.ErrorAs(t, err, &opErr) {
					pending.Add(1)
				}
			}
		})
	}
	writers.Wait()
	t.Logf("healthy link: nil after %v; stalled: %d of %d Is ErrPending, all after %v",
		one.Round(100*time.Microsecond), pending.Load(), calls.Load(), time.Since(began).Round(time.Millisecond))
	assert.Equal(t, calls.Load(), pending.Load(), "nothing is acknowledged that a failover could undo")

	require.NoError(t, p.link.Heal())
	testkit.Eventually(t, func() bool { return c.Invalidate(ctx, "healed") == nil }, "confirmations once the link is back")
	require.NoError(t, c.Shutdown(ctx), "what was pending has landed")
}

func TestWithReplicaWaitRefusesWhatCannotBeMeant(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = rdb.Close() }()
	for _, bad := range []struct {
		n       int
		timeout time.Duration
	}{{0, time.Second}, {-1, time.Second}, {1, 0}, {1, -time.Second}, {1, time.Microsecond}} {
		_, err := cache.New(rdb, "test", cache.Aside[int](), cache.WithReplicaWait(bad.n, bad.timeout))
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr, "%v", bad)
		assert.ErrorContains(t, err, "WithReplicaWait")
	}
}
