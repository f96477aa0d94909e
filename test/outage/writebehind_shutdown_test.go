package outage_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

func TestFlushWaitsUntilTheSinkHasWhatIsDirty(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, release := testkit.Stuck()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.Flush(t.Context()), "nothing to flush")
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"k": "v", "l": "w"}))
		testkit.Soon(t, entered, "the sink")

		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err := c.Flush(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		dirtyLeft(t, err, 2)

		flush := testkit.Start(func() (struct{}, error) { return struct{}{}, c.Flush(t.Context()) })
		close(release)
		require.NoError(t, testkit.Soon(t, flush, "the flush").Err)
		assert.Equal(t, map[string]string{"k": "v", "l": "w"}, rows.Values())
	})
}

func TestWriteBehindShutdownDrains(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, release := testkit.Stuck()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		testkit.Soon(t, entered, "the sink")
		shutdown := testkit.Start(func() (struct{}, error) { return struct{}{}, c.Shutdown(t.Context()) })
		testkit.Eventually(t, func() bool { return c.Set(t.Context(), "refused", "x") != nil }, "writes are refused")
		assert.ErrorIs(t, c.Set(t.Context(), "k", "w"), cache.ErrClosed)
		assert.ErrorIs(t, c.Delete(t.Context(), "k"), cache.ErrClosed)
		testkit.Has(t, c, "k", "v", "it can still be read")
		close(release)
		require.NoError(t, testkit.Soon(t, shutdown, "the shutdown").Err)
		assert.Equal(t, "v", rows.Values()["k"])
		_, err := c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrClosed)
		assert.NoError(t, c.Shutdown(t.Context()), "again")
	})
}

func TestWriteBehindShutdownLeavesTheRestToOthers(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, _ := testkit.Stuck()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{SinkTimeout: 10 * time.Millisecond})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		testkit.Soon(t, entered, "the sink")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err := c.Shutdown(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		dirtyLeft(t, err, 1)

		rows = testkit.NewLedger()
		next := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{SinkTimeout: 10 * time.Millisecond})
		testkit.Has(t, next, "k", "v")
		if clock, ok := rdb.(interface{ Advance(time.Duration) }); ok {
			clock.Advance(time.Minute) // the claim of the first process is over
		}
		require.NoError(t, next.Flush(t.Context()))
		assert.Equal(t, map[string]string{"k": "v"}, rows.Values())
	})
}

// Close does not wait: the context of the sink's call ends, and its goroutines.
func TestWriteBehindCloseTellsWhatIsDirty(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, _ := testkit.Stuck()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"a": "1", "b": "2", "c": "3"}))
		testkit.Soon(t, entered, "the sink")
		first := c.Close()
		dirtyLeft(t, first, 3)
		assert.Equal(t, first, c.Close(), "the same again")
		assert.Equal(t, first, c.Shutdown(t.Context()))
		assert.Empty(t, rows.Values())
		for name, call := range testkit.EveryCall(c, testkit.Value("x")) {
			assert.ErrorIs(t, call(t.Context()), cache.ErrClosed, name)
		}
		assert.ErrorIs(t, c.Flush(t.Context()), cache.ErrClosed)
		assert.ErrorIs(t, c.RetryDeadLetter(t.Context(), "0:1-1"), cache.ErrClosed)
		assert.ErrorIs(t, c.DropDeadLetter(t.Context(), "0:1-1"), cache.ErrClosed)
		for _, err := range c.DeadLetters(t.Context()) {
			assert.ErrorIs(t, err, cache.ErrClosed)
		}

		rows = testkit.NewLedger()
		next := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{SinkTimeout: 10 * time.Millisecond})
		if clock, ok := rdb.(interface{ Advance(time.Duration) }); ok {
			clock.Advance(time.Minute)
		}
		require.NoError(t, next.Flush(t.Context()))
		assert.Equal(t, map[string]string{"a": "1", "b": "2", "c": "3"}, rows.Values())
		require.NoError(t, next.Close())
	})
}

// What a process that only puts leaves behind is not its to write.
func TestWriteBehindPutOnly(t *testing.T) {
	t.Parallel()
	for name, only := range map[string]func(t *testing.T, rdb redis.UniversalClient) *cache.Cache[string]{
		"without a writer": func(t *testing.T, rdb redis.UniversalClient) *cache.Cache[string] {
			return testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{})
		},
		"without workers": func(t *testing.T, rdb redis.UniversalClient) *cache.Cache[string] {
			l := testkit.NewLedger()
			l.Before = func(context.Context, []cache.Mutation[string]) error { t.Error("the sink was called"); return nil }
			return testkit.NewBehind(t, rdb, l, cache.WriteBehindOptions{Workers: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := only(t, rdb)
				require.NoError(t, c.Set(t.Context(), "k", "v"))
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // if it were over before the call, nothing would be asked
				defer cancel()
				err := c.Flush(ctx)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				dirtyLeft(t, err, 1)
				dirtyLeft(t, c.Shutdown(t.Context()), 1)

				c, worker := only(t, rdb), testkit.NewBehind(t, rdb, testkit.NewLedger(), cache.WriteBehindOptions{})
				require.NoError(t, c.Flush(t.Context()), "it waits for the worker of another process")
				require.NoError(t, c.Close())
				require.NoError(t, worker.Close())
			})
		})
	}
}

func TestFlushOfTheOtherStrategiesHasNothingToDo(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		assert.NoError(t, testkit.NewCache[int](t, rdb).Flush(t.Context()))
		assert.NoError(t, testkit.NewThrough(t, rdb, testkit.NewTable()).Flush(t.Context()))
	})
}
