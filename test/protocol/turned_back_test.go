package protocol_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// InvalidateAll mints again when a failover has brought the old clear token back. A Redis
// that goes back each time ends the call all the same: what it could not do is queued, and
// done once Redis stays what it is.
func TestAClearTokenThatIsTurnedBackEachTimeEndsTheCall(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.Set(t.Context(), "k", 1))
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1)) // it asks for the clear token
		require.NoError(t, err)
		old := rdb.Get(t.Context(), testkit.ClearTokenKey).Val()
		require.NotEmpty(t, old)
		time.Sleep(time.Second) // tokens begin with their time
		other, restored, tap := beside(t, rdb), 0, testkit.NewTap(rdb)
		tap.Set(func(cmds []redis.Cmder) error {
			if testkit.Mentions(cmds, "get", testkit.ClearTokenKey) {
				restored++
				return other.Set(t.Context(), testkit.ClearTokenKey, old, 0).Err()
			}
			return nil
		}, nil)
		err = c.InvalidateAll(t.Context())
		require.ErrorIs(t, err, cache.ErrPending)
		assert.LessOrEqual(t, restored, 10, "it is bounded")
		tap.Set(nil, nil)
		testkit.Eventually(t, func() bool { return c.Stats().Pending == 0 }, "what is queued")
		assert.NotEqual(t, old, rdb.Get(t.Context(), testkit.ClearTokenKey).Val())
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
