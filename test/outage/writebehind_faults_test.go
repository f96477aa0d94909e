package outage_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestWriteBehindBackpressureRefuses(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		o := cache.WriteBehindOptions{Partitions: 1, MaxDirty: 2, Refuse: true}
		c := testkit.NewBehind(t, rdb, nil, o)
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"a": "1", "b": "2"}))
		err := c.Set(t.Context(), "c", "3")
		assert.True(t, err == cache.ErrBackpressure, "%v", err) //nolint:errorlint // bare
		assert.ErrorIs(t, c.Delete(t.Context(), "d"), cache.ErrBackpressure, "a tombstone is a put")
		_, err = c.Get(t.Context(), "c")
		assert.ErrorIs(t, err, cache.ErrMiss, "nothing was stored")
		require.NoError(t, c.Set(t.Context(), "a", "4"), "what is dirty already takes no room")
		require.NoError(t, c.Delete(t.Context(), "b"))
		assert.Zero(t, c.Stats().RedisErrors)

		worker := testkit.NewBehind(t, rdb, testkit.NewLedger(), o)
		require.NoError(t, worker.Flush(t.Context()))
		assert.NoError(t, c.Set(t.Context(), "c", "3"), "there is room")
	})
}

func TestWriteBehindBackpressureWaitsForRoom(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, entered, release := testkit.Stuck()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 1, MaxDirty: 1})
		require.NoError(t, c.Set(t.Context(), "a", "1"))
		testkit.Soon(t, entered, "the sink")
		set := testkit.Start(func() (struct{}, error) { return struct{}{}, c.Set(t.Context(), "b", "3") })
		close(release)
		require.NoError(t, testkit.Soon(t, set, "room").Err)
		require.NoError(t, c.Flush(t.Context()))
		assert.Equal(t, map[string]string{"a": "1", "b": "3"}, rows.Values())
	})
}

// In a bubble the context ends while it waits, and never while a put is under way,
// which may still take effect and is no back-pressure.
func TestWriteBehindBackpressureWaitsAsLongAsItsContextAllows(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 1, MaxDirty: 1})
		require.NoError(t, c.Set(t.Context(), "a", "1"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Set(ctx, "b", "2")
		assert.ErrorIs(t, err, cache.ErrBackpressure)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = c.Get(t.Context(), "b")
		assert.ErrorIs(t, err, cache.ErrMiss, "nothing was stored")
	})
}

func TestWriteBehindCloseEndsTheWaitForRoom(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 1, MaxDirty: 1})
		require.NoError(t, c.Set(t.Context(), "a", "1"))
		set := testkit.Start(func() (struct{}, error) { return struct{}{}, c.Set(t.Context(), "b", "2") })
		time.Sleep(time.Second)
		dirtyLeft(t, c.Close(), 1)
		assert.ErrorIs(t, (<-set).Err, cache.ErrClosed)
	})
}

func TestWriteBehindDeadLetters(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		type death struct {
			key     string
			version uint64
		}
		deaths := make(chan death, 10)
		rows, bad := testkit.Picky(func() error { return testkit.ErrRefused })
		c := testkit.NewBehind(t, rdb, rows, testkit.OneTry, cache.WithHooks(cache.Hooks{DeadLetter: func(key string, version uint64, err error) {
			assert.ErrorIs(t, err, testkit.ErrRefused)
			deaths <- death{key, version}
		}}))
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"a": "bad", "b": "good", "c": "good"}))
		require.NoError(t, c.Flush(t.Context()), "a dead letter is not waited for")
		assert.Equal(t, map[string]string{"b": "good", "c": "good"}, rows.Values(), "the neighbours are written")
		died := testkit.Soon(t, deaths, "the hook")
		assert.Equal(t, "a", died.key)

		all := testkit.Letters(t, c)
		require.Len(t, all, 1)
		letter := all[0]
		assert.Equal(t, cache.DeadLetter{
			ID: letter.ID, Key: "a", Version: died.version, Data: []byte(`"bad"`), Reason: testkit.ErrRefused.Error(),
		}, letter)
		_, err := c.Get(t.Context(), "a")
		assert.ErrorIs(t, err, cache.ErrMiss, "readers get what the system of record has")
		_, err = c.GetOrLoad(t.Context(), "a", rows.Load)
		assert.ErrorIs(t, err, cache.ErrNotFound)

		bad.Store(false)
		require.NoError(t, c.RetryDeadLetter(t.Context(), letter.ID))
		testkit.Has(t, c, "a", "bad", "readers see it again at once")
		require.NoError(t, c.Flush(t.Context()))
		require.Len(t, rows.Of("a"), 1)
		assert.Equal(t, died.version, rows.Of("a")[0].Version, "it kept its version")
		assert.Empty(t, testkit.Letters(t, c))
		assert.ErrorIs(t, c.RetryDeadLetter(t.Context(), letter.ID), cache.ErrNotFound)
	})
}

