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
)

func TestWriteBehindIsReadableAtOnceAndReachesTheSinkInItsLatestVersion(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		putter, other := newPutter(t, rdb), newPutter(t, rdb)
		for _, v := range []string{"one", "two", "three"} {
			require.NoError(t, putter.Set(t.Context(), "k", v))
			has(t, putter, "k", v)
			has(t, other, "k", v, "another process reads it at once")
		}
		require.NoError(t, other.Set(t.Context(), "l", "alone"))

		rows := newLedger()
		worker := newBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, worker.Flush(t.Context()))
		assert.Equal(t, map[string]string{"k": "three", "l": "alone"}, rows.values())
		require.Len(t, rows.of("k"), 1, "the versions in between are not written")
		first := rows.of("k")[0]
		assert.NotZero(t, first.Version)
		assert.EqualValues(t, 2, worker.Stats().Flushed)
		has(t, other, "k", "three", "flushed, it is an ordinary entry")

		require.NoError(t, putter.Set(t.Context(), "k", "four"))
		require.NoError(t, worker.Flush(t.Context()))
		last := rows.of("k")[1]
		assert.Equal(t, "four", last.Value)
		assert.Greater(t, last.Version, first.Version, "versions are a fence")
	})
}

func TestWriteBehindDeleteIsATombstone(t *testing.T) {
	for name, absent := range map[string]time.Duration{"remembered": time.Minute, "not remembered": 0} {
		t.Run(name, func(t *testing.T) {
			eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
				rows, class := newLedger(), class(func(ttl *cache.TTL) { ttl.Absent = absent })
				putter := newPutter(t, rdb, class)
				require.NoError(t, putter.Set(t.Context(), "k", "v"))
				require.NoError(t, putter.Delete(t.Context(), "k", "never there"))
				_, err := putter.Get(t.Context(), "k")
				assert.ErrorIs(t, err, cache.ErrNotFound)
				_, err = putter.GetOrLoad(t.Context(), "k", mustNotLoad[string](t))
				assert.ErrorIs(t, err, cache.ErrNotFound, "a tombstone is an answer")

				worker := newBehind(t, rdb, rows, cache.WriteBehindOptions{}, class)
				require.NoError(t, worker.Flush(t.Context()))
				for _, key := range []string{"k", "never there"} {
					require.Len(t, rows.of(key), 1)
					got := rows.of(key)[0]
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
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, want := newLedger(), map[string]string{}
		for i := range 100 {
			want["key "+strconv.Itoa(i)] = strconv.Itoa(i)
		}
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, c.SetMany(t.Context(), want))
		for key, v := range want {
			has(t, c, key, v)
		}
		require.NoError(t, c.Flush(t.Context()))
		assert.Equal(t, want, rows.values())
		require.NoError(t, c.Delete(t.Context(), sortedKeys(want)...))
		require.NoError(t, c.Flush(t.Context()))
		assert.Empty(t, rows.values())
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
			inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				rows, class := newLedger(), class(func(ttl *cache.TTL) { ttl.StaleIfError = window })
				putter := newPutter(t, rdb, class)
				require.NoError(t, putter.Set(t.Context(), "k", "v"))
				for what, touch := range map[string]func() error{
					"Invalidate": func() error { return putter.Invalidate(t.Context(), "k", "other") },
					"Expire":     func() error { return putter.Expire(t.Context(), "k", "other") },
					"an hour":    func() error { time.Sleep(time.Hour); return nil },
				} {
					require.NoError(t, touch(), what)
					got, err := putter.GetOrLoad(t.Context(), "k", mustNotLoad[string](t))
					require.NoError(t, err, what)
					assert.Equal(t, "v", got, what)
				}
				worker := newBehind(t, rdb, rows, cache.WriteBehindOptions{}, class)
				require.NoError(t, worker.Flush(t.Context()))
				assert.Equal(t, map[string]string{"k": "v"}, rows.values(), "and it reached the sink")
				has(t, putter, "k", "v")
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
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := newLedger()
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{Interval: time.Second}, cache.WithXFetch(0))
		long := class(func(ttl *cache.TTL) { ttl.Fresh = time.Hour })
		short := class(func(ttl *cache.TTL) { ttl.Fresh = time.Minute })
		require.NoError(t, c.Set(t.Context(), "long", "v", long))
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"short": "v"}, short))
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(59 * time.Second)
		has(t, c, "short", "v")
		time.Sleep(2 * time.Second)
		_, err := c.Get(t.Context(), "short")
		assert.ErrorIs(t, err, cache.ErrMiss)
		has(t, c, "long", "v")

		got, err := c.GetOrLoad(t.Context(), "short", rows.load)
		require.NoError(t, err)
		assert.Equal(t, "v", got, "loaded from the system of record")
		assert.EqualValues(t, 1, c.Stats().Loads)
		has(t, c, "short", "v", "and stored")
	})
}

