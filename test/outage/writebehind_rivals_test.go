package outage_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// Records that are not this cache's puts, and those that meet one.

// A put during an Update wins; which of the two the system of record has last is
// unknown, so that nothing stays cached.
func TestWriteBehindPutDuringAnUpdate(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewPutter(t, rdb)
		require.NoError(t, c.Update(t.Context(), "k", func(ctx context.Context) error {
			require.NoError(t, c.Set(ctx, "k", "put"))
			testkit.Has(t, c, "k", "put", "readable at once")
			return nil
		}))
		testkit.Has(t, c, "k", "put", "the update's end leaves it alone")
		rows := testkit.NewLedger()
		require.NoError(t, testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{}).Flush(t.Context()))
		assert.Equal(t, map[string]string{"k": "put"}, rows.Values())
		_, err := c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
}

// What this process cannot read, and is not flushed, is neither served nor replaced.
func TestWriteBehindBypassesADirtyRecordThatItCannotRead(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		newer, older := testkit.NewPutter(t, rdb, cache.WithSchema(2)), testkit.NewPutter(t, rdb, cache.WithSchema(1))
		require.NoError(t, newer.Set(t.Context(), "k", "v"))
		_, err := older.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		got, err := older.GetOrLoad(t.Context(), "k", testkit.Value("row"))
		require.NoError(t, err)
		assert.Equal(t, "row", got)
		assert.NotZero(t, older.Stats().Bypassed)
		testkit.Has(t, newer, "k", "v")
	})
}

func TestWriteBehindDoesNotPutOverAForeignRecord(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 1})
		require.NoError(t, rdb.Set(t.Context(), "{behind!0}vk", "somebody else's", 0).Err())
		var opErr *cache.OpError
		require.ErrorAs(t, c.Set(t.Context(), "k", "v"), &opErr)
		assert.EqualValues(t, 1, c.Stats().Foreign)
		assert.Zero(t, c.Stats().RedisErrors)
		assert.Equal(t, "somebody else's", rdb.Get(t.Context(), "{behind!0}vk").Val())
		assert.NoError(t, c.Flush(t.Context()), "nothing is dirty")
	})
}
