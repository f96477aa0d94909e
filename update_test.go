package cache_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	"github.com/larder-go/cache/internal/testkit"
)

func TestUpdateGuardsAWrite(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb)
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
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		loader := testkit.NewGated(func() int { return 0 })
		old := testkit.Start(func() (int, error) { return other.GetOrLoad(t.Context(), "k", loader.Load) })
		testkit.Soon(t, loader.Entered, "the load")
		require.NoError(t, c.Update(t.Context(), "k", func(context.Context) error { return nil }))
		close(loader.Release)
		require.NoError(t, testkit.Soon(t, old, "the load").Err)
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
		cut := &testkit.Outage{}
		writer := b.Redis(t)
		writer.AddHook(cut)
		dying, err := cache.New(writer, "test", cache.Aside[int]())
		require.NoError(t, err)
		c := testkit.NewCache[int](t, b.Redis(t))
		var row atomic.Int64
		load := func(context.Context, string) (int, error) { return int(row.Load()), nil }
		_, err = c.GetOrLoad(ctx, "k", load)
		require.NoError(t, err)

		err = dying.Update(ctx, "k", func(context.Context) error {
			row.Store(1)
			cut.On.Store(true) // nothing of this process reaches Redis any more
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
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb)
		cached := func() bool {
			_, err := c.GetOrLoad(ctx, "k", testkit.Value(1))
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
		assert.False(t, cached(), "after a panic nobody knows whether it was committed")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = c.Update(ctx, "k", func(context.Context) error { runtime.Goexit(); return nil })
		}()
		testkit.Soon(t, ended, "Goexit")
		assert.False(t, cached(), "nor after Goexit")
		var opErr *cache.OpError
		assert.ErrorAs(t, c.Update(ctx, "k", nil), &opErr)
	})
}

// W7. The schedule at outcomeUnknown: the write's error comes before its commit, and a reader
// between them.
func TestAWriteOfUnknownOutcomeLeavesNothingStale(t *testing.T) {
	boom := errors.New("boom")
	unknown := map[string]error{
		"its context ended":           context.DeadlineExceeded,
		"it was cancelled":            fmt.Errorf("commit: %w", context.Canceled),
		"the network failed":          fmt.Errorf("commit: %w", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}),
		"the connection broke":        io.ErrUnexpectedEOF,
		"database/sql gave it up":     driver.ErrBadConn,
		"it panicked":                 nil,
		"it failed, and rolled back":  boom,
		"it broke a rule of the rows": fmt.Errorf("duplicate key: %w", boom),
	}
	writes := map[string]func(ctx context.Context, c *cache.Cache[testkit.Book]) error{
		"Set": func(ctx context.Context, c *cache.Cache[testkit.Book]) error {
			return c.Set(ctx, "1", testkit.Book{Title: "new"})
		},
		"SetMany": func(ctx context.Context, c *cache.Cache[testkit.Book]) error {
			return c.SetMany(ctx, map[string]testkit.Book{"1": {Title: "new"}})
		},
		"Delete": func(ctx context.Context, c *cache.Cache[testkit.Book]) error { return c.Delete(ctx, "1") },
	}
	for why, err := range unknown {
		for name, write := range writes {
			t.Run(name+", "+why, func(t *testing.T) {
				testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
					ctx, rows := t.Context(), testkit.NewTable()
					c := testkit.NewThrough(t, rdb, rows)
					require.NoError(t, c.Set(ctx, "1", testkit.Book{Title: "old"}))
					commits := err == nil || !errors.Is(err, boom) // 100 ms later
					rows.Before = func() error {
						if err == nil {
							panic("lost")
						}
						return err
					}
					require.Error(t, write(ctx, c))
					rows.Before = nil
					title := func() string {
						got, err := c.GetOrLoad(ctx, "1", rows.Load)
						require.NoError(t, err)
						return got.Title
					}
					assert.Equal(t, "old", title())
					if commits {
						time.Sleep(100 * time.Millisecond)
						rows.Rows["1"] = testkit.Book{Title: "committed"}
						for range 35 {
							require.Equal(t, "committed", title())
							time.Sleep(time.Second)
						}
					}
					_, err := c.Get(ctx, "1")
					assert.NoError(t, err, "it is cached again")
				})
			})
		}
	}
}