// A later put takes the letter's place; a later Update leaves it to be seen, but not to be
// retried (W20).
func TestWriteBehindRetryIsRefusedOverSomethingNewer(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, _ := testkit.Picky(func() error { return testkit.ErrRefused })
		c := testkit.NewBehind(t, rdb, rows, testkit.OneTry)
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"k": "bad", "l": "bad"}))
		require.NoError(t, c.Flush(t.Context()))
		all := testkit.Letters(t, c)
		require.Len(t, all, 2)
		ids := map[string]string{all[0].Key: all[0].ID, all[1].Key: all[1].ID}
		require.NoError(t, c.Set(t.Context(), "k", "newer"))
		for _, state := range []string{"dirty", "flushed"} {
			assert.ErrorIs(t, c.RetryDeadLetter(t.Context(), ids["k"]), cache.ErrNotFound, state)
			testkit.Has(t, c, "k", "newer", state)
			require.NoError(t, c.Flush(t.Context()))
		}
		assert.Equal(t, map[string]string{"k": "newer"}, rows.Values())

		require.NoError(t, c.Update(t.Context(), "l", func(context.Context) error { return nil }))
		for range 2 {
			err := c.RetryDeadLetter(t.Context(), ids["l"])
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr)
			assert.Equal(t, "retry dead letter", opErr.Op)
			assert.NotErrorIs(t, err, cache.ErrNotFound)
		}
		n, err := c.RetryDeadLetters(t.Context(), nil)
		require.NoError(t, err)
		assert.Zero(t, n)
		require.Len(t, testkit.Letters(t, c), 1)
		n, err = c.DropDeadLetters(t.Context(), func(l cache.DeadLetter) bool { return l.Reason == testkit.ErrRefused.Error() })
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.Empty(t, testkit.Letters(t, c))
	})
}

func TestWriteBehindDropsADeadLetter(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, _ := testkit.Picky(func() error { return testkit.ErrRefused })
		c := testkit.NewBehind(t, rdb, rows, testkit.OneTry)
		require.NoError(t, c.Delete(t.Context(), "a", "b"))
		require.NoError(t, c.Flush(t.Context()))
		all := testkit.Letters(t, c)
		require.Len(t, all, 2)
		assert.True(t, all[0].Deleted)
		assert.Nil(t, all[0].Data)
		for range c.DeadLetters(t.Context()) {
			break // a reader may stop
		}
		require.NoError(t, c.DropDeadLetter(t.Context(), all[0].ID))
		assert.Equal(t, all[1:], testkit.Letters(t, c))
		for _, id := range []string{all[0].ID, "", "nonsense", "99:1-1"} {
			err := c.DropDeadLetter(t.Context(), id)
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr, id)
			assert.ErrorIs(t, err, cache.ErrNotFound, id)
		}
	})
}

func TestDeadLettersOfTheOtherStrategiesAreUnsupported(t *testing.T) {
	t.Parallel()
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	assert.ErrorIs(t, c.RetryDeadLetter(t.Context(), "0:1-1"), errors.ErrUnsupported)
	assert.ErrorIs(t, c.DropDeadLetter(t.Context(), "0:1-1"), errors.ErrUnsupported)
	_, err := c.RetryDeadLetters(t.Context(), nil)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = c.DropDeadLetters(t.Context(), nil)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	n := 0
	for _, err := range c.DeadLetters(t.Context()) {
		n++
		assert.ErrorIs(t, err, errors.ErrUnsupported)
	}
	assert.Equal(t, 1, n)
}

