package cache_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
)

func TestUpdateGuardsAWrite(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := newCache[int](t, rdb)
		var row atomic.Int64
		load := func(context.Context, string) (int, error) { return int(row.Load()), nil }
		_, err := c.GetOrLoad(ctx, "k", load)
		require.NoError(t, err)

		require.NoError(t, c.Update(ctx, "k", func(ctx context.Context) error {
			_, err := c.Get(ctx, "k")
			assert.ErrorIs(t, err, cache.ErrMiss, "while the write runs nothing is cached")
			got, err := c.GetOrLoad(ctx, "k", load)
			require.NoError(t, err)
			assert.Equal(t, 0, got, "readers load")
			_, err = c.Get(ctx, "k")
			assert.ErrorIs(t, err, cache.ErrMiss, "and store nothing")
			row.Store(1)
			return nil
		}))
		got, err := c.GetOrLoad(ctx, "k", load)
		require.NoError(t, err)
		assert.Equal(t, 1, got)
		_, err = c.Get(ctx, "k")
		assert.NoError(t, err, "readers store again")
	})
}

// A load that began before the write, and ends after it, stores nothing.
func TestUpdateFencesARunningLoad(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := newCache[int](t, rdb), newCache[int](t, rdb)
		loader := newGated(func() int { return 0 })
		old := start(func() (int, error) { return other.GetOrLoad(t.Context(), "k", loader.load) })
		soon(t, loader.entered, "the load")
		require.NoError(t, c.Update(t.Context(), "k", func(context.Context) error { return nil }))
		close(loader.release)
		require.NoError(t, soon(t, old, "the load").err)
		_, err := c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		assert.EqualValues(t, 1, other.Stats().RefusedFills)
	})
}

// Scenario 12. The writer dies between its commit and the invalidation.
//
//  1. W opens its intent and commits v1. It dies.
//  2. R reads: the intent is open, so it loads v1 and stores nothing.
//  3. The intent ends by itself after 30 s. R loads and stores v1.
//
// With an invalidation after the write, v0 would be served until its hard TTL.
func TestWriterCrashAfterCommit(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		cut := &outage{}
		writer := b.Redis(t)
		writer.AddHook(cut)
		dying, err := cache.New(writer, "test", cache.Aside[int]())
		require.NoError(t, err)
		c := newCache[int](t, b.Redis(t))
		var row atomic.Int64
		load := func(context.Context, string) (int, error) { return int(row.Load()), nil }
		_, err = c.GetOrLoad(ctx, "k", load)
		require.NoError(t, err)

		err = dying.Update(ctx, "k", func(context.Context) error {
			row.Store(1)
			cut.on.Store(true) // nothing of this process reaches Redis any more
			return nil
		})
		require.ErrorIs(t, err, cache.ErrPending)
		var left *cache.RemainingError
		require.ErrorAs(t, dying.Close(), &left)
		assert.Equal(t, 1, left.Pending)

		stale, gets := 0, 0
		for range 400 { // 40 s: the intent, and after
			got, err := c.GetOrLoad(ctx, "k", load)
			require.NoError(t, err)
			if gets++; got < 1 {
				stale++
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("stale %d in %d gets during and after the dead writer's intent", stale, gets)
		assert.Zero(t, stale)
		_, err = c.Get(ctx, "k")
		assert.NoError(t, err, "after the intent the key is cached again")
	})
}

func TestUpdatePassesTheWritesErrorAndPanic(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := newCache[int](t, rdb)
		cached := func() bool {
			_, err := c.GetOrLoad(ctx, "k", value(1))
			require.NoError(t, err)
			_, err = c.Get(ctx, "k")
			return err == nil
		}
		boom := errors.New("boom")
		assert.True(t, c.Update(ctx, "k", func(context.Context) error { return boom }) == boom) //nolint:errorlint // the identity is the promise
		assert.True(t, cached(), "the intent is gone after an error")
		assert.PanicsWithValue(t, "boom", func() {
			_ = c.Update(ctx, "k", func(context.Context) error { panic("boom") })
		})
		assert.True(t, cached(), "the intent is gone after a panic")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = c.Update(ctx, "k", func(context.Context) error { runtime.Goexit(); return nil })
		}()
		soon(t, ended, "Goexit")
		assert.True(t, cached(), "the intent is gone after Goexit")
		var opErr *cache.OpError
		assert.ErrorAs(t, c.Update(ctx, "k", nil), &opErr)
	})
}

func TestTheWritesContextEndsBeforeItsIntent(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		began := time.Now()
		err := c.Update(t.Context(), "k", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 29*time.Second, time.Since(began))
	})
}