func TestTheWritesContextEndsBeforeItsIntent(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
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
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, "somebody else's", 0).Err())
		require.NoError(t, c.Update(t.Context(), "k", func(context.Context) error { return nil }))
		assert.Equal(t, "somebody else's", rdb.Get(t.Context(), testkit.RedisKey).Val())
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
			twoProcesses(t, func(t *testing.T, one, _ *cache.Cache[int], cut *testkit.Outage) {
				ctx := t.Context()
				_, err := one.GetOrLoad(ctx, "k", testkit.Value(0))
				require.NoError(t, err)
				cut.On.Store(true)
				err = invalidate(ctx, one)
				assert.ErrorIs(t, err, cache.ErrPending)
				assert.ErrorIs(t, err, testkit.ErrOutage, "the cause is there, too")
				var opErr *cache.OpError
				require.ErrorAs(t, err, &opErr)
				assert.EqualValues(t, 1, one.Stats().Pending)

				cut.On.Store(false) // Redis is back, and still holds the old entry
				got, err := one.GetOrLoad(ctx, "k", testkit.Value(1))
				require.NoError(t, err)
				assert.Equal(t, 1, got, "own callers are never served what they invalidated")
				_, err = one.Get(ctx, "k")
				assert.ErrorIs(t, err, cache.ErrMiss)

				time.Sleep(2 * time.Second)
				synctest.Wait()
				assert.Zero(t, one.Stats().Pending, "drained within 2 s")
				_, err = one.GetOrLoad(ctx, "k", testkit.Value(1))
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
		cut := &testkit.Outage{}
		rdb := b.Redis(t)
		rdb.AddHook(cut)
		c, err := cache.New(rdb, "test", cache.Aside[int]())
		require.NoError(t, err)
		require.NoError(t, c.Set(t.Context(), "k", 1))
		cut.On.Store(true)
		require.ErrorIs(t, c.Invalidate(t.Context(), "k"), cache.ErrPending)
		go func() {
			time.Sleep(time.Second)
			cut.On.Store(false)
		}()
		require.NoError(t, c.Shutdown(t.Context()))
		assert.Zero(t, rdb.Exists(t.Context(), testkit.RedisKey).Val())

		c, err = cache.New(rdb, "test", cache.Aside[int]())
		require.NoError(t, err)
		cut.On.Store(true)
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

// W21. A write that is under way when the cache is closed does not say that its invalidation
// is queued: nobody will send it. Its intent stands for its time, so that nothing stale is
// served.
func TestAWriteUnderWayAtTheEndSaysThatItsInvalidationIsLost(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c, other := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		require.NoError(t, c.Set(ctx, "k", 1))
		err := c.Update(ctx, "k", func(context.Context) error { return c.Close() })
		require.ErrorIs(t, err, cache.ErrPending, "the write was made")
		assert.ErrorContains(t, err, "its invalidation is lost")
		for range 35 {
			got, err := other.GetOrLoad(ctx, "k", testkit.Value(2))
			require.NoError(t, err)
			require.Equal(t, 2, got)
			time.Sleep(time.Second)
		}
		_, err = other.Get(ctx, "k")
		assert.NoError(t, err, "it is cached again")
	})
}

func TestExpireKeepsTheOldValueWhileOneCallerRefreshes(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = 10 * time.Second }))
		require.NoError(t, c.Set(ctx, "k", 1))
		require.NoError(t, c.Expire(ctx, "k", "nothing there"))
		_, err := c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		got, err := c.GetOrLoad(ctx, "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 1, got)
		testkit.Settled(t, c)
		got, err = c.Get(ctx, "k")
		require.NoError(t, err)
		assert.Equal(t, 2, got)

		require.NoError(t, c.Expire(ctx, "k"))
		time.Sleep(10*time.Second + time.Millisecond)
		got, err = c.GetOrLoad(ctx, "k", testkit.Value(3))
		require.NoError(t, err)
		assert.Equal(t, 3, got, "not after the window")

		plain := testkit.NewCache[int](t, rdb)
		require.NoError(t, plain.Expire(ctx, "k"))
		assert.Zero(t, rdb.Exists(ctx, testkit.RedisKey).Val(), "without a window it is Invalidate")
	})
}

// Redis fails between the two halves of an Update: the retry closes the intent,
// so the key is not uncached until the intent ends by itself.
func TestTheRetryClosesAnIntentThatWasLeftOpen(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], cut *testkit.Outage) {
		err := one.Update(t.Context(), "k", func(context.Context) error {
			cut.On.Store(true)
			return nil
		})
		require.ErrorIs(t, err, cache.ErrPending)
		cut.On.Store(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Zero(t, one.Stats().Pending)
		_, err = two.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		_, err = two.Get(t.Context(), "k")
		assert.NoError(t, err, "stored again after 2 s, not after 30")
	})
}