// What the sink does to itself it does to nobody else.
func TestWriteBehindContainsTheSink(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"a panic":       func() error { panic("poison") },
		"a nil pointer": func() error { var m *cache.Mutation[string]; _ = m.Key; return nil },
		"its Goexit":    func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			rows, _ := testkit.Picky(fail)
			rdb := cachetest.Redis(t)
			c := testkit.NewBehind(t, rdb, rows, testkit.OneTry)
			require.NoError(t, c.SetMany(t.Context(), map[string]string{"a": "bad", "b": "good"}))
			testkit.Eventually(t, func() bool {
				rdb.Advance(time.Minute)
				require.NoError(t, c.Set(t.Context(), "b", "good")) // a try counts while the sink takes something else
				return len(testkit.Letters(t, c)) == 1
			}, "the dead letter")
			require.NoError(t, c.Flush(t.Context()))
			assert.Equal(t, map[string]string{"b": "good"}, rows.Values())
			all := testkit.Letters(t, c)
			require.Len(t, all, 1)
			assert.Equal(t, "a", all[0].Key)
			assert.NotEmpty(t, all[0].Reason)
			assert.NotZero(t, c.Stats().FlushErrors)
			require.NoError(t, c.Set(t.Context(), "c", "good"))
			require.NoError(t, c.Shutdown(t.Context()), "the workers are alive")
			assert.Equal(t, map[string]string{"b": "good", "c": "good"}, rows.Values())
		})
	}
}

// While Redis is down nothing can be put, and nobody is told otherwise.
func TestWriteBehindPutFailsWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	rows := testkit.NewLedger()
	c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
	require.NoError(t, c.Set(t.Context(), "k", "before"))
	require.NoError(t, c.Flush(t.Context()))
	rdb.Fail("LOADING Redis is loading the dataset in memory")
	for name, call := range map[string]func() error{
		"Set":     func() error { return c.Set(t.Context(), "k", "after") },
		"SetMany": func() error { return c.SetMany(t.Context(), map[string]string{"k": "after", "l": "after"}) },
		"Delete":  func() error { return c.Delete(t.Context(), "k") },
		"Retry":   func() error { return c.RetryDeadLetter(t.Context(), "0:1-1") },
	} {
		var opErr *cache.OpError
		require.ErrorAs(t, call(), &opErr, name)
	}
	for _, err := range c.DeadLetters(t.Context()) {
		var opErr *cache.OpError
		assert.ErrorAs(t, err, &opErr)
	}
	assert.Error(t, c.Flush(t.Context()))
	got, err := c.GetOrLoad(t.Context(), "k", rows.Load)
	require.NoError(t, err, "reads go on")
	assert.Equal(t, "before", got)
	assert.NotZero(t, c.Stats().RedisErrors)
	rdb.Heal()
	testkit.Eventually(t, func() bool { return c.Set(t.Context(), "k", "healed") == nil }, "Redis back")
	require.NoError(t, c.Flush(t.Context()))
	assert.Equal(t, "healed", rows.Values()["k"])
}

