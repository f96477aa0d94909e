package outage_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// An L1 whose user may not subscribe does without: reads are hits from Redis, and the
// log and Explain say what is missing. Once it may, it is used.
func TestAnL1ThatMayNotSubscribe(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	admin := server.Client(t)
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~test:*", "~test!*", "+@all").Err())
	client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
	writer := testkit.NewCache[int](t, admin)
	require.NoError(t, writer.Set(t.Context(), "k", 1))

	var out logLines
	c := testkit.NewCache[int](t, client, out.option(), cache.WithL1(testkit.NewL1(t, client, cache.L1Options{TTL: time.Minute})))
	refused := func() bool { return len(out.with("may not subscribe")) > 0 }
	require.Eventually(t, refused, patience, tick, "nothing is told")
	for i := range 20 {
		require.NoError(t, writer.Set(t.Context(), "k", i))
		v, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, i, v, "what is in Redis")
	}
	assert.Equal(t, int64(20), c.Stats().Hits)
	assert.Zero(t, c.Stats().HitsL1)
	seen, err := c.Explain(t.Context(), "k")
	require.NoError(t, err)
	assert.Contains(t, seen.L1.Problem, "NOPERM")
	assert.Contains(t, seen.String(), "NOPERM")

	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "app", "&test!i").Err())
	require.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		return err == nil && c.Stats().HitsL1 > 0
	}, patience, 10*time.Millisecond, "the L1 is used")
	require.Eventually(t, func() bool { return len(out.with("used again")) == 1 }, patience, tick)
	begins := out.with("may not subscribe")
	require.Len(t, begins, 1)
	assert.Contains(t, begins[0], "&test!i")
	assert.Len(t, out.with(""), 2, "one line when it begins, one when it ends")
	seen, err = c.Explain(t.Context(), "k")
	require.NoError(t, err)
	assert.Empty(t, seen.L1.Problem)
}
