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
)

// book is a row with a version that the table assigns.
type book struct {
	Title   string
	Version uint64
}

func (b book) CacheVersion() uint64 { return b.Version }

// table is a system of record: a writer, and the loader of what it holds.
type table struct {
	mu      sync.Mutex
	rows    map[string]book
	version uint64
	before  func() error // runs in each write; its error fails the write
	after   func() error // runs behind the commit; its error is reported, the write stays
}

func newTable() *table { return &table{rows: map[string]book{}} }

func (t *table) change(f func()) error {
	if t.before != nil {
		if err := t.before(); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.version++
	f()
	t.mu.Unlock()
	if t.after != nil {
		return t.after()
	}
	return nil
}

func (t *table) Write(_ context.Context, key string, b book) error {
	return t.change(func() { b.Version = t.version; t.rows[key] = b })
}

func (t *table) Delete(_ context.Context, key string) error {
	return t.change(func() { delete(t.rows, key) })
}

func (t *table) load(_ context.Context, key string) (book, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ok := t.rows[key]
	if !ok {
		return b, cache.ErrNotFound
	}
	return b, nil
}

// returning is a table that returns what it stored.
type returning struct{ *table }

func (r returning) WriteReturning(_ context.Context, key string, b book) (stored book, err error) {
	err = r.change(func() { b.Version = r.version; r.rows[key] = b; stored = b })
	return stored, err
}

func newThrough(t testing.TB, rdb redis.UniversalClient, w cache.Writer[book], opts ...any) *cache.Cache[book] {
	t.Helper()
	var through []cache.WriteThroughOption
	var options cache.Options
	for _, o := range opts {
		switch o := o.(type) {
		case cache.WriteThroughOption:
			through = append(through, o)
		case cache.Option:
			options = append(options, o)
		}
	}
	c, err := cache.New(rdb, "books", cache.WriteThrough(w, through...), patient(), options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestWriteThroughWritesTheRowAndThenTheEntry(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		rows := newTable()
		c := newThrough(t, rdb, rows, class(func(ttl *cache.TTL) { ttl.Absent = time.Minute }))
		require.NoError(t, c.Set(ctx, "1", book{Title: "Emma"}))
		assert.Equal(t, "Emma", rows.rows["1"].Title)
		got, err := c.Get(ctx, "1")
		require.NoError(t, err, "stored without a load")
		assert.Equal(t, "Emma", got.Title)

		require.NoError(t, c.Delete(ctx, "1"))
		assert.Empty(t, rows.rows)
		_, err = c.Get(ctx, "1")
		assert.ErrorIs(t, err, cache.ErrNotFound, "the absence is remembered")

		require.NoError(t, c.SetMany(ctx, map[string]book{"a": {Title: "A"}, "b": {Title: "B"}, "c": {Title: "C"}}))
		for key, title := range map[string]string{"a": "A", "b": "B", "c": "C"} {
			got, err := c.Get(ctx, key)
			require.NoError(t, err)
			assert.Equal(t, title, got.Title)
		}
		require.NoError(t, c.Delete(ctx, "a", "b", "c"))
		assert.Empty(t, rows.rows)
	})
}

func TestWriteThroughKeepsWhatAReturningWriterStored(t *testing.T) {
	for name, opts := range map[string][]any{"guarded": nil, "unguarded": {cache.Unguarded()}} {
		t.Run(name, func(t *testing.T) {
			eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				rows := newTable()
				c := newThrough(t, rdb, returning{rows}, opts...)
				_, err := c.GetOrLoad(t.Context(), "1", func(context.Context, string) (book, error) { return book{"old", 0}, nil })
				require.NoError(t, err)
				require.NoError(t, c.Set(t.Context(), "1", book{Title: "Emma"}))
				require.NoError(t, c.Set(t.Context(), "1", book{Title: "Emma 2"}))
				got, err := c.GetOrLoad(t.Context(), "1", rows.load)
				require.NoError(t, err)
				assert.Equal(t, book{"Emma 2", 2}, got)
			})
		})
	}
}

