package cache_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

func TestWriteBehindIsReadableAtOnceAndReachesTheSinkInItsLatestVersion(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		putter, other := testkit.NewPutter(t, rdb), testkit.NewPutter(t, rdb)
		for _, v := range []string{"one", "two", "three"} {
			require.NoError(t, putter.Set(t.Context(), "k", v))
			testkit.Has(t, putter, "k", v)
			testkit.Has(t, other, "k", v, "another process reads it at once")
		}
		require.NoError(t, other.Set(t.Context(), "l", "alone"))

		rows := testkit.NewLedger()
		worker := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, worker.Flush(t.Context()))
		assert.Equal(t, map[string]string{"k": "three", "l": "alone"}, rows.Values())
		require.Len(t, rows.Of("k"), 1, "the versions in between are not written")
		first := rows.Of("k")[0]
		assert.NotZero(t, first.Version)
		assert.EqualValues(t, 2, worker.Stats().Flushed)
		testkit.Has(t, other, "k", "three", "flushed, it is an ordinary entry")

		require.NoError(t, putter.Set(t.Context(), "k", "four"))
		require.NoError(t, worker.Flush(t.Context()))
		last := rows.Of("k")[1]
		assert.Equal(t, "four", last.Value)
		assert.Greater(t, last.Version, first.Version, "versions are a fence")
	})
}

func TestWriteBehindDeleteIsATombstone(t *testing.T) {
	for name, absent := range map[string]time.Duration{"remembered": time.Minute, "not remembered": 0} {
		t.Run(name, func(t *testing.T) {
			testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
				rows, class := testkit.NewLedger(), testkit.Class(func(ttl *cache.TTL) { ttl.Absent = absent })
				putter := testkit.NewPutter(t, rdb, class)
				require.NoError(t, putter.Set(t.Context(), "k", "v"))
				require.NoError(t, putter.Delete(t.Context(), "k", "never there"))
				_, err := putter.Get(t.Context(), "k")
				assert.ErrorIs(t, err, cache.ErrNotFound)
				_, err = putter.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[string](t))
				assert.ErrorIs(t, err, cache.ErrNotFound, "a tombstone is an answer")

				worker := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{}, class)
				require.NoError(t, worker.Flush(t.Context()))
				for _, key := range []string{"k", "never there"} {
					require.Len(t, rows.Of(key), 1)
					got := rows.Of(key)[0]
					assert.Equal(t, cache.Mutation[string]{Key: key, Deleted: true, Version: got.Version}, got)
				}
				want := cache.ErrMiss
				if absent > 0 {
					want = cache.ErrNotFound
				}
				_, err = putter.Get(t.Context(), "k")
				assert.ErrorIs(t, err, want, "after it was flushed")
			})
		})
	}
}

func TestWriteBehindSetManyAndDeleteOfMany(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, want := testkit.NewLedger(), map[string]string{}
		for i := range 100 {
			want["key "+strconv.Itoa(i)] = strconv.Itoa(i)
		}
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.SetMany(t.Context(), want))
		for key, v := range want {
			testkit.Has(t, c, key, v)
		}
		require.NoError(t, c.Flush(t.Context()))
		assert.Equal(t, want, rows.Values())
		require.NoError(t, c.Delete(t.Context(), testkit.SortedKeys(want)...))
		require.NoError(t, c.Flush(t.Context()))
		assert.Empty(t, rows.Values())
		for key := range want {
			_, err := c.Get(t.Context(), key)
			require.Error(t, err, key)
		}
	})
}

// Neither time nor Invalidate nor Expire touches what is not in the sink yet.
func TestWriteBehindKeepsADirtyRecord(t *testing.T) {
	for name, window := range map[string]time.Duration{"with a stale window": time.Minute, "without": 0} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				rows, class := testkit.NewLedger(), testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.StaleIfError = 10*time.Second, window })
				putter := testkit.NewPutter(t, rdb, class)
				require.NoError(t, putter.Set(t.Context(), "k", "v"))
				for what, touch := range map[string]func() error{
					"Invalidate": func() error { return putter.Invalidate(t.Context(), "k", "other") },
					"Expire":     func() error { return putter.Expire(t.Context(), "k", "other") },
					"the end of all that its class gives an entry": func() error { time.Sleep(10 * time.Minute); return nil },
				} {
					require.NoError(t, touch(), what)
					got, err := putter.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[string](t))
					require.NoError(t, err, what)
					assert.Equal(t, "v", got, what)
				}
				worker := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{}, class)
				require.NoError(t, worker.Flush(t.Context()))
				assert.Equal(t, map[string]string{"k": "v"}, rows.Values(), "and it reached the sink")
				testkit.Has(t, putter, "k", "v")
				require.NoError(t, putter.Expire(t.Context(), "k"))
				_, err := putter.Get(t.Context(), "k")
				assert.ErrorIs(t, err, cache.ErrMiss, "flushed, it can be expired")
				require.NoError(t, putter.Set(t.Context(), "k", "w"))
				require.NoError(t, worker.Flush(t.Context()))
				require.NoError(t, putter.Invalidate(t.Context(), "k"))
				_, err = putter.Get(t.Context(), "k")
				assert.ErrorIs(t, err, cache.ErrMiss, "and invalidated")
			})
		})
	}
}

