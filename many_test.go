package cache_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestGetOrLoadManyLoadsWhatIsMissingInOneCall(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		var calls, asked atomic.Int64
		for i := range 50 {
			_, err := c.GetOrLoad(t.Context(), strconv.Itoa(i), testkit.Value(i))
			require.NoError(t, err)
		}
		keys := append(testkit.Numbers(100), testkit.Numbers(100)...)
		got, err := c.GetOrLoadMany(t.Context(), append(keys, "none"), testkit.Parsing(&calls, &asked))
		require.NoError(t, err)
		require.Len(t, got, 100)
		for i, key := range testkit.Numbers(100) {
			assert.Equal(t, i, got[key])
		}
		assert.EqualValues(t, 1, calls.Load())
		assert.EqualValues(t, 51, asked.Load())
		found, err := c.GetMany(t.Context(), append(keys, "none"))
		require.NoError(t, err)
		assert.Equal(t, got, found)
		assert.Equal(t, []string{"99"}, slices.Collect(maps.Keys(must(c.GetMany(t.Context(), []string{"99", "none"})))))
	})
}

func TestBatchesOfAnySize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		keys, calls int
	}{
		{"no key", 0, 0},
		{"one key", 1, 1},
		{"a full batch", 200, 1},
		{"one key more", 201, 2},
		{"five batches, four at a time", 1000, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testkit.NewCache[int](t, cachetest.Redis(t))
			keys := testkit.Numbers(test.keys)
			shuffled := append(slices.Clone(keys), keys...)
			rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			w := testkit.NewWarehouse()
			var running, peak atomic.Int64
			load := func(ctx context.Context, keys []string) (map[string]int, error) {
				testkit.Raise(&peak, running.Add(1))
				defer running.Add(-1)
				assert.LessOrEqual(t, len(keys), 200)
				return w.Load(ctx, keys)
			}
			got, err := c.GetOrLoadMany(t.Context(), shuffled, load)
			require.NoError(t, err)
			assert.Equal(t, testkit.Numbered(keys...), got)
			assert.Len(t, w.Calls(), test.calls)
			assert.Len(t, w.Times(), test.keys)
			assert.LessOrEqual(t, peak.Load(), int64(4))
			assert.EqualValues(t, test.keys, c.Stats().Misses, "duplicates count once")

			got, err = c.GetOrLoadMany(t.Context(), keys, w.Load)
			require.NoError(t, err)
			assert.Equal(t, testkit.Numbered(keys...), got)
			assert.Equal(t, got, must(c.GetMany(t.Context(), shuffled)))
			assert.Len(t, w.Calls(), test.calls, "nothing is loaded twice")
			assert.EqualValues(t, 2*test.keys, c.Stats().Hits)
		})
	}
}

func TestFourBatchesOfOneCallAreLoadedAtOnce(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	w := testkit.GatedWarehouse()
	many := testkit.LoadMany(t.Context(), c, w, testkit.Numbers(1000)...)
	for range 4 {
		testkit.Soon(t, w.Entered, "four loads")
	}
	testkit.Eventually(t, testkit.Waiting(c, 800), "all four batches to wait")
	assert.Len(t, w.Calls(), 4, "the fifth waits")
	close(w.Release)
	got := testkit.Soon(t, many, "the call")
	require.NoError(t, got.Err)
	assert.Len(t, got.V, 1000)
}

func TestBatchesRefuseBadArguments(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	keys := testkit.Numbers(2)
	bad := cache.Expires(&cache.TTL{})
	for name, call := range map[string]func() error{
		"a nil BatchLoader": func() error { _, err := c.GetOrLoadMany(t.Context(), keys, nil); return err },
		"a nil Loader":      func() error { _, err := c.ReadThrough(nil).GetMany(t.Context(), keys); return err },
		"a bad class": func() error {
			_, err := c.GetOrLoadMany(t.Context(), keys, testkit.NewWarehouse().Load, bad)
			return err
		},
		"a bad class of ReadThrough": func() error { _, err := c.ReadThrough(testkit.Value(1), bad).GetMany(t.Context(), keys); return err },
		"a bad class of SetMany":     func() error { return c.SetMany(t.Context(), testkit.Numbered(keys...), bad) },
	} {
		var own *cache.OpError
		assert.ErrorAs(t, call(), &own, name)
	}
	assert.Zero(t, c.Stats().Misses)
}

