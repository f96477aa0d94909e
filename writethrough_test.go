package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
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

func TestWriteThroughWritesTheRowAndThenTheEntry(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		rows := testkit.NewTable()
		c := testkit.NewThrough(t, rdb, rows, testkit.Class(func(ttl *cache.TTL) { ttl.Absent = time.Minute }))
		require.NoError(t, c.Set(ctx, "1", testkit.Book{Title: "Emma"}))
		assert.Equal(t, "Emma", rows.Rows["1"].Title)
		got, err := c.Get(ctx, "1")
		require.NoError(t, err, "stored without a load")
		assert.Equal(t, "Emma", got.Title)

		require.NoError(t, c.Delete(ctx, "1"))
		assert.Empty(t, rows.Rows)
		_, err = c.Get(ctx, "1")
		assert.ErrorIs(t, err, cache.ErrNotFound, "the absence is remembered")

		require.NoError(t, c.SetMany(ctx, map[string]testkit.Book{"a": {Title: "A"}, "b": {Title: "B"}, "c": {Title: "C"}}))
		for key, title := range map[string]string{"a": "A", "b": "B", "c": "C"} {
			got, err := c.Get(ctx, key)
			require.NoError(t, err)
			assert.Equal(t, title, got.Title)
		}
		require.NoError(t, c.Delete(ctx, "a", "b", "c"))
		assert.Empty(t, rows.Rows)
	})
}

func TestWriteThroughKeepsWhatAReturningWriterStored(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewTable()
		c := testkit.NewThrough(t, rdb, testkit.Returning{Table: rows})
		_, err := c.GetOrLoad(t.Context(), "1", func(context.Context, string) (testkit.Book, error) {
			return testkit.Book{Title: "old", Version: 0}, nil
		})
		require.NoError(t, err)
		require.NoError(t, c.Set(t.Context(), "1", testkit.Book{Title: "Emma"}))
		require.NoError(t, c.Set(t.Context(), "1", testkit.Book{Title: "Emma 2"}))
		got, err := c.GetOrLoad(t.Context(), "1", rows.Load)
		require.NoError(t, err)
		assert.Equal(t, testkit.Book{Title: "Emma 2", Version: 2}, got)
	})
}

