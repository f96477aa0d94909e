package outage_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// What becomes of writes when Redis is full, was emptied, has come back as it was before, or
// has lost a part of what it had.

// W5: with noeviction, as it should be.
func TestAFullRedisIsDrainedByAProcessThatComesLater(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t, redistest.AppendOnly("everysec"), redistest.MaxMemory(8<<20, "noeviction"))
	putter := testkit.NewBehind(t, server.Client(t), nil, cache.WriteBehindOptions{})
	want, value := map[string]string{}, strings.Repeat("x", 20_000)
	for i := range 1000 {
		key := strconv.Itoa(i)
		if err := putter.Set(t.Context(), key, value); err != nil {
			require.ErrorContains(t, err, "OOM")
			break
		}
		want[key] = value
	}
	require.NotEmpty(t, want)
	require.Less(t, len(want), 1000, "it was never full: the test is blind")
	rows := testkit.NewLedger()
	later := testkit.NewBehind(t, server.Client(t), rows, cache.WriteBehindOptions{}, testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Millisecond }))
	require.NoError(t, later.Flush(t.Context()))
	assert.Equal(t, want, rows.Values())
}

// W19: the database has version 2, and Redis version 1, as a put that is still to be flushed.
func TestWhatASinkHadNewerIsNotServedAfterRedisCameBackOlder(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		putter := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 1})
		require.NoError(t, putter.Set(t.Context(), "k", "v1"))
		older := rdb.Get(t.Context(), "{behind!0}vk").Val()
		rows := testkit.NewLedger()
		rows.Before = func(_ context.Context, batch []cache.Mutation[string]) error {
			newer := cache.BatchError{}
			for _, m := range batch {
				rows.Mu.Lock()
				if rows.Rows[m.Key].Version > m.Version {
					newer[m.Key] = cache.ErrHadNewer
				}
				rows.Mu.Unlock()
			}
			if len(newer) == 0 {
				return nil
			}
			return newer
		}
		worker := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 1})
		require.NoError(t, putter.Set(t.Context(), "k", "v2"))
		require.NoError(t, worker.Flush(t.Context()))
		require.NoError(t, worker.Close())

		require.NoError(t, rdb.Set(t.Context(), "{behind!0}vk", older, 0).Err())
		require.NoError(t, rdb.ZAdd(t.Context(), "{behind!0}d", redis.Z{Score: 1, Member: "k"}).Err())
		require.NoError(t, rdb.ZAdd(t.Context(), "{behind!0}s", redis.Z{Score: 1, Member: "k"}).Err())
		testkit.Has(t, putter, "k", "v1", "nobody knows better yet")
		next := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 1})
		require.NoError(t, next.Flush(t.Context()))
		got, err := putter.GetOrLoad(t.Context(), "k", rows.Load)
		require.NoError(t, err)
		assert.Equal(t, "v2", got)
		assert.EqualValues(t, 1, next.Stats().Flushed)
		assert.Zero(t, next.Stats().FlushErrors)
	})
}

// W24: no worker would ever have found it, and every Update would have been refused.
func TestAnUpdateFindsADirtyRecordThatNothingNames(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 1, Interval: time.Hour})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		require.NoError(t, rdb.Del(t.Context(), "{behind!0}d", "{behind!0}s").Err())
		require.NoError(t, c.Flush(t.Context()))
		require.Empty(t, rows.Values())
		require.NoError(t, c.Update(t.Context(), "k", func(context.Context) error {
			assert.Equal(t, map[string]string{"k": "v"}, rows.Values())
			return nil
		}))
	})
}

// W25: entries of one key in two places would be two truths.
func TestAProcessOfOtherPartitionsDoesNotJoinAfterRedisWasEmptied(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		first := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 16})
		require.NoError(t, rdb.FlushAll(t.Context()).Err())
		time.Sleep(2500 * time.Millisecond) // it looks once a second
		_, err := testkit.OpenOnce(rdb, nil, cache.WriteBehindOptions{Partitions: 32})
		assert.ErrorContains(t, err, "fixed by its first process")

		require.NoError(t, rdb.FlushAll(t.Context()).Err())
		second := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 32}) // within the second
		time.Sleep(2 * time.Second)
		for name, call := range map[string]func() error{
			"Set": func() error { return first.Set(t.Context(), "k", "v") },
			"Get": func() error { _, err := first.Get(t.Context(), "k"); return err },
		} {
			var opErr *cache.OpError
			require.ErrorAs(t, call(), &opErr, name)
			assert.ErrorContains(t, opErr, "fixed by its first process", name)
		}
		assert.NoError(t, second.Set(t.Context(), "k", "v"))
	})
}

// There is no migration: what an earlier program left must be flushed by it.
func TestNewRefusesPartitionsOfAnEarlierProgram(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		require.NoError(t, rdb.XGroupCreateMkStream(t.Context(), "{behind!2}s", "w", "0").Err())
		_, err := testkit.OpenOnce(rdb, nil, cache.WriteBehindOptions{Partitions: 4})
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr)
		assert.ErrorContains(t, err, "{behind!2}s is a stream")
	})
}