func TestWriteBehindLoadsUnderALease(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := newPutter(t, rdb), newPutter(t, rdb)
		row := newGated(func() string { return "row" })
		first := start(func() (string, error) { return c.GetOrLoad(t.Context(), "k", row.load) })
		soon(t, row.entered, "the load")
		second := start(func() (string, error) { return other.GetOrLoad(t.Context(), "k", mustNotLoad[string](t)) })
		eventually(t, waiting(other, 1), "the other process waits for it")
		close(row.release)
		assert.Equal(t, result[string]{v: "row"}, soon(t, first, "the load"))
		assert.Equal(t, result[string]{v: "row"}, soon(t, second, "the other's result"))
	})
}

// What a load read before the put is not stored over it.
func TestWriteBehindPutFencesARunningLoad(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := newPutter(t, rdb), newPutter(t, rdb)
		for name, putter := range map[string]*cache.Cache[string]{"by this process": c, "by another": other} {
			row := newGated(func() string { return "old" })
			refused := c.Stats().RefusedFills
			load := start(func() (string, error) { return c.GetOrLoad(t.Context(), name, row.load) })
			soon(t, row.entered, "the load")
			require.NoError(t, putter.Set(t.Context(), name, "new"))
			close(row.release)
			require.NoError(t, soon(t, load, "the load").err)
			has(t, c, name, "new")
			assert.Equal(t, refused+1, c.Stats().RefusedFills)
		}
	})
}

func TestWriteBehindUpdateFlushesItsKeyFirst(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := newLedger()
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{Interval: time.Hour})
		require.NoError(t, c.Set(t.Context(), "k", "put"))
		err := c.Update(t.Context(), "k", func(ctx context.Context) error {
			assert.Equal(t, map[string]string{"k": "put"}, rows.values(), "nothing older can follow this write")
			_, err := c.Get(ctx, "k")
			assert.ErrorIs(t, err, cache.ErrMiss, "while the write runs nothing is cached")
			rows.mu.Lock()
			defer rows.mu.Unlock()
			m := rows.rows["k"]
			m.Value, m.Version = "updated", m.Version+1
			rows.rows["k"] = m
			return nil
		})
		require.NoError(t, err)
		got, err := c.GetOrLoad(t.Context(), "k", rows.load)
		require.NoError(t, err)
		assert.Equal(t, "updated", got)
		has(t, c, "k", "updated")

		boom := errors.New("boom")
		err = c.Update(t.Context(), "k", func(context.Context) error { return boom })
		assert.True(t, err == boom, "unchanged: %v", err) //nolint:errorlint // the identity is the promise
	})
}

// afterLooks runs a function after each look of one client at the dirty keys.
type afterLooks struct {
	*outage
	then func()
}

func (a afterLooks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if cmds[0].Name() == "hmget" {
			a.then()
		}
		return err
	}
}

func TestWriteBehindUpdateOfAKeyThatIsPutAgainAtOnceIsRefused(t *testing.T) {
	eachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newPutter(t, rdb)
		puts := 0
		rdb.AddHook(afterLooks{&outage{}, func() {
			puts++
			assert.NoError(t, c.Set(t.Context(), "k", "again"))
		}})
		err := c.Update(t.Context(), "k", func(context.Context) error { return errors.New("the write was called") })
		assert.Equal(t, 1, puts, "the look at the key was intercepted")
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr)
		assert.Equal(t, "update", opErr.Op)
		has(t, c, "k", "again", "the put stays")
	})
}

func TestWriteBehindUpdateWaitsForTheSinkAsLongAsItsContextAllows(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, release := stuck()
		c := newBehind(t, rdb, rows, cache.WriteBehindOptions{})
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
