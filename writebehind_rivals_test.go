package cache_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// Records that are not this cache's puts, and those that meet one.

// A put during an Update wins; which of the two the system of record has last is
// unknown, so that nothing stays cached.
func TestWriteBehindPutDuringAnUpdate(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newPutter(t, rdb)
		require.NoError(t, c.Update(t.Context(), "k", func(ctx context.Context) error {
			require.NoError(t, c.Set(ctx, "k", "put"))
			has(t, c, "k", "put", "readable at once")
			return nil
		}))
		has(t, c, "k", "put", "the update's end leaves it alone")
		rows := newLedger()
		require.NoError(t, newBehind(t, rdb, rows, cache.WriteBehindOptions{}).Flush(t.Context()))
		assert.Equal(t, map[string]string{"k": "put"}, rows.values())
		_, err := c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
}

// What this process cannot read, and is not flushed, is neither served nor replaced.
func TestWriteBehindBypassesADirtyRecordThatItCannotRead(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		newer, older := newPutter(t, rdb, cache.WithSchema(2)), newPutter(t, rdb, cache.WithSchema(1))
		require.NoError(t, newer.Set(t.Context(), "k", "v"))
		_, err := older.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		got, err := older.GetOrLoad(t.Context(), "k", value("row"))
		require.NoError(t, err)
		assert.Equal(t, "row", got)
		assert.NotZero(t, older.Stats().Bypassed)
		has(t, newer, "k", "v")
	})
}

func TestWriteBehindDoesNotPutOverAForeignRecord(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 1})
		require.NoError(t, rdb.Set(t.Context(), "{behind!0}vk", "somebody else's", 0).Err())
		var opErr *cache.OpError
		require.ErrorAs(t, c.Set(t.Context(), "k", "v"), &opErr)
		assert.EqualValues(t, 1, c.Stats().Foreign)
		assert.Zero(t, c.Stats().RedisErrors)
		assert.Equal(t, "somebody else's", rdb.Get(t.Context(), "{behind!0}vk").Val())
		assert.NoError(t, c.Flush(t.Context()), "nothing is dirty")
	})
}