func TestBatchesOfAClosedCacheOrAnEndedContext(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(3)...)))
	calls := map[string]func(context.Context) error{
		"GetMany": func(ctx context.Context) error { _, err := c.GetMany(ctx, testkit.Numbers(3)); return err },
		"GetOrLoadMany": func(ctx context.Context) error {
			_, err := c.GetOrLoadMany(ctx, testkit.Numbers(3), testkit.NewWarehouse().Load)
			return err
		},
		"ReadThrough.GetMany": func(ctx context.Context) error {
			_, err := c.ReadThrough(testkit.Value(1)).GetMany(ctx, testkit.Numbers(3))
			return err
		},
		"SetMany": func(ctx context.Context) error { return c.SetMany(ctx, testkit.Numbered("1")) },
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		assert.Equal(t, context.Canceled, call(ended), name)
	}
	require.NoError(t, c.Close())
	for name, call := range calls {
		assert.Equal(t, cache.ErrClosed, call(t.Context()), name)
	}
}

func TestAbsencesInABatchAreLeftOutAndRemembered(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.Absent = time.Minute }))
		w := testkit.NewWarehouse()
		for range 2 {
			got, err := c.GetOrLoadMany(t.Context(), []string{"1", "none", "nobody"}, w.Load)
			require.NoError(t, err)
			assert.Equal(t, testkit.Numbered("1"), got)
		}
		assert.Len(t, w.Calls(), 1, "the second time nothing is loaded")
		_, err := c.Get(t.Context(), "none")
		assert.Equal(t, cache.ErrNotFound, err)
		got, err := c.GetMany(t.Context(), []string{"1", "none"})
		require.NoError(t, err)
		assert.Equal(t, testkit.Numbered("1"), got)
		assert.EqualValues(t, 4, c.Stats().Absent)
	})
}

func TestAbsencesThatAreNotRememberedLeaveNothing(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		w := testkit.NewWarehouse()
		for range 2 {
			got, err := c.GetOrLoadMany(t.Context(), []string{"none"}, w.Load)
			require.NoError(t, err)
			assert.Empty(t, got)
		}
		assert.Len(t, w.Calls(), 2)
		assert.Zero(t, rdb.Exists(t.Context(), "test:none").Val())
	})
}

func TestABatchWithStoreIfFalseStoresNothing(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	require.NoError(t, c.Set(t.Context(), "1", 10))
	got, err := c.GetOrLoadMany(t.Context(), []string{"1", "2"}, testkit.NewWarehouse().Load, cache.StoreIf(false))
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"1": 10, "2": 2}, got, "a hit is served")
	assert.Equal(t, map[string]int{"1": 10}, must(c.GetMany(t.Context(), []string{"1", "2"})))
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered("1", "2"), cache.StoreIf(false)))
	assert.Equal(t, map[string]int{"1": 10}, must(c.GetMany(t.Context(), []string{"1", "2"})))
}

// Some keys fresh, some stale, some missing: each gets what it would alone.
func TestABatchServesStaleValuesAndRefreshesThemInTheBackground(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = 30 * time.Second }))
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"1": 100, "2": 200}))
		time.Sleep(time.Minute + time.Second)
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"3": 300}))
		assert.Equal(t, map[string]int{"3": 300}, must(c.GetMany(t.Context(), testkit.Numbers(5))), "GetMany serves nothing stale")

		w := testkit.NewWarehouse()
		got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(5), w.Load)
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"0": 0, "1": 100, "2": 200, "3": 300, "4": 4}, got)
		testkit.Settled(t, c)
		assert.Equal(t, map[string]int{"0": 1, "1": 1, "2": 1, "4": 1}, w.Times())
		s := c.Stats()
		assert.EqualValues(t, 2, s.Refreshes)
		assert.EqualValues(t, 2, s.Stale)
		assert.Equal(t, map[string]int{"0": 0, "1": 1, "2": 2, "3": 300, "4": 4}, must(c.GetMany(t.Context(), testkit.Numbers(5))))
	})
}

func TestABatchRefreshesEarly(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(*cache.TTL) {}), cache.WithXFetch(1e6))
		load := func(_ context.Context, keys []string) (map[string]int, error) {
			time.Sleep(time.Second)
			return testkit.Numbered(keys...), nil
		}
		for range 2 {
			_, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(10), load)
			require.NoError(t, err)
			time.Sleep(40 * time.Second)
		}
		testkit.Settled(t, c)
		assert.EqualValues(t, 10, c.Stats().Hits)
		assert.EqualValues(t, 10, c.Stats().Refreshes)
	})
}

func TestStaleIfErrorStandsInForEachKeyOfABatch(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.StaleIfError = time.Hour }))
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"0": 100, "1": 100, "2": 100}))
		time.Sleep(time.Minute + time.Second)
		errBroken := errors.New("broken")
		got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(4), func(context.Context, []string) (map[string]int, error) {
			return map[string]int{"0": 0}, errBroken
		})
		assert.Equal(t, map[string]int{"0": 0, "1": 100, "2": 100}, got)
		require.ErrorIs(t, err, errBroken)
		assert.Equal(t, []string{"3"}, testkit.KeysOf(err))
		assert.EqualValues(t, 2, c.Stats().Stale)
	})
}