// The failure table of write-through: what fails, what is cached afterwards,
// and what the caller sees.
func TestWriteThroughFailureTable(t *testing.T) {
	boom := errors.New("boom")
	run := func(name string, test func(t *testing.T, c *cache.Cache[testkit.Book], rows *testkit.Table, cut *testkit.Outage)) {
		t.Run(name, func(t *testing.T) {
			b := cachetest.NewBubble(t)
			synctest.Test(t, func(t *testing.T) {
				cut, rows, rdb := &testkit.Outage{}, testkit.NewTable(), b.Redis(t)
				rdb.AddHook(cut)
				c := testkit.NewThrough(t, rdb, testkit.Returning{Table: rows})
				require.NoError(t, c.Set(t.Context(), "1", testkit.Book{Title: "before"}))
				_, err := c.GetOrLoad(t.Context(), "1", rows.Load)
				require.NoError(t, err)
				test(t, c, rows, cut)
				cut.On.Store(false)
				rows.Before, rows.After = nil, nil
				got, err := c.GetOrLoad(t.Context(), "1", rows.Load)
				require.NoError(t, err)
				assert.Equal(t, rows.Rows["1"], got, "nothing stale is served")
			})
		})
	}
	run("the writer fails before its commit: its error, nothing cached", func(t *testing.T, c *cache.Cache[testkit.Book], rows *testkit.Table, _ *testkit.Outage) {
		rows.Before = func() error { return boom }
		err := c.Set(t.Context(), "1", testkit.Book{Title: "after"})
		assert.True(t, err == boom) //nolint:errorlint // the identity is the promise
		_, err = c.Get(t.Context(), "1")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
	run("the writer fails behind its commit: the same", func(t *testing.T, c *cache.Cache[testkit.Book], rows *testkit.Table, _ *testkit.Outage) {
		rows.After = func() error { return boom }
		assert.ErrorIs(t, c.Set(t.Context(), "1", testkit.Book{Title: "after"}), boom)
		_, err := c.Get(t.Context(), "1")
		assert.ErrorIs(t, err, cache.ErrMiss)
		assert.Equal(t, "after", rows.Rows["1"].Title)
	})
	run("the writer panics: a PanicError, nothing cached", func(t *testing.T, c *cache.Cache[testkit.Book], rows *testkit.Table, _ *testkit.Outage) {
		rows.After = func() error { panic(boom) }
		var panicked *cache.PanicError
		assert.ErrorAs(t, c.Set(t.Context(), "1", testkit.Book{Title: "after"}), &panicked)
		_, err := c.Get(t.Context(), "1")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
	run("Redis is unreachable for the cache step: ErrPending, queued", func(t *testing.T, c *cache.Cache[testkit.Book], rows *testkit.Table, cut *testkit.Outage) {
		rows.After = func() error { cut.On.Store(true); return nil }
		assert.ErrorIs(t, c.Set(t.Context(), "1", testkit.Book{Title: "after"}), cache.ErrPending)
		assert.EqualValues(t, 1, c.Stats().Pending)
		cut.On.Store(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Zero(t, c.Stats().Pending)
	})
	run("Redis is down throughout: the write is made, ErrPending", func(t *testing.T, c *cache.Cache[testkit.Book], rows *testkit.Table, cut *testkit.Outage) {
		cut.On.Store(true)
		assert.ErrorIs(t, c.Set(t.Context(), "1", testkit.Book{Title: "after"}), cache.ErrPending)
		assert.Equal(t, "after", rows.Rows["1"].Title)
	})
	run("a load that began before the write ends after it: refused", func(t *testing.T, c *cache.Cache[testkit.Book], rows *testkit.Table, _ *testkit.Outage) {
		require.NoError(t, c.Invalidate(t.Context(), "1"))
		old := rows.Rows["1"]
		slowLoad := testkit.Start(func() (testkit.Book, error) {
			return c.GetOrLoad(t.Context(), "1", func(context.Context, string) (testkit.Book, error) {
				time.Sleep(time.Second)
				return old, nil
			})
		})
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.Set(t.Context(), "1", testkit.Book{Title: "after"}))
		require.NoError(t, (<-slowLoad).Err)
		got, err := c.GetOrLoad(t.Context(), "1", rows.Load)
		require.NoError(t, err)
		assert.Equal(t, "after", got.Title)
	})
}

func TestFailClosedRefusesAWriteWhileRedisIsDown(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		cut, rows, rdb := &testkit.Outage{}, testkit.NewTable(), b.Redis(t)
		rdb.AddHook(cut)
		c := testkit.NewThrough(t, rdb, rows, cache.FailClosed())
		cut.On.Store(true)
		for name, write := range map[string]func() error{
			"Set":    func() error { return c.Set(t.Context(), "1", testkit.Book{}) },
			"Delete": func() error { return c.Delete(t.Context(), "1") },
			"Update": func() error {
				return c.Update(t.Context(), "1", func(context.Context) error { rows.Version++; return nil })
			},
		} {
			err := write()
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr, name)
			assert.NotErrorIs(t, err, cache.ErrPending, name)
		}
		assert.Zero(t, rows.Version, "nothing was written")
		assert.Equal(t, int64(1), c.Stats().Pending, "an intent may be there, and is ended as soon as Redis answers")
		cut.On.Store(false)
		time.Sleep(2 * time.Second)
		assert.Zero(t, c.Stats().Pending)
	})
}

// The process dies after the commit and before the cache step. Its intent stays
// until its 30 s are over: nothing stale is served.
func TestWriteThroughSurvivesACrashAfterTheCommit(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		cut, rows, rdb := &testkit.Outage{}, testkit.NewTable(), b.Redis(t)
		rdb.AddHook(cut)
		dying := testkit.NewThrough(t, rdb, rows)
		c := testkit.NewThrough(t, b.Redis(t), rows)
		require.NoError(t, c.Set(t.Context(), "1", testkit.Book{Title: "before"}))
		rows.After = func() error { cut.On.Store(true); return nil }
		require.ErrorIs(t, dying.Set(t.Context(), "1", testkit.Book{Title: "after"}), cache.ErrPending)
		require.Error(t, dying.Close())
		rows.After = nil
		for range 40 {
			got, err := c.GetOrLoad(t.Context(), "1", rows.Load)
			require.NoError(t, err)
			require.Equal(t, "after", got.Title)
			time.Sleep(time.Second)
		}
		_, err := c.Get(t.Context(), "1")
		assert.NoError(t, err, "cached again after the intent")
	})
}

