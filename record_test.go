package cache_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/testkit"
)

// Records of ours that cannot be used are a miss that heals itself.
func TestUnusableRecordsHeal(t *testing.T) {
	same := func(*envelope.Body) {}
	tests := []struct {
		name  string
		plant func(t *testing.T, rdb redis.UniversalClient)
	}{
		{"a truncated header", func(t *testing.T, rdb redis.UniversalClient) {
			require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, "K1V000", time.Minute).Err())
		}},
		{"a header without a body", func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Value, testkit.Body(same), "5")
			require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, rdb.GetRange(t.Context(), testkit.RedisKey, 0, 86).Val(), time.Minute).Err())
		}},
		{"a flipped bit in the payload", func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Value, testkit.Body(same), "5")
			last := rdb.StrLen(t.Context(), testkit.RedisKey).Val() - 1
			require.NoError(t, rdb.SetRange(t.Context(), testkit.RedisKey, last, "6").Err())
		}},
		{"a record of another key", func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Value, testkit.Body(same), "5")
			rec := strings.Replace(rdb.Get(t.Context(), testkit.RedisKey).Val(), "x", "x", 1)
			require.NoError(t, rdb.Set(t.Context(), "test:other", rec, time.Minute).Err())
			require.NoError(t, rdb.Rename(t.Context(), "test:other", testkit.RedisKey).Err())
			require.NoError(t, rdb.SetRange(t.Context(), testkit.RedisKey, 86, "\x07").Err())
		}},
		{"bytes that do not decode", func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Value, testkit.Body(same), `{"not":"a number"}`)
		}},
		{"another codec", func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Value, testkit.Body(func(b *envelope.Body) { b.Codec = 9 }), "5")
		}},
		{"an older schema", func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Value, testkit.Body(func(b *envelope.Body) { b.Schema = 2 }), "5")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx := t.Context()
				c := testkit.NewCache[int](t, rdb, cache.WithSchema(3))
				test.plant(t, rdb)
				_, err := c.Get(ctx, "k")
				assert.ErrorIs(t, err, cache.ErrMiss)
				assert.EqualValues(t, 1, c.Stats().Corrupt)

				got, err := c.GetOrLoad(ctx, "k", testkit.Value(7))
				require.NoError(t, err)
				assert.Equal(t, 7, got)
				got, err = c.Get(ctx, "k")
				require.NoError(t, err, "the load has replaced it")
				assert.Equal(t, 7, got)
			})
		})
	}
}

// What is not ours, or of a newer program, is bypassed: loaded, not stored.
func TestForeignAndNewerRecordsAreBypassed(t *testing.T) {
	tests := []struct {
		name    string
		foreign bool
		plant   func(t *testing.T, rdb redis.UniversalClient)
		removed bool // by Invalidate of that very key
	}{
		{"a foreign string", true, func(t *testing.T, rdb redis.UniversalClient) {
			require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, "somebody else's", 0).Err())
		}, true},
		{"a short foreign string", true, func(t *testing.T, rdb redis.UniversalClient) {
			require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, "K", 0).Err())
		}, true},
		{"a hash", true, func(t *testing.T, rdb redis.UniversalClient) {
			require.NoError(t, rdb.HSet(t.Context(), testkit.RedisKey, "f", "v").Err())
		}, false},
		{"a list", true, func(t *testing.T, rdb redis.UniversalClient) {
			require.NoError(t, rdb.RPush(t.Context(), testkit.RedisKey, "v").Err())
		}, false},
		{"a newer schema", false, func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Value, testkit.Body(func(b *envelope.Body) { b.Schema = 4 }), "5")
		}, true},
		{"a dirty record that does not decode", false, func(t *testing.T, rdb redis.UniversalClient) {
			testkit.Raw(t, rdb, envelope.Dirty, testkit.Body(func(b *envelope.Body) { b.Schema = 3 }), `"x"`)
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx := t.Context()
				c := testkit.NewCache[int](t, rdb, cache.WithSchema(3))
				test.plant(t, rdb)
				before := rdb.Dump(ctx, testkit.RedisKey).Val()
				for range 2 {
					got, err := c.GetOrLoad(ctx, "k", testkit.Value(7))
					require.NoError(t, err)
					assert.Equal(t, 7, got)
				}
				_, err := c.Get(ctx, "k")
				assert.ErrorIs(t, err, cache.ErrMiss)
				assert.Equal(t, before, rdb.Dump(ctx, testkit.RedisKey).Val(), "never overwritten")
				s := c.Stats()
				assert.EqualValues(t, 2, s.Loads)
				assert.EqualValues(t, 3, s.Bypassed)
				if test.foreign {
					assert.EqualValues(t, 3, s.Foreign)
					require.NoError(t, c.Set(ctx, "k", 1))
					assert.Equal(t, before, rdb.Dump(ctx, testkit.RedisKey).Val(), "Set leaves it alone, too")
				}
				require.NoError(t, c.Invalidate(ctx, "k"))
				assert.Equal(t, test.removed, rdb.Exists(ctx, testkit.RedisKey).Val() == 0, "removed by Invalidate")
			})
		})
	}
}