func TestWriteBehindRefusesAServerThatMayLoseWrites(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options []redistest.Option
		want    string
	}{
		"evicts anything":    {[]redistest.Option{redistest.AppendOnly("no"), redistest.MaxMemory(1<<30, "allkeys-lru")}, "allkeys-lru"},
		"evicts at random":   {[]redistest.Option{redistest.AppendOnly("no"), redistest.MaxMemory(1<<30, "allkeys-random")}, "allkeys-random"},
		"keeps nothing":      {nil, "appendonly yes"},
		"evicts entries":     {[]redistest.Option{redistest.AppendOnly("no"), redistest.MaxMemory(1<<30, "volatile-lru")}, ""},
		"only has snapshots": {[]redistest.Option{redistest.Config("save", "900 1")}, "appendonly yes"}, // W9
	} {
		t.Run(name, func(t *testing.T) {
			rdb := redistest.Single(t, test.options...).Client(t)
			c, err := testkit.OpenBehind(rdb, testkit.NewLedger(), cache.WriteBehindOptions{})
			if test.want == "" {
				require.NoError(t, err)
				require.NoError(t, c.Close())
				return
			}
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr)
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, "AcceptVolatile")
			assert.Zero(t, rdb.DBSize(t.Context()).Val(), "nothing was claimed")
			c, err = testkit.OpenBehind(rdb, testkit.NewLedger(), cache.WriteBehindOptions{AcceptVolatile: testkit.VolatileIsFine})
			require.NoError(t, err)
			require.NoError(t, c.Close())
		})
	}
	t.Run("does not tell", func(t *testing.T) {
		_, err := testkit.OpenBehind(cachetest.Redis(t).Client, testkit.NewLedger(), cache.WriteBehindOptions{})
		assert.ErrorContains(t, err, "INFO does not tell")
	})
}

func TestWriteBehindRefusesAnUnreachableRedisSoon(t *testing.T) {
	t.Parallel()
	server := testkit.Durable(t)
	for name, o := range map[string]cache.WriteBehindOptions{"": {}, "volatile accepted": {AcceptVolatile: testkit.VolatileIsFine}} {
		rdb := server.Client(t)
		server.Pause()
		began := time.Now()
		_, err := testkit.OpenOnce(rdb, testkit.NewLedger(), o)
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr, name)
		assert.Less(t, time.Since(began), 10*time.Second, "%s: it has 2 s", name)
		server.Resume()
	}
}

func TestWriteBehindRefusesBadOptions(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	for field, o := range map[string]cache.WriteBehindOptions{
		"Partitions": {Partitions: -1}, "BatchSize": {BatchSize: -1}, "MaxDirty": {MaxDirty: -1},
		"MaxAttempts": {MaxAttempts: -1}, "Interval": {Interval: -1}, "SinkTimeout": {SinkTimeout: -1},
	} {
		_, err := testkit.OpenBehind(rdb, testkit.NewLedger(), o)
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr, field)
		assert.ErrorContains(t, err, field)
	}
	_, err := testkit.OpenBehind(rdb, testkit.NewLedger(), cache.WriteBehindOptions{Partitions: 1025})
	assert.ErrorContains(t, err, "between 1 and 1024")
}

func TestWriteBehindOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, redistest.AppendOnly("everysec"))
	rows, bad := testkit.Picky(func() error { return testkit.ErrRefused })
	c := testkit.NewBehind(t, cluster.Client(t), rows, testkit.OneTry)
	want := map[string]string{}
	for _, key := range strings.Split("a b c d e f g h {tag}1 {tag}2 }{", " ") {
		want[key] = "v"
	}
	require.NoError(t, c.SetMany(t.Context(), want))
	require.NoError(t, c.Set(t.Context(), "x", "bad"))
	other := testkit.NewPutter(t, cluster.Client(t))
	testkit.Has(t, other, "a", "v")
	require.NoError(t, c.Flush(t.Context()))
	assert.Equal(t, want, rows.Values())
	all := testkit.Letters(t, other)
	require.Len(t, all, 1)
	bad.Store(false)
	require.NoError(t, other.RetryDeadLetter(t.Context(), all[0].ID))
	require.NoError(t, c.Delete(t.Context(), testkit.SortedKeys(want)...))
	require.NoError(t, c.Shutdown(t.Context()))
	assert.Equal(t, map[string]string{"x": "bad"}, rows.Values())
	require.NoError(t, other.Update(t.Context(), "a", func(context.Context) error { return nil }))
	require.NoError(t, other.Invalidate(t.Context(), "x", "a"))
	require.NoError(t, other.Close())
	aside, err := cache.New(cluster.Client(t), "behind", cache.Aside[string](), testkit.Patient())
	require.NoError(t, err)
	_, err = aside.Get(t.Context(), "a")
	assert.ErrorContains(t, err, "writes behind")
	require.NoError(t, aside.Close())
}
