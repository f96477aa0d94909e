package cache_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/testkit"
)

func TestTheSinkGetsWhatWasEncrypted(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, testkit.OneTry, cache.WithCodec(everyLayer(ring("a"))))
		want := map[string]string{"short": "v", "long": long, "empty": ""}
		require.NoError(t, c.SetMany(t.Context(), want))
		for key, v := range want {
			testkit.Has(t, c, key, v)
		}
		require.NoError(t, c.Flush(t.Context()))
		assert.Equal(t, want, rows.Values())
		for key, v := range want {
			testkit.Has(t, c, key, v, "flushed")
		}
	})
}

func TestDeadLettersHoldTheValueAsEncoded(t *testing.T) {
	rows, bad := testkit.Picky(func() error { return testkit.ErrRefused })
	codec := everyLayer(ring("a")).(cache.EntryCodec)
	c := testkit.NewBehind(t, cachetest.Redis(t), rows, testkit.OneTry, cache.WithCodec(codec))
	require.NoError(t, c.Set(t.Context(), "k", "bad"))
	require.NoError(t, c.Flush(t.Context()))
	dead := testkit.Letters(t, c)
	require.Len(t, dead, 1)
	var got string
	require.NoError(t, codec.DecodeEntry(dead[0].Data, "behind:k", &got))
	assert.Equal(t, "bad", got)
	assert.Error(t, codec.DecodeEntry(dead[0].Data, "behind:l", &got))

	bad.Store(false)
	require.NoError(t, c.RetryDeadLetter(t.Context(), dead[0].ID))
	require.NoError(t, c.Flush(t.Context()))
	assert.Equal(t, map[string]string{"k": "bad"}, rows.Values())
}

// A process that lacks the key neither serves nor replaces what is not flushed.
func TestAnUnflushedSecretOfAnotherKeyIsBypassed(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		writer := testkit.NewPutter(t, rdb, cache.WithCodec(everyLayer(ring("b"))))
		require.NoError(t, writer.Set(t.Context(), "k", long))
		reader := testkit.NewPutter(t, rdb, cache.WithCodec(everyLayer(ring("a"))))
		_, err := reader.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		got, err := reader.GetOrLoad(t.Context(), "k", testkit.Value("old row"))
		require.NoError(t, err)
		assert.Equal(t, "old row", got)
		s := reader.Stats()
		assert.EqualValues(t, 2, s.Corrupt)
		assert.EqualValues(t, 2, s.Bypassed)
		testkit.Has(t, writer, "k", long, "it is still there")
	})
}

// A worker that lacks the key gives up; one that has it may retry.
func TestAWorkerWithoutTheKeyLeavesADeadLetter(t *testing.T) {
	rdb := cachetest.Redis(t)
	rows := testkit.NewLedger()
	late := testkit.NewBehind(t, rdb, rows, testkit.OneTry, cache.WithCodec(everyLayer(ring("a"))))
	writer := testkit.NewPutter(t, rdb, cache.WithCodec(everyLayer(ring("b"))))
	require.NoError(t, writer.Set(t.Context(), "k", long))
	require.NoError(t, late.Flush(t.Context()))
	dead := testkit.Letters(t, late)
	require.Len(t, dead, 1)
	assert.Contains(t, dead[0].Reason, `"b"`, "the id of the key that is missing")
	require.NoError(t, late.Close())

	renewed := testkit.NewBehind(t, rdb, rows, testkit.OneTry, cache.WithCodec(everyLayer(ring("a", "b"))))
	require.NoError(t, renewed.RetryDeadLetter(t.Context(), dead[0].ID))
	require.NoError(t, renewed.Flush(t.Context()))
	assert.Equal(t, map[string]string{"k": long}, rows.Values())
}

// The payload would decode: 5 is a number in any JSON.
func TestADirtyRecordOfAnotherCodecIsBypassed(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		testkit.Raw(t, rdb, envelope.Dirty, testkit.Body(func(b *envelope.Body) { b.Codec = 20 }), "5")
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value(7))
		require.NoError(t, err)
		assert.Equal(t, 7, got)
		_, err = c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		assert.EqualValues(t, 2, c.Stats().Bypassed)
		assert.EqualValues(t, 2, c.Stats().Corrupt)
	})
}
