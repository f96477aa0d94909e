package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
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

// noWriter is a writer that must not be reached.
type noWriter struct{}

var errWritten = errors.New("the writer was called")

func (noWriter) Write(context.Context, string, string) error { return errWritten }
func (noWriter) Delete(context.Context, string) error        { return errWritten }

// A cache whose entries would be elsewhere fails with each call that writes, or only looks,
// the first one included, before user code is called, and says why. What loads does without
// Redis.
func TestAWriteBehindNameIsRefusedByTheOtherStrategies(t *testing.T) {
	t.Parallel()
	for name, strategy := range map[string]cache.Strategy[string]{
		"aside": cache.Aside[string](), "write-through": cache.WriteThrough[string](noWriter{}),
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
				behind := testkit.NewPutter(t, rdb)
				require.NoError(t, behind.Set(t.Context(), "k", "v"))
				var methods []string
				for method := range testkit.EveryCall(behind, nil) {
					methods = append(methods, method)
				}
				for _, method := range methods {
					c, err := cache.New(rdb, "behind", strategy, testkit.Patient())
					require.NoError(t, err, "New asks Redis nothing")
					call := testkit.EveryCall(c, testkit.Value("loaded"))[method]
					for range 2 {
						err := call(t.Context())
						if method == "GetOrLoad" || method == "ReadThrough" {
							require.NoError(t, err, method)
							continue
						}
						var opErr *cache.OpError
						require.ErrorAs(t, err, &opErr, method)
						assert.ErrorContains(t, opErr, "use WriteBehind, or another name", method)
						assert.NotErrorIs(t, err, cache.ErrPending, method)
					}
					assert.NoError(t, c.Close())
				}
				testkit.Has(t, behind, "k", "v", "untouched")
			})
		})
	}
}

func TestOtherNamesDoNotMindWriteBehind(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		require.NoError(t, testkit.NewPutter(t, rdb).Set(t.Context(), "k", "v"))
		c := testkit.NewCache[string](t, rdb)
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("aside"))
		require.NoError(t, err)
		assert.Equal(t, "aside", got)
	})
}

// The number of partitions says where the records are: the first process fixes it.
func TestWriteBehindRefusesAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 4})
		_, err := testkit.OpenBehind(rdb, testkit.NewLedger(), cache.WriteBehindOptions{Partitions: 5})
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr)
		assert.Equal(t, "new", opErr.Op)
		assert.ErrorContains(t, err, "fixed by its first process")
		again := testkit.NewBehind(t, rdb, testkit.NewLedger(), cache.WriteBehindOptions{Partitions: 4})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		testkit.Has(t, again, "k", "v")
	})
}

// Entries of another strategy under the name are nothing to write-behind, which
// keeps its own elsewhere.
func TestWriteBehindTakesANameOver(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		before, err := cache.New(rdb, "behind", cache.Aside[string](), testkit.Patient())
		require.NoError(t, err)
		require.NoError(t, before.Set(t.Context(), "k", "aside"))
		require.NoError(t, before.Close())
		c := testkit.NewPutter(t, rdb)
		_, err = c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		require.NoError(t, c.Set(t.Context(), "k", "behind"))
		testkit.Has(t, c, "k", "behind")
	})
}

// A Redis that does not answer is no disagreement: it is asked again.
func TestAgreementIsSettledWhenRedisAnswers(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	require.NoError(t, testkit.NewPutter(t, rdb).Set(t.Context(), "k", "v"))
	c, err := cache.New(rdb, "behind", cache.Aside[string](), testkit.Patient())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	rdb.Fail("LOADING Redis is loading the dataset in memory")
	got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("loaded"))
	require.NoError(t, err)
	assert.Equal(t, "loaded", got)
	rdb.Heal()
	testkit.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		return err != nil && strings.Contains(err.Error(), "writes behind")
	}, "the disagreement")
}

