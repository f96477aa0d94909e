package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

func TestFlushWaitsUntilTheSinkHasWhatIsDirty(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, release := stuck()
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.Flush(t.Context()), "nothing to flush")
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"k": "v", "l": "w"}))
		soon(t, entered, "the sink")

		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err := c.Flush(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		dirtyLeft(t, err, 2)

		flush := start(func() (struct{}, error) { return struct{}{}, c.Flush(t.Context()) })
		close(release)
		require.NoError(t, soon(t, flush, "the flush").err)
		assert.Equal(t, map[string]string{"k": "v", "l": "w"}, rows.values())
	})
}

func TestWriteBehindShutdownDrains(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, release := stuck()
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		soon(t, entered, "the sink")
		shutdown := start(func() (struct{}, error) { return struct{}{}, c.Shutdown(t.Context()) })
		eventually(t, func() bool { return c.Set(t.Context(), "refused", "x") != nil }, "writes are refused")
		assert.ErrorIs(t, c.Set(t.Context(), "k", "w"), cache.ErrClosed)
		assert.ErrorIs(t, c.Delete(t.Context(), "k"), cache.ErrClosed)
		has(t, c, "k", "v", "it can still be read")
		close(release)
		require.NoError(t, soon(t, shutdown, "the shutdown").err)
		assert.Equal(t, "v", rows.values()["k"])
		_, err := c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrClosed)
		assert.NoError(t, c.Shutdown(t.Context()), "again")
	})
}

func TestWriteBehindShutdownLeavesTheRestToOthers(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, _ := stuck()
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{SinkTimeout: 10 * time.Millisecond})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		soon(t, entered, "the sink")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err := c.Shutdown(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		dirtyLeft(t, err, 1)

		rows = newLedger()
		next := newBehind(t, rdb, rows, cache.WriteBehindOptions{SinkTimeout: 10 * time.Millisecond})
		has(t, next, "k", "v")
		if clock, ok := rdb.(interface{ Advance(time.Duration) }); ok {
			clock.Advance(time.Minute) // the ticket of the first process has been idle for long enough
		}
		require.NoError(t, next.Flush(t.Context()))
		assert.Equal(t, map[string]string{"k": "v"}, rows.values())
	})
}

// Close does not wait: the context of the sink's call ends, and its goroutines.
func TestWriteBehindCloseTellsWhatIsDirty(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, _ := stuck()
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"a": "1", "b": "2", "c": "3"}))
		soon(t, entered, "the sink")
		first := c.Close()
		dirtyLeft(t, first, 3)
		assert.Equal(t, first, c.Close(), "the same again")
		assert.Equal(t, first, c.Shutdown(t.Context()))
		assert.Empty(t, rows.values())
		for name, call := range everyCall(c, value("x")) {
			assert.ErrorIs(t, call(t.Context()), cache.ErrClosed, name)
		}
		assert.ErrorIs(t, c.Flush(t.Context()), cache.ErrClosed)
		assert.ErrorIs(t, c.RetryDeadLetter(t.Context(), "0:1-1"), cache.ErrClosed)
		assert.ErrorIs(t, c.DropDeadLetter(t.Context(), "0:1-1"), cache.ErrClosed)
		for _, err := range c.DeadLetters(t.Context()) {
			assert.ErrorIs(t, err, cache.ErrClosed)
		}

		rows = newLedger()
		next := newBehind(t, rdb, rows, cache.WriteBehindOptions{SinkTimeout: 10 * time.Millisecond})
		if clock, ok := rdb.(interface{ Advance(time.Duration) }); ok {
			clock.Advance(time.Minute)
		}
		require.NoError(t, next.Flush(t.Context()))
		assert.Equal(t, map[string]string{"a": "1", "b": "2", "c": "3"}, rows.values())
		require.NoError(t, next.Close())
	})
}

// What a process that only puts leaves behind is not its to write.
func TestWriteBehindPutOnly(t *testing.T) {
	for name, only := range map[string]func(t *testing.T, rdb redis.UniversalClient) *cache.Cache[string]{
		"without a writer": func(t *testing.T, rdb redis.UniversalClient) *cache.Cache[string] {
			return newBehind(t, rdb, nil, cache.WriteBehindOptions{})
		},
		"without workers": func(t *testing.T, rdb redis.UniversalClient) *cache.Cache[string] {
			l := newLedger()
			l.before = func(context.Context, []cache.Mutation[string]) error { t.Error("the sink was called"); return nil }
			return newBehind(t, rdb, l, cache.WriteBehindOptions{Workers: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := only(t, rdb)
				require.NoError(t, c.Set(t.Context(), "k", "v"))
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // if it were over before the call, nothing would be asked
				defer cancel()
				err := c.Flush(ctx)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				dirtyLeft(t, err, 1)
				dirtyLeft(t, c.Shutdown(t.Context()), 1)

				c, worker := only(t, rdb), newBehind(t, rdb, newLedger(), cache.WriteBehindOptions{})
				require.NoError(t, c.Flush(t.Context()), "it waits for the worker of another process")
				require.NoError(t, c.Close())
				require.NoError(t, worker.Close())
			})
		})
	}
}

func TestFlushOfTheOtherStrategiesHasNothingToDo(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		assert.NoError(t, newCache[int](t, rdb).Flush(t.Context()))
		assert.NoError(t, newThrough(t, rdb, newTable()).Flush(t.Context()))
	})
}