func TestADirtyRecordIsAlwaysAHit(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		testkit.Raw(t, rdb, envelope.Dirty, testkit.Body(func(*envelope.Body) {}), "5")
		got, err := c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
		require.NoError(t, err)
		assert.Equal(t, 5, got)

		testkit.Raw(t, rdb, envelope.Dirty, testkit.Body(func(b *envelope.Body) { b.Absent = true }), "")
		_, err = c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
		assert.ErrorIs(t, err, cache.ErrNotFound, "a tombstone")
	})
}

// tagged is JSON under another id.
type tagged struct {
	cache.Codec
	id uint8
}

func (c tagged) CodecID() uint8 { return c.id }

func TestAnotherCodecsEntryIsReplaced(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		one := testkit.NewCache[int](t, rdb)
		two := testkit.NewCache[int](t, rdb, cache.WithCodec(tagged{cache.JSON, 77}))
		require.NoError(t, one.Set(ctx, "k", 1))
		got, err := two.GetOrLoad(ctx, "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, got)
		_, err = one.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		assert.EqualValues(t, 1, two.Stats().Corrupt)
	})
}

// halfway encodes and decodes, but not values above 100.
type halfway struct{ cache.Codec }

func (h halfway) Append(dst []byte, v any) ([]byte, error) {
	if n, ok := v.(int); ok && n > 100 {
		return dst, &json.UnsupportedValueError{Str: "above 100"}
	}
	return h.Codec.Append(dst, v)
}

func TestAValueThatCannotBeEncodedIsReturnedAndNotStored(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb, cache.WithCodec(halfway{cache.JSON}))
		got, err := c.GetOrLoad(ctx, "k", testkit.Value(1000))
		require.NoError(t, err)
		assert.Equal(t, 1000, got)
		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		assert.EqualValues(t, 1, c.Stats().Unencodable)

		var opErr *cache.OpError
		require.ErrorAs(t, c.Set(ctx, "k", 1000), &opErr)
	})
}

// row tells its version through a pointer method.
type row struct{ V uint64 }

func (r *row) CacheVersion() uint64 { return r.V }

func TestSetNeverReplacesANewerVersion(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[row](t, rdb)
		require.NoError(t, c.Set(ctx, "k", row{9}))
		require.NoError(t, c.Set(ctx, "k", row{8}))
		got, err := c.Get(ctx, "k")
		require.NoError(t, err)
		assert.Equal(t, row{9}, got)

		pointers := testkit.NewCache[*row](t, rdb)
		require.NoError(t, pointers.Set(ctx, "p", &row{9}))
		require.NoError(t, pointers.Set(ctx, "p", nil), "a nil pointer has no version")
		p, err := pointers.Get(ctx, "p")
		require.NoError(t, err)
		assert.Nil(t, p)
	})
}