// E13. Processes that run look again: they do without Redis while others write behind under
// their name, and use it again when write-behind is retired. The log has a line of each.
func TestWriteBehindComesAndGoesWhileOthersRun(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var log bytes.Buffer
		c, err := cache.New(b.Redis(t), "behind", cache.Aside[string](), cache.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		require.NoError(t, err)
		loads := 0
		load := func(_ context.Context, _ string) (string, error) { loads++; return "from the database", nil }
		ask := func() {
			t.Helper()
			got, err := c.GetOrLoad(ctx, "k", load)
			require.NoError(t, err)
			assert.Equal(t, "from the database", got)
		}
		ask()
		ask()
		require.Equal(t, 1, loads, "it is cached")

		rows := testkit.NewLedger()
		behind := testkit.NewBehind(t, b.Redis(t), rows, cache.WriteBehindOptions{AcceptVolatile: "a test"})
		require.NoError(t, behind.Set(ctx, "k", "put"))
		time.Sleep(11 * time.Second)
		ask() // its read finds out
		loads = 0
		for range 3 {
			ask()
		}
		assert.Equal(t, 3, loads, "it is loaded past Redis")
		assert.Error(t, c.Set(ctx, "k", "lost"))
		assert.Equal(t, 1, strings.Count(log.String(), "a cache of this name writes behind"))

		require.NoError(t, behind.RetireWriteBehind(ctx))
		assert.Equal(t, "put", rows.Values()["k"])
		assert.ErrorContains(t, behind.Set(ctx, "k", "late"), "retired")
		time.Sleep(11 * time.Second)
		ask()
		loads = 0
		for range 3 {
			ask()
		}
		assert.LessOrEqual(t, loads, 1, "it is cached again")
		assert.Equal(t, 1, strings.Count(log.String(), "no cache of this name writes behind any more"))
		require.NoError(t, c.Set(ctx, "k", "set"))
		require.NoError(t, c.Close())
	})
}

// What the other strategy had stored before is older than what was put.
func TestRetiringForgetsWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		before, err := cache.New(rdb, "behind", cache.Aside[string](), testkit.Patient())
		require.NoError(t, err)
		require.NoError(t, before.Set(ctx, "k", "old"))
		require.NoError(t, before.Close())
		rows := testkit.NewLedger()
		workers := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		putter := testkit.NewPutter(t, rdb)
		require.NoError(t, putter.Set(ctx, "k", "new"))
		require.NoError(t, putter.RetireWriteBehind(ctx), "by any process")
		assert.Equal(t, map[string]string{"k": "new"}, rows.Values())

		after, err := cache.New(rdb, "behind", cache.Aside[string](), testkit.Patient())
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, after.Close()) })
		_, err = after.Get(ctx, "k")
		require.ErrorIs(t, err, cache.ErrMiss, "the old value is void")
		got, err := after.GetOrLoad(ctx, "k", rows.Load)
		require.NoError(t, err)
		assert.Equal(t, "new", got)
		testkit.Has(t, after, "k", "new", "it caches")

		for name, c := range map[string]*cache.Cache[string]{"workers": workers, "putter": putter} {
			testkit.Eventually(t, func() bool { return c.Set(ctx, "k", "late") != nil }, name)
			assert.ErrorContains(t, c.Set(ctx, "k", "late"), "retired", name)
			got, err := c.GetOrLoad(ctx, "k", rows.Load)
			require.NoError(t, err, name)
			assert.Equal(t, "new", got, name)
		}
		again := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, again.Set(ctx, "k", "newest"))
		require.NoError(t, again.Flush(ctx))
		assert.Equal(t, "newest", rows.Values()["k"], "the name is taken back")
		testkit.Eventually(t, func() bool { return putter.Set(ctx, "k", "of an older process") == nil }, "those that run go on, too")
	})
}

func TestRetiringIsForWriteBehindOnly(t *testing.T) {
	rdb := cachetest.Redis(t)
	c := testkit.NewCache[string](t, rdb)
	assert.ErrorIs(t, c.RetireWriteBehind(t.Context()), errors.ErrUnsupported)
	behind, on := testkit.Picky(func() error { return &cache.PermanentError{Err: errors.New("bad")} })
	b := testkit.NewBehind(t, rdb, behind, cache.WriteBehindOptions{})
	require.NoError(t, b.Set(t.Context(), "k", "bad"))
	require.NoError(t, b.Flush(t.Context()))
	var opErr *cache.OpError
	err := b.RetireWriteBehind(t.Context())
	require.ErrorAs(t, err, &opErr)
	assert.ErrorContains(t, err, "dead letters")
	on.Store(false)
	require.NoError(t, b.Set(t.Context(), "l", "v"), "puts go on")
	n, err := b.RetryDeadLetters(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	require.NoError(t, b.RetireWriteBehind(t.Context()))
}
