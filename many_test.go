package cache_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// numbers are the keys "0" to n-1.
func numbers(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return keys
}

// parsing is a BatchLoader that knows every number, and counts its calls and keys.
func parsing(calls, keys *atomic.Int64) cache.BatchLoader[int] {
	return func(_ context.Context, asked []string) (map[string]int, error) {
		calls.Add(1)
		keys.Add(int64(len(asked)))
		out := map[string]int{}
		for _, key := range asked {
			n, err := strconv.Atoi(key)
			if err == nil {
				out[key] = n
			}
		}
		return out, nil
	}
}

func TestGetOrLoadManyLoadsWhatIsMissingInOneCall(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		var calls, asked atomic.Int64
		for i := range 50 {
			_, err := c.GetOrLoad(t.Context(), strconv.Itoa(i), value(i))
			require.NoError(t, err)
		}
		keys := append(numbers(100), numbers(100)...)
		got, err := c.GetOrLoadMany(t.Context(), append(keys, "none"), parsing(&calls, &asked))
		require.NoError(t, err)
		require.Len(t, got, 100)
		for i, key := range numbers(100) {
			assert.Equal(t, i, got[key])
		}
		assert.EqualValues(t, 1, calls.Load())
		assert.EqualValues(t, 51, asked.Load())
		found, err := c.GetMany(t.Context(), append(keys, "none"))
		require.NoError(t, err)
		assert.Equal(t, got, found)
		assert.Equal(t, []string{"99"}, slices.Collect(maps.Keys(must(c.GetMany(t.Context(), []string{"99", "none"})))))
	})
}
