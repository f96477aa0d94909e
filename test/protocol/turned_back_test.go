package protocol_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// restoring is a Redis that is restored from an old backup whenever somebody is about to
// read a key.
type restoring struct {
	key, old string
	beside   *redis.Client
	times    atomic.Int64
	on       atomic.Bool
}

func (*restoring) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *restoring) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.restore(ctx, cmd)
		return next(ctx, cmd)
	}
}

func (r *restoring) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		r.restore(ctx, cmds...)
		return next(ctx, cmds)
	}
}

func (r *restoring) restore(ctx context.Context, cmds ...redis.Cmder) {
	for _, cmd := range cmds {
		if name := cmd.Name(); r.on.Load() && (name == "get" || name == "mget") {
			for _, arg := range cmd.Args() {
				if arg == r.key {
					r.times.Add(1)
					_ = r.beside.Set(ctx, r.key, r.old, 0).Err()
				}
			}
		}
	}
}

// InvalidateAll mints again when a failover has brought the old clear token back. A Redis
// that goes back each time ends the call all the same: what it could not do is queued, and
// done once Redis stays what it is.
func TestAClearTokenThatIsTurnedBackEachTimeEndsTheCall(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.Set(t.Context(), "k", 1))
		const clearKey = "test!c"
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1)) // it asks for the clear token
		require.NoError(t, err)
		old := rdb.Get(t.Context(), clearKey).Val()
		require.NotEmpty(t, old)
		time.Sleep(time.Second) // tokens begin with their time
		r := &restoring{key: clearKey, old: old, beside: beside(t, rdb)}
		rdb.AddHook(r)
		r.on.Store(true)
		err = c.InvalidateAll(t.Context())
		require.ErrorIs(t, err, cache.ErrPending)
		assert.LessOrEqual(t, r.times.Load(), int64(10), "it is bounded")
		r.on.Store(false)
		testkit.Eventually(t, func() bool { return c.Stats().Pending == 0 }, "what is queued")
		assert.NotEqual(t, old, rdb.Get(t.Context(), clearKey).Val())
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, got)
	})
}

// beside is another client of rdb's server.
func beside(t *testing.T, rdb redis.UniversalClient) *redis.Client {
	t.Helper()
	other := redis.NewClient(rdb.(interface{ Options() *redis.Options }).Options())
	t.Cleanup(func() { assert.NoError(t, other.Close()) })
	return other
}