// A value lives for its class from the moment on at which it is in the sink.
func TestWriteBehindEntriesExpireOnceTheyAreFlushed(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Interval: time.Second}, cache.WithXFetch(0))
		long := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Hour })
		short := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Minute })
		require.NoError(t, c.Set(t.Context(), "long", "v", long))
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"short": "v"}, short))
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(59 * time.Second)
		testkit.Has(t, c, "short", "v")
		time.Sleep(2 * time.Second)
		_, err := c.Get(t.Context(), "short")
		assert.ErrorIs(t, err, cache.ErrMiss)
		testkit.Has(t, c, "long", "v")

		got, err := c.GetOrLoad(t.Context(), "short", rows.Load)
		require.NoError(t, err)
		assert.Equal(t, "v", got, "loaded from the system of record")
		assert.EqualValues(t, 1, c.Stats().Loads)
		testkit.Has(t, c, "short", "v", "and stored")
	})
}

func TestWriteBehindLoadsUnderALease(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.NewPutter(t, rdb), testkit.NewPutter(t, rdb)
		row := testkit.NewGated(func() string { return "row" })
		first := testkit.Start(func() (string, error) { return c.GetOrLoad(t.Context(), "k", row.Load) })
		testkit.Soon(t, row.Entered, "the load")
		second := testkit.Start(func() (string, error) { return other.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[string](t)) })
		testkit.Eventually(t, testkit.Waiting(other, 1), "the other process waits for it")
		close(row.Release)
		assert.Equal(t, testkit.Result[string]{V: "row"}, testkit.Soon(t, first, "the load"))
		assert.Equal(t, testkit.Result[string]{V: "row"}, testkit.Soon(t, second, "the other's result"))
	})
}

// What a load read before the put is not stored over it.
func TestWriteBehindPutFencesARunningLoad(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.NewPutter(t, rdb), testkit.NewPutter(t, rdb)
		for name, putter := range map[string]*cache.Cache[string]{"by this process": c, "by another": other} {
			row := testkit.NewGated(func() string { return "old" })
			refused := c.Stats().RefusedFills
			load := testkit.Start(func() (string, error) { return c.GetOrLoad(t.Context(), name, row.Load) })
			testkit.Soon(t, row.Entered, "the load")
			require.NoError(t, putter.Set(t.Context(), name, "new"))
			close(row.Release)
			require.NoError(t, testkit.Soon(t, load, "the load").Err)
			testkit.Has(t, c, name, "new")
			assert.Equal(t, refused+1, c.Stats().RefusedFills)
		}
	})
}

func TestWriteBehindUpdateFlushesItsKeyFirst(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Interval: time.Hour})
		require.NoError(t, c.Set(t.Context(), "k", "put"))
		err := c.Update(t.Context(), "k", func(ctx context.Context) error {
			assert.Equal(t, map[string]string{"k": "put"}, rows.Values(), "nothing older can follow this write")
			_, err := c.Get(ctx, "k")
			assert.ErrorIs(t, err, cache.ErrMiss, "while the write runs nothing is cached")
			rows.Mu.Lock()
			defer rows.Mu.Unlock()
			m := rows.Rows["k"]
			m.Value, m.Version = "updated", m.Version+1
			rows.Rows["k"] = m
			return nil
		})
		require.NoError(t, err)
		got, err := c.GetOrLoad(t.Context(), "k", rows.Load)
		require.NoError(t, err)
		assert.Equal(t, "updated", got)
		testkit.Has(t, c, "k", "updated")

		boom := errors.New("boom")
		err = c.Update(t.Context(), "k", func(context.Context) error { return boom })
		assert.True(t, err == boom, "unchanged: %v", err) //nolint:errorlint // the identity is the promise
	})
}

// afterLooks runs a function after each look of one client at a key before it is written
// past the cache, which is the script of the four keys.
type afterLooks struct {
	*testkit.Outage
	then func()
}

func (a afterLooks) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); len(args) > 2 && args[2] == 4 && err == nil {
			a.then()
		}
		return err
	}
}

func TestWriteBehindUpdateOfAKeyThatIsPutAgainAtOnceIsRefused(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewPutter(t, rdb)
		puts := 0
		rdb.AddHook(afterLooks{&testkit.Outage{}, func() {
			puts++
			assert.NoError(t, c.Set(t.Context(), "k", "again"))
		}})
		err := c.Update(t.Context(), "k", func(context.Context) error { return errors.New("the write was called") })
		assert.Equal(t, 1, puts, "the look at the key was intercepted")
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr)
		assert.Equal(t, "update", opErr.Op)
		testkit.Has(t, c, "k", "again", "the put stays")
	})
}

func TestWriteBehindUpdateWaitsForTheSinkAsLongAsItsContextAllows(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, release := testkit.Stuck()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Update(ctx, "k", func(context.Context) error { return errors.New("the write was called") })
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
		called := false
		require.NoError(t, c.Update(t.Context(), "k", func(context.Context) error { called = true; return nil }))
		assert.True(t, called)
	})
}