func TestWritesThatAreNotFlushedAreHitsOfABatch(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewPutter(t, rdb)
		require.NoError(t, c.SetMany(t.Context(), map[string]string{"a": "1", "b": "2", "gone": "3"}))
		require.NoError(t, c.Delete(t.Context(), "gone"))
		keys := []string{"a", "b", "gone", "c"}
		got, err := c.GetOrLoadMany(t.Context(), keys, func(_ context.Context, keys []string) (map[string]string, error) {
			assert.Equal(t, []string{"c"}, keys)
			return map[string]string{"c": "4"}, nil
		})
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"a": "1", "b": "2", "c": "4"}, got)
		assert.Equal(t, got, must(c.GetMany(t.Context(), keys)))
	})
}

// The batch loads longer than a lease lasts; another process waits for it.
func TestLeasesOfABatchAreRenewedWhileItLoads(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
		w := testkit.NewWarehouse()
		slow := func(ctx context.Context, keys []string) (map[string]int, error) {
			time.Sleep(10 * time.Second)
			return w.Load(ctx, keys)
		}
		many := testkit.Start(func() (map[string]int, error) { return one.GetOrLoadMany(t.Context(), testkit.Numbers(10), slow) })
		time.Sleep(7 * time.Second)
		got, err := two.GetOrLoadMany(t.Context(), testkit.Numbers(12), w.Load)
		require.NoError(t, err)
		assert.Equal(t, testkit.Numbered(testkit.Numbers(12)...), got)
		require.NoError(t, (<-many).Err)
		assert.Len(t, w.Times(), 12)
		for key, n := range w.Times() {
			assert.Equal(t, 1, n, key)
		}
		assert.EqualValues(t, 10, two.Stats().LockWaits)
	})
}

func TestReadThroughGetManyCallsTheLoaderForEachKey(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		errBroken := errors.New("broken")
		var running, peak, calls atomic.Int64
		enough := make(chan struct{})
		byID := c.ReadThrough(func(_ context.Context, key string) (int, error) {
			testkit.Raise(&peak, running.Add(1))
			defer running.Add(-1)
			if calls.Add(1) == 8 {
				close(enough)
			}
			testkit.Soon(t, enough, "eight loads at once")
			switch key {
			case "bad":
				return 0, errBroken
			case "panics":
				panic("mine")
			case "exits":
				runtime.Goexit()
			case "none":
				return 0, cache.ErrNotFound
			}
			return strconv.Atoi(key)
		}, cache.Expires(&cache.TTL{Fresh: time.Hour, Absent: time.Hour}))
		got, err := byID.GetMany(t.Context(), append(testkit.Numbers(20), "bad", "none", "panics", "exits"))
		assert.Equal(t, testkit.Numbered(testkit.Numbers(20)...), got)
		assert.EqualValues(t, 8, peak.Load())
		assert.Equal(t, []string{"bad", "exits", "panics"}, testkit.KeysOf(err))
		require.ErrorIs(t, err, errBroken)
		for _, one := range testkit.OpErrors(err) {
			var panicked *cache.PanicError
			assert.Equal(t, one.Key != "bad", errors.As(one, &panicked), one.Key)
		}
		got, err = byID.GetMany(t.Context(), append(testkit.Numbers(20), "none"))
		require.NoError(t, err)
		assert.Len(t, got, 20)
		assert.EqualValues(t, 24, calls.Load(), "absences are remembered with the options that were bound")
	})
}

// R8. A call of the loader needs a place, also where one call makes several of them.
func TestReadThroughGetManyCallsNoMoreLoadersAtOnceThanThereArePlaces(t *testing.T) {
	const limit, callers = 4, 4
	rdb := cachetest.Redis(t)
	rdb.Stop()
	c := testkit.NewCache[int](t, rdb, cache.WithLoadLimit(limit))
	synced := make(chan struct{}) // closed when as many loaders run as may
	full := sync.OnceFunc(func() { close(synced) })
	var running, peak atomic.Int64
	through := c.ReadThrough(func(ctx context.Context, _ string) (int, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for most := peak.Load(); n > most && !peak.CompareAndSwap(most, n); most = peak.Load() {
		}
		if n == limit {
			full()
		}
		select {
		case <-synced:
			return 1, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	var g sync.WaitGroup
	for caller := range callers {
		g.Go(func() {
			keys := testkit.Numbers(8)
			for i := range keys {
				keys[i] += "/" + strconv.Itoa(caller)
			}
			_, err := through.GetMany(t.Context(), keys)
			if err != nil {
				assert.ErrorIs(t, err, cache.ErrOverloaded)
			}
		})
	}
	g.Wait()
	assert.EqualValues(t, limit, peak.Load())
}
