package outage_test

import (
	"context"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// changes are the operations that say that something is not cached any more.
var changes = []struct {
	name string
	do   func(ctx context.Context, c *cache.Cache[int]) error
}{
	{"Invalidate", func(ctx context.Context, c *cache.Cache[int]) error { return c.Invalidate(ctx, "k") }},
	{"Invalidate of several", func(ctx context.Context, c *cache.Cache[int]) error { return c.Invalidate(ctx, "k", "l", "m") }},
	{"Delete", func(ctx context.Context, c *cache.Cache[int]) error { return c.Delete(ctx, "k") }},
	{"Delete of several", func(ctx context.Context, c *cache.Cache[int]) error { return c.Delete(ctx, "k", "l", "m") }},
	{"Expire", func(ctx context.Context, c *cache.Cache[int]) error { return c.Expire(ctx, "k") }},
	{"Expire of several", func(ctx context.Context, c *cache.Cache[int]) error { return c.Expire(ctx, "k", "l", "m") }},
	{"Update", func(ctx context.Context, c *cache.Cache[int]) error {
		return c.Update(ctx, "k", func(context.Context) error { return nil })
	}},
	{"InvalidateTags", func(ctx context.Context, c *cache.Cache[int]) error { return c.InvalidateTags(ctx, "t") }},
	{"InvalidateTags of several", func(ctx context.Context, c *cache.Cache[int]) error { return c.InvalidateTags(ctx, "t", "u") }},
	{"InvalidateAll", func(ctx context.Context, c *cache.Cache[int]) error { return c.InvalidateAll(ctx) }},
}

// After a failover the address of the primary may lead to a replica, which takes no
// writes. Where it has no record of the key there is nothing to be written, so it
// would say that all is well, while the primary keeps what was to be invalidated.
func TestAChangeThatAReplicaWasAskedForIsPending(t *testing.T) {
	t.Parallel()
	primary := redistest.Single(t, redistest.Config("repl-diskless-sync-delay", "0"))
	_, port, err := net.SplitHostPort(primary.Addr())
	require.NoError(t, err)
	replica := redistest.Single(t, redistest.Config("replicaof", "127.0.0.1 "+port))
	kept := primary.Client(t)
	for _, planted := range []struct {
		name  string
		plant func(t *testing.T)
	}{
		{"nothing", func(*testing.T) {}},
		{"an entry", func(t *testing.T) { require.NoError(t, testkit.NewCache[int](t, kept).Set(t.Context(), "k", 1)) }},
		{"a foreign string", func(t *testing.T) { require.NoError(t, kept.Set(t.Context(), testkit.RedisKey, "foreign", 0).Err()) }},
		{"a foreign hash", func(t *testing.T) { require.NoError(t, kept.HSet(t.Context(), testkit.RedisKey, "f", "v").Err()) }},
	} {
		require.NoError(t, kept.FlushAll(t.Context()).Err())
		planted.plant(t)
		synced(t, kept, replica.Client(t))
		for _, change := range changes {
			t.Run(change.name+" of "+planted.name, func(t *testing.T) {
				client := redis.NewClient(testkit.TunedAt(replica.Addr())) // with a breaker of its own
				t.Cleanup(func() { _ = client.Close() })
				c, err := cache.New(client, "test", cache.Aside[int](), testkit.Patient())
				require.NoError(t, err)
				t.Cleanup(func() { _ = c.Close() }) // the invalidation is left
				assert.ErrorIs(t, change.do(t.Context(), c), cache.ErrPending)
			})
		}
	}
}

// synced waits until the replica has what the primary has.
func synced(t *testing.T, primary, replica *redis.Client) {
	t.Helper()
	require.NoError(t, primary.Incr(t.Context(), "sync").Err())
	want := primary.Get(t.Context(), "sync").Val()
	testkit.Eventually(t, func() bool { return replica.Get(t.Context(), "sync").Val() == want }, "the replica to follow")
}