// The failure table of write-through: what fails, what is cached afterwards,
// and what the caller sees.
func TestWriteThroughFailureTable(t *testing.T) {
	boom := errors.New("boom")
	for _, mode := range []struct {
		name string
		opts []any
	}{{"guarded", nil}, {"unguarded", []any{cache.Unguarded()}}} {
		run := func(name string, test func(t *testing.T, c *cache.Cache[book], rows *table, cut *outage)) {
			t.Run(mode.name+": "+name, func(t *testing.T) {
				b := cachetest.NewBubble(t)
				synctest.Test(t, func(t *testing.T) {
					cut, rows, rdb := &outage{}, newTable(), b.Redis(t)
					rdb.AddHook(cut)
					c := newThrough(t, rdb, returning{rows}, mode.opts...)
					require.NoError(t, c.Set(t.Context(), "1", book{Title: "before"}))
					_, err := c.GetOrLoad(t.Context(), "1", rows.load)
					require.NoError(t, err)
					test(t, c, rows, cut)
					cut.on.Store(false)
					rows.before, rows.after = nil, nil
					got, err := c.GetOrLoad(t.Context(), "1", rows.load)
					require.NoError(t, err)
					assert.Equal(t, rows.rows["1"], got, "nothing stale is served")
				})
			})
		}
		run("the writer fails before its commit: its error, nothing cached", func(t *testing.T, c *cache.Cache[book], rows *table, _ *outage) {
			rows.before = func() error { return boom }
			err := c.Set(t.Context(), "1", book{Title: "after"})
			assert.True(t, err == boom) //nolint:errorlint // the identity is the promise
			_, err = c.Get(t.Context(), "1")
			assert.ErrorIs(t, err, cache.ErrMiss)
		})
		run("the writer fails behind its commit: the same", func(t *testing.T, c *cache.Cache[book], rows *table, _ *outage) {
			rows.after = func() error { return boom }
			assert.ErrorIs(t, c.Set(t.Context(), "1", book{Title: "after"}), boom)
			_, err := c.Get(t.Context(), "1")
			assert.ErrorIs(t, err, cache.ErrMiss)
			assert.Equal(t, "after", rows.rows["1"].Title)
		})
		run("the writer panics: a PanicError, nothing cached", func(t *testing.T, c *cache.Cache[book], rows *table, _ *outage) {
			rows.after = func() error { panic(boom) }
			var panicked *cache.PanicError
			assert.ErrorAs(t, c.Set(t.Context(), "1", book{Title: "after"}), &panicked)
			_, err := c.Get(t.Context(), "1")
			assert.ErrorIs(t, err, cache.ErrMiss)
		})
		run("Redis is unreachable for the cache step: ErrPending, queued", func(t *testing.T, c *cache.Cache[book], rows *table, cut *outage) {
			rows.after = func() error { cut.on.Store(true); return nil }
			assert.ErrorIs(t, c.Set(t.Context(), "1", book{Title: "after"}), cache.ErrPending)
			assert.EqualValues(t, 1, c.Stats().Pending)
			cut.on.Store(false)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			assert.Zero(t, c.Stats().Pending)
		})
		run("Redis is down throughout: the write is made, ErrPending", func(t *testing.T, c *cache.Cache[book], rows *table, cut *outage) {
			cut.on.Store(true)
			assert.ErrorIs(t, c.Set(t.Context(), "1", book{Title: "after"}), cache.ErrPending)
			assert.Equal(t, "after", rows.rows["1"].Title)
		})
		run("a load that began before the write ends after it: refused", func(t *testing.T, c *cache.Cache[book], rows *table, _ *outage) {
			require.NoError(t, c.Invalidate(t.Context(), "1"))
			old := rows.rows["1"]
			slowLoad := start(func() (book, error) {
				return c.GetOrLoad(t.Context(), "1", func(context.Context, string) (book, error) {
					time.Sleep(time.Second)
					return old, nil
				})
			})
			time.Sleep(100 * time.Millisecond)
			require.NoError(t, c.Set(t.Context(), "1", book{Title: "after"}))
			require.NoError(t, (<-slowLoad).err)
			got, err := c.GetOrLoad(t.Context(), "1", rows.load)
			require.NoError(t, err)
			assert.Equal(t, "after", got.Title)
		})
	}
}