// Two writers whose cache steps come in the other order than their commits.
func TestReorderedWritersEndNewestOrAbsent(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewTable()
		c := testkit.NewThrough(t, rdb, testkit.Returning{Table: rows})
		wrong, cached := 0, 0
		const pairs = 200
		for range pairs {
			if rand.IntN(3) > 0 {
				_, err := c.GetOrLoad(t.Context(), "1", rows.Load)
				require.True(t, err == nil || errors.Is(err, cache.ErrNotFound))
			}
			var both sync.WaitGroup
			for _, title := range []string{"A", "B"} {
				both.Go(func() { assert.NoError(t, c.Set(t.Context(), "1", testkit.Book{Title: title})) })
			}
			both.Wait()
			got, err := c.Get(t.Context(), "1")
			if err == nil {
				if cached++; got != rows.Rows["1"] {
					wrong++
				}
			}
		}
		t.Logf("%d pairs of writers: %d wrong, %d cached, %d absent", pairs, wrong, cached, pairs-cached)
		assert.Zero(t, wrong)
	})
}

// Scenario 13. The older of two writers commits first and reaches the cache last, with
// evictions between them: it ends with the newest, or with nothing.
func TestAnOlderWriterThatReachesTheCacheLast(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		const pairs = 1000
		right, naive := 0, 0
		rows := testkit.NewTable()
		first, second := testkit.NewThrough(t, rdb, testkit.Returning{Table: rows}), testkit.NewThrough(t, rdb, testkit.Returning{Table: rows})
		var gate atomic.Pointer[chan struct{}]
		for range pairs {
			if rand.IntN(4) == 0 {
				require.NoError(t, rdb.Del(ctx, "books:1").Err()) // an eviction
			}
			if rand.IntN(2) == 0 {
				_, _ = first.GetOrLoad(ctx, "1", rows.Load)
			}
			// The older writer commits first and reaches the cache last.
			held, once := make(chan struct{}), sync.Once{}
			gate.Store(&held)
			committed := make(chan struct{})
			rows.After = func() error {
				mine := false
				once.Do(func() { mine = true; close(committed) })
				if mine {
					<-held
				}
				return nil
			}
			older := testkit.Start(func() (struct{}, error) { return struct{}{}, first.Set(ctx, "1", testkit.Book{Title: "older"}) })
			testkit.Soon(t, committed, "the older commit")
			require.NoError(t, second.Set(ctx, "1", testkit.Book{Title: "newer"}))
			close(held)
			require.NoError(t, testkit.Soon(t, older, "the older writer").Err)
			rows.After = nil
			got, err := first.Get(ctx, "1")
			if errors.Is(err, cache.ErrMiss) || err == nil && got == rows.Rows["1"] {
				right++
			}
			// The control: SETs in the same order.
			require.NoError(t, rdb.Set(ctx, "naive", "newer", 0).Err())
			require.NoError(t, rdb.Set(ctx, "naive", "older", 0).Err())
			if rdb.Get(ctx, "naive").Val() == "newer" {
				naive++
			}
		}
		t.Logf("newest or absent: %d of %d; plain SET: %d", right, pairs, naive)
		assert.Equal(t, pairs, right)
		assert.Zero(t, naive, "the control must see the reordering")
	})
}

func TestNewRefusesAWriterThatCannotDoWhatIsAsked(t *testing.T) {
	rdb := cachetest.Redis(t)
	_, err := cache.New(rdb, "books", cache.WriteThrough[testkit.Book](nil))
	assert.ErrorContains(t, err, "writer is nil")
}