func TestAForeignRecordSurvivesUpdate(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		require.NoError(t, rdb.Set(t.Context(), redisKey, "somebody else's", 0).Err())
		require.NoError(t, c.Update(t.Context(), "k", func(context.Context) error { return nil }))
		assert.Equal(t, "somebody else's", rdb.Get(t.Context(), redisKey).Val())
	})
}

// Until a failed invalidation has landed, this process does not read the key;
// then all is as before.
func TestAFailedInvalidationIsQueuedAndRetried(t *testing.T) {
	for name, invalidate := range map[string]func(context.Context, *cache.Cache[int]) error{
		"Invalidate": func(ctx context.Context, c *cache.Cache[int]) error { return c.Invalidate(ctx, "k") },
		"Update": func(ctx context.Context, c *cache.Cache[int]) error {
			return c.Update(ctx, "k", func(context.Context) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, one, _ *cache.Cache[int], cut *outage) {
				ctx := t.Context()
				_, err := one.GetOrLoad(ctx, "k", value(0))
				require.NoError(t, err)
				cut.on.Store(true)
				err = invalidate(ctx, one)
				assert.ErrorIs(t, err, cache.ErrPending)
				assert.ErrorIs(t, err, errOutage, "the cause is there, too")
				var opErr *cache.OpError
				require.ErrorAs(t, err, &opErr)
				assert.EqualValues(t, 1, one.Stats().Pending)

				cut.on.Store(false) // Redis is back, and still holds the old entry
				got, err := one.GetOrLoad(ctx, "k", value(1))
				require.NoError(t, err)
				assert.Equal(t, 1, got, "own callers are never served what they invalidated")
				_, err = one.Get(ctx, "k")
				assert.ErrorIs(t, err, cache.ErrMiss)

				time.Sleep(2 * time.Second)
				synctest.Wait()
				assert.Zero(t, one.Stats().Pending, "drained within 2 s")
				_, err = one.GetOrLoad(ctx, "k", value(1))
				require.NoError(t, err)
				_, err = one.Get(ctx, "k")
				assert.NoError(t, err, "read and stored again")
			})
		})
	}
}

func TestShutdownDrainsQueuedInvalidations(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		cut := &outage{}
		rdb := b.Redis(t)
		rdb.AddHook(cut)
		c, err := cache.New(rdb, "test", cache.Aside[int]())
		require.NoError(t, err)
		require.NoError(t, c.Set(t.Context(), "k", 1))
		cut.on.Store(true)
		require.ErrorIs(t, c.Invalidate(t.Context(), "k"), cache.ErrPending)
		go func() {
			time.Sleep(time.Second)
			cut.on.Store(false)
		}()
		require.NoError(t, c.Shutdown(t.Context()))
		assert.Zero(t, rdb.Exists(t.Context(), redisKey).Val())

		c, err = cache.New(rdb, "test", cache.Aside[int]())
		require.NoError(t, err)
		cut.on.Store(true)
		require.ErrorIs(t, c.Invalidate(t.Context(), "k"), cache.ErrPending)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err = c.Shutdown(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var left *cache.RemainingError
		require.ErrorAs(t, err, &left)
		assert.Equal(t, 1, left.Pending)
	})
}

func TestExpireKeepsTheOldValueWhileOneCallerRefreshes(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := newCache[int](t, rdb, class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = 10 * time.Second }))
		require.NoError(t, c.Set(ctx, "k", 1))
		require.NoError(t, c.Expire(ctx, "k", "nothing there"))
		_, err := c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		got, err := c.GetOrLoad(ctx, "k", value(2))
		require.NoError(t, err)
		assert.Equal(t, 1, got)
		settled(t, c)
		got, err = c.Get(ctx, "k")
		require.NoError(t, err)
		assert.Equal(t, 2, got)

		require.NoError(t, c.Expire(ctx, "k"))
		time.Sleep(10*time.Second + time.Millisecond)
		got, err = c.GetOrLoad(ctx, "k", value(3))
		require.NoError(t, err)
		assert.Equal(t, 3, got, "not after the window")

		plain := newCache[int](t, rdb)
		require.NoError(t, plain.Expire(ctx, "k"))
		assert.Zero(t, rdb.Exists(ctx, redisKey).Val(), "without a window it is Invalidate")
	})
}

// Redis fails between the two halves of an Update: the retry closes the intent,
// so the key is not uncached until the intent ends by itself.
func TestTheRetryClosesAnIntentThatWasLeftOpen(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], cut *outage) {
		err := one.Update(t.Context(), "k", func(context.Context) error {
			cut.on.Store(true)
			return nil
		})
		require.ErrorIs(t, err, cache.ErrPending)
		cut.on.Store(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Zero(t, one.Stats().Pending)
		_, err = two.GetOrLoad(t.Context(), "k", value(1))
		require.NoError(t, err)
		_, err = two.Get(t.Context(), "k")
		assert.NoError(t, err, "stored again after 2 s, not after 30")
	})
}
