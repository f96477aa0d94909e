package outage_test

import (
	"context"
	"strings"
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
	want, err := redistest.Offset(t.Context(), rdb, "master_repl_offset")
	require.NoError(t, err)
	testkit.Eventually(t, func() bool {
		has, err := redistest.Offset(t.Context(), p.heir, "slave_repl_offset")
		return err == nil && has >= want
	}, "the replica to catch up")
}

// Scenario 10, as Redis comes: the loss, for the record.
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
	assert.Equal(t, 0, got, "the old value is back: this is what min-replicas-to-write is for")
}

// Scenario 10, with what Diagnose advises: a primary that has not heard of its replica for
// min-replicas-max-lag takes no changes any more, and none is acknowledged.
func TestFailoverResurrectionWithMinReplicas(t *testing.T) {
	p := newPair(t)
	rdb := p.primary.Client(t)
	ctx := t.Context()
	require.NoError(t, rdb.ConfigSet(ctx, "min-replicas-max-lag", "1").Err())
	require.NoError(t, rdb.ConfigSet(ctx, "min-replicas-to-write", "1").Err())
	c := testkit.NewCache[int](t, rdb)
	testkit.Eventually(t, func() bool { return c.Invalidate(ctx, "healthy") == nil }, "the replica to be heard")

	p.link.Swallow()
	stalled := time.Now()
	testkit.Eventually(t, func() bool { return c.Invalidate(ctx, "k") != nil }, "the primary to miss its replica")
	t.Logf("changes are refused %v after the link has stalled", time.Since(stalled).Round(10*time.Millisecond))
	changes := map[string]func(key string) error{
		"Invalidate":     func(key string) error { return c.Invalidate(ctx, key) },
		"Delete":         func(key string) error { return c.Delete(ctx, key) },
		"Expire":         func(key string) error { return c.Expire(ctx, key) },
		"InvalidateTags": func(key string) error { return c.InvalidateTags(ctx, key) },
		"Update": func(key string) error {
			return c.Update(ctx, key, func(context.Context) error { return nil })
		},
	}
	for name, change := range changes { // the first few hear NOREPLICAS, the others of the breaker
		var opErr *cache.OpError
		err := change(name)
		assert.ErrorIs(t, err, cache.ErrPending, name)
		assert.ErrorAs(t, err, &opErr, name)
	}
	assert.GreaterOrEqual(t, c.Stats().Pending, int64(len(changes)))

	require.NoError(t, p.link.Heal())
	testkit.Eventually(t, func() bool { return c.Stats().Pending == 0 }, "the queue to land once the link is back")
	require.NoError(t, c.Shutdown(ctx))
}