func TestFailClosedRefusesAWriteWhileRedisIsDown(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		cut, rows, rdb := &outage{}, newTable(), b.Redis(t)
		rdb.AddHook(cut)
		c := newThrough(t, rdb, rows, cache.FailClosed())
		cut.on.Store(true)
		for name, write := range map[string]func() error{
			"Set":    func() error { return c.Set(t.Context(), "1", book{}) },
			"Delete": func() error { return c.Delete(t.Context(), "1") },
			"Update": func() error {
				return c.Update(t.Context(), "1", func(context.Context) error { rows.version++; return nil })
			},
		} {
			err := write()
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr, name)
			assert.NotErrorIs(t, err, cache.ErrPending, name)
		}
		assert.Zero(t, rows.version, "nothing was written")
		assert.Equal(t, int64(1), c.Stats().Pending, "an intent may be there, and is ended as soon as Redis answers")
		cut.on.Store(false)
		time.Sleep(2 * time.Second)
		assert.Zero(t, c.Stats().Pending)
	})
}

// The process dies after the commit and before the cache step. Its intent stays
// until its 30 s are over: nothing stale is served.
func TestWriteThroughSurvivesACrashAfterTheCommit(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		cut, rows, rdb := &outage{}, newTable(), b.Redis(t)
		rdb.AddHook(cut)
		dying := newThrough(t, rdb, rows)
		c := newThrough(t, b.Redis(t), rows)
		require.NoError(t, c.Set(t.Context(), "1", book{Title: "before"}))
		rows.after = func() error { cut.on.Store(true); return nil }
		require.ErrorIs(t, dying.Set(t.Context(), "1", book{Title: "after"}), cache.ErrPending)
		require.Error(t, dying.Close())
		rows.after = nil
		for range 40 {
			got, err := c.GetOrLoad(t.Context(), "1", rows.load)
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
	for name, opts := range map[string][]any{"guarded": nil, "unguarded": {cache.Unguarded()}} {
		t.Run(name, func(t *testing.T) {
			eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				rows := newTable()
				c := newThrough(t, rdb, returning{rows}, opts...)
				wrong, cached := 0, 0
				const pairs = 200
				for range pairs {
					if rand.IntN(3) > 0 {
						_, err := c.GetOrLoad(t.Context(), "1", rows.load)
						require.True(t, err == nil || errors.Is(err, cache.ErrNotFound))
					}
					var both sync.WaitGroup
					for _, title := range []string{"A", "B"} {
						both.Go(func() { assert.NoError(t, c.Set(t.Context(), "1", book{Title: title})) })
					}
					both.Wait()
					got, err := c.Get(t.Context(), "1")
					if err == nil {
						if cached++; got != rows.rows["1"] {
							wrong++
						}
					}
				}
				t.Logf("%d pairs of writers: %d wrong, %d cached, %d absent", pairs, wrong, cached, pairs-cached)
				assert.Zero(t, wrong)
			})
		})
	}
}

// Scenario 13. Versions reach the cache in any order, with evictions between
// them: it ends with the newest, or with nothing.
func TestSetvReorder(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		const pairs = 1000
		right, naive := 0, 0
		rows := newTable()
		first, second := newThrough(t, rdb, returning{rows}, cache.Unguarded()), newThrough(t, rdb, returning{rows}, cache.Unguarded())
		var gate atomic.Pointer[chan struct{}]
		for range pairs {
			if rand.IntN(4) == 0 {
				require.NoError(t, rdb.Del(ctx, "books:1").Err()) // an eviction
			}
			if rand.IntN(2) == 0 {
				_, _ = first.GetOrLoad(ctx, "1", rows.load)
			}
			// The older writer commits first and reaches the cache last.
			held, once := make(chan struct{}), sync.Once{}
			gate.Store(&held)
			committed := make(chan struct{})
			rows.after = func() error {
				mine := false
				once.Do(func() { mine = true; close(committed) })
				if mine {
					<-held
				}
				return nil
			}
			older := start(func() (struct{}, error) { return struct{}{}, first.Set(ctx, "1", book{Title: "older"}) })
			soon(t, committed, "the older commit")
			require.NoError(t, second.Set(ctx, "1", book{Title: "newer"}))
			close(held)
			require.NoError(t, soon(t, older, "the older writer").err)
			rows.after = nil
			got, err := first.Get(ctx, "1")
			if errors.Is(err, cache.ErrMiss) || err == nil && got == rows.rows["1"] {
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
	_, err := cache.New(rdb, "books", cache.WriteThrough[book](nil))
	assert.ErrorContains(t, err, "writer is nil")
	_, err = cache.New(rdb, "books", cache.WriteThrough[book](newTable(), cache.Unguarded()))
	assert.ErrorContains(t, err, "ReturningWriter")
}
