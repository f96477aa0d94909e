package outage_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// A value that this process's codec does not read is nothing for its sink.
func TestWriteBehindDoesNotGiveTheSinkWhatItCannotDecode(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		newer := testkit.NewPutter(t, rdb, cache.WithSchema(2))
		require.NoError(t, newer.Set(t.Context(), "k", "of schema 2"))
		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, testkit.OneTry, cache.WithSchema(1))
		require.NoError(t, c.Set(t.Context(), "l", "of schema 1"))
		require.NoError(t, c.Flush(t.Context()))
		assert.Equal(t, map[string]string{"l": "of schema 1"}, rows.Values())
		all := testkit.Letters(t, c)
		require.Len(t, all, 1)
		assert.Contains(t, all[0].Reason, "schema 2")
		assert.Equal(t, []byte(`"of schema 2"`), all[0].Data)
	})
}

// W13. What a program of an older schema has put is not decoded as what it is not, neither
// for readers nor for the sink; with a migration both get what it means now, also from a
// letter that it became meanwhile.
func TestWriteBehindMigratesWhatAnOlderProgramHasPut(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		older := testkit.NewPutter(t, rdb, cache.WithSchema(1))
		require.NoError(t, older.Set(ctx, "k", "12 euros"))
		require.NoError(t, older.Set(ctx, "gone", "x"))
		require.NoError(t, older.Delete(ctx, "gone"))

		rows := testkit.NewLedger()
		newer := testkit.NewBehind(t, rdb, rows, testkit.OneTry, cache.WithSchema(2))
		got, err := newer.GetOrLoad(ctx, "k", testkit.Value("row"))
		require.NoError(t, err)
		assert.Equal(t, "row", got, "it is not misread")
		require.NoError(t, newer.Flush(ctx))
		assert.Empty(t, rows.Values(), "nor given to the sink")
		assert.Len(t, rows.Of("gone"), 1, "a deletion has no schema")
		letters := testkit.Letters(t, newer)
		require.Len(t, letters, 1)
		assert.Contains(t, letters[0].Reason, "schema 1")
		require.NoError(t, newer.Close())

		migrates := cache.WithMigration(func(schema uint16, decode func(v any) error) (string, error) {
			var old string
			err := decode(&old)
			return fmt.Sprintf("%s of schema %d", old, schema), err
		})
		after := testkit.NewBehind(t, rdb, rows, testkit.OneTry, cache.WithSchema(2), migrates)
		require.NoError(t, after.RetryDeadLetter(ctx, letters[0].ID))
		testkit.Has(t, after, "k", "12 euros of schema 1")
		require.NoError(t, after.Flush(ctx))
		assert.Equal(t, map[string]string{"k": "12 euros of schema 1"}, rows.Values())
		assert.Empty(t, testkit.Letters(t, after))
	})
	_, err := cache.New(cachetest.Redis(t), "test", cache.Aside[int](), cache.WithMigration(
		func(uint16, func(any) error) (string, error) { return "", nil }))
	assert.ErrorContains(t, err, "WithMigration")
	_, err = cache.New(cachetest.Redis(t), "test", cache.Aside[int](), cache.WithMigration[int](nil))
	assert.ErrorContains(t, err, "WithMigration")
}
