package cache_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
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

// fast is a warming that is not throttled.
var fast = cache.WarmOptions{PerSecond: 1_000_000}

func TestWarmLoadsWhatIsNotFreshAndSkipsTheRestWhenRunAgain(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(250)...)))
		w := testkit.NewWarehouse()
		report, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(1003)), w.Load, fast)
		require.NoError(t, err)
		assert.Equal(t, cache.WarmReport{Loaded: 753, Skipped: 250}, report)
		assert.Len(t, w.Calls(), 8, "batches of 100 and the rest, though chunks of look-ups had other sizes")
		for key, n := range w.Times() {
			assert.Equal(t, 1, n, key)
		}
		assert.Equal(t, testkit.Numbered(testkit.Numbers(1003)...), must(c.GetMany(t.Context(), testkit.Numbers(1003))))

		again := testkit.NewWarehouse()
		report, err = c.Warm(t.Context(), slices.Values(testkit.Numbers(1003)), again.Load, fast)
		require.NoError(t, err)
		assert.Equal(t, cache.WarmReport{Skipped: 1003}, report)
		assert.Empty(t, again.Calls())
	})
}

func TestWarmCountsLookUpsOnce(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(30)...)))
	_, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(100)), testkit.NewWarehouse().Load, fast)
	require.NoError(t, err)
	s := c.Stats()
	assert.EqualValues(t, 30, s.Hits)
	assert.EqualValues(t, 70, s.Misses)
	assert.EqualValues(t, 1, s.Loads)
}

func TestWarmOfNothing(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	o := fast
	o.Progress = func(cache.WarmReport) { t.Error("nothing to report") }
	report, err := c.Warm(t.Context(), slices.Values([]string(nil)), testkit.NewWarehouse().Load, o)
	require.NoError(t, err)
	assert.Zero(t, report)
}

func TestWarmRefusesBadArguments(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	load, keys := testkit.NewWarehouse().Load, slices.Values(testkit.Numbers(1))
	for _, test := range []struct {
		want string
		load cache.BatchLoader[int]
		keys iter.Seq[string]
		o    cache.WarmOptions
	}{
		{"loader", nil, keys, fast},
		{"keys", load, nil, fast},
		{"PerSecond", load, keys, cache.WarmOptions{PerSecond: -1}},
		{"Concurrency", load, keys, cache.WarmOptions{Concurrency: -1}},
		{"Batch: -1", load, keys, cache.WarmOptions{Batch: -1}},
		{"Batch: 201", load, keys, cache.WarmOptions{Batch: 201}},
	} {
		report, err := c.Warm(t.Context(), test.keys, test.load, test.o)
		var own *cache.OpError
		require.ErrorAs(t, err, &own, test.want)
		assert.Equal(t, "warm", own.Op)
		assert.ErrorContains(t, err, test.want)
		assert.Zero(t, report)
	}
}

func TestWarmReportsEachKeyForWhatItIs(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		errBroken := errors.New("broken")
		load := func(_ context.Context, keys []string) (map[string]int, error) {
			values := testkit.Numbered(keys...)
			maps.DeleteFunc(values, func(key string, _ int) bool { return strings.HasPrefix(key, "bad") })
			if len(values) < len(keys) {
				return values, errBroken
			}
			return values, nil
		}
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, rdb.Set(t.Context(), "test:foreign", "not ours", 0).Err())
		require.NoError(t, c.Set(t.Context(), "fresh", 1))
		keys := []string{"1", "2", "fresh", "foreign", "2"}
		for i := range 12 {
			keys = append(keys, fmt.Sprint("bad", i))
		}
		report, err := c.Warm(t.Context(), slices.Values(keys), load, fast)
		assert.Equal(t, cache.WarmReport{Loaded: 2, Skipped: 2, Failed: 13}, report)
		require.ErrorIs(t, err, errBroken)
		assert.ErrorContains(t, err, "3 more keys failed")
		assert.Equal(t, 9, strings.Count(err.Error(), "broken"), "ten errors, one of them the foreign key's")
		assert.ErrorContains(t, err, `cache: warm "foreign"`)
		assert.Equal(t, "not ours", rdb.Get(t.Context(), "test:foreign").Val())
	})
}

func TestWarmOfKeysThatDoNotExist(t *testing.T) {
	for _, test := range []struct {
		name          string
		absent        time.Duration
		first, second cache.WarmReport
	}{
		{"remembered: loaded, then skipped", time.Hour, cache.WarmReport{Loaded: 2}, cache.WarmReport{Skipped: 2}},
		{"not remembered: nothing to store", 0, cache.WarmReport{Loaded: 1, Skipped: 1}, cache.WarmReport{Skipped: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testkit.NewCache[int](t, cachetest.Redis(t), cache.Expires(&cache.TTL{Fresh: time.Hour, Absent: test.absent}))
			w := testkit.NewWarehouse()
			for _, want := range []cache.WarmReport{test.first, test.second} {
				report, err := c.Warm(t.Context(), slices.Values([]string{"1", "none"}), w.Load, fast)
				require.NoError(t, err)
				assert.Equal(t, want, report)
			}
		})
	}
}

// What is stale is loaded in the batch, not served and refreshed key by key; and
// where the load fails the stale value is no success.
func TestWarmLoadsWhatIsStale(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.Expires(&cache.TTL{Fresh: time.Hour, StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour}))
	require.NoError(t, c.SetMany(t.Context(), map[string]int{"1": 0, "2": 0}))
	require.NoError(t, c.Expire(t.Context(), "1", "2"))
	errBroken := errors.New("broken")
	report, err := c.Warm(t.Context(), slices.Values([]string{"1", "2"}),
		func(context.Context, []string) (map[string]int, error) { return map[string]int{"1": 1}, errBroken }, fast)
	require.ErrorIs(t, err, errBroken)
	assert.Equal(t, cache.WarmReport{Loaded: 1, Failed: 1}, report)
	assert.Zero(t, c.Stats().Refreshes)
	assert.Zero(t, c.Stats().Stale)
	assert.Equal(t, map[string]int{"1": 1}, must(c.GetMany(t.Context(), []string{"1", "2"})))
}

func TestWarmDoesNotCountAsLoadedWhatAChangeOvertook(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	report, err := c.Warm(t.Context(), slices.Values([]string{"1", "2"}),
		func(ctx context.Context, keys []string) (map[string]int, error) {
			assert.NoError(t, c.Invalidate(ctx, "1"))
			return testkit.Numbered(keys...), nil
		}, fast)
	require.ErrorContains(t, err, `cache: warm "1": loaded, but not stored`)
	assert.Equal(t, cache.WarmReport{Loaded: 1, Failed: 1}, report)
}

func TestWarmLoadsNothingWhileRedisIsDown(t *testing.T) {
	server := cachetest.Redis(t)
	c := testkit.NewCache[int](t, server)
	server.Fail("LOADING")
	w := testkit.NewWarehouse()
	report, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(450)), w.Load, fast)
	assert.Equal(t, cache.WarmReport{Failed: 450}, report)
	var own *cache.OpError
	require.ErrorAs(t, err, &own)
	assert.ErrorContains(t, err, "440 more keys failed")
	assert.Empty(t, w.Calls())
}

func TestWarmTellsWhyRedisDidNotStoreWhatWasLoaded(t *testing.T) {
	for _, command := range []string{"acquire", "commit"} {
		server := cachetest.Redis(t)
		c := testkit.NewCache[int](t, server)
		_, err := c.GetOrLoad(t.Context(), "x", testkit.Value(1)) // teaches the server the scripts
		require.NoError(t, err)
		var scripts atomic.Int64
		server.AddHook(testkit.Refusal{Refuse: func(cmds []redis.Cmder) error {
			if cmds[0].Name() == "evalsha" && (scripts.Add(1) == 2) == (command == "commit") {
				return testkit.ErrOutage
			}
			return nil
		}})
		report, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(3)), testkit.NewWarehouse().Load, fast)
		assert.Equal(t, cache.WarmReport{Failed: 3}, report)
		require.ErrorIs(t, err, testkit.ErrOutage, command)
		testkit.Eventually(t, func() bool { return c.Stats().Loading == 0 }, "the flights to end")
	}
}

func TestWarmKeepsTheRate(t *testing.T) {
	for _, test := range []struct {
		name string
		o    cache.WarmOptions
		keys int
		want []int // seconds after the start at which each batch is loaded
	}{
		{"batches are a second's worth at most", cache.WarmOptions{PerSecond: 50}, 220, []int{0, 1, 2, 3, 4}},
		{"a smaller batch is sooner followed by the next", cache.WarmOptions{PerSecond: 10, Batch: 5, Concurrency: 2}, 25, []int{0, 0, 1, 1, 2}},
		{"a slow loader is not caught up with", cache.WarmOptions{PerSecond: 100, Batch: 100}, 300, []int{0, 5, 10}},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb, cache.Expires(&cache.TTL{Fresh: time.Hour}))
				began := time.Now()
				var at []int
				_, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(test.keys)),
					func(_ context.Context, keys []string) (map[string]int, error) {
						at = append(at, int(time.Since(began)/time.Second))
						if test.o.PerSecond == 100 {
							time.Sleep(5 * time.Second)
						}
						return testkit.Numbered(keys...), nil
					}, test.o)
				require.NoError(t, err)
				assert.Equal(t, test.want, at)

				began = time.Now() // what is fresh costs no time
				report, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(test.keys)), testkit.NewWarehouse().Load, test.o)
				require.NoError(t, err)
				assert.Equal(t, test.keys, report.Skipped)
				assert.Less(t, time.Since(began), time.Second)
			})
		})
	}
}

func TestWarmLoadsSoManyBatchesAtOnce(t *testing.T) {
	for _, most := range []int{1, 3} {
		c := testkit.NewCache[int](t, cachetest.Redis(t))
		var running, peak atomic.Int64
		all := make(chan struct{})
		_, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(60)),
			func(_ context.Context, keys []string) (map[string]int, error) {
				n := running.Add(1)
				defer running.Add(-1)
				testkit.Raise(&peak, n)
				if n == int64(most) && peak.Load() == n {
					select {
					case <-all:
					default:
						close(all)
					}
				}
				testkit.Soon(t, all, "as many loads as may run at once")
				return testkit.Numbered(keys...), nil
			}, cache.WarmOptions{PerSecond: 1e6, Concurrency: most, Batch: 10})
		require.NoError(t, err)
		assert.EqualValues(t, most, peak.Load())
	}
}

func TestWarmersInSeveralProcessesShareTheLoads(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		w := testkit.NewWarehouse()
		var calls [3]<-chan testkit.Result[cache.WarmReport]
		for i := range calls {
			c := testkit.NewCache[int](t, rdb)
			calls[i] = testkit.Start(func() (cache.WarmReport, error) {
				return c.Warm(t.Context(), slices.Values(testkit.Numbers(500)), w.Load, cache.WarmOptions{PerSecond: 1e6, Concurrency: 2})
			})
		}
		for _, call := range calls {
			got := testkit.Soon(t, call, "a warmer")
			require.NoError(t, got.Err)
			assert.Equal(t, 500, got.V.Loaded+got.V.Skipped)
		}
		for key, n := range w.Times() {
			assert.Equal(t, 1, n, key)
		}
		assert.Len(t, w.Times(), 500)
	})
}

func TestWarmReportsItsProgressInOrder(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(100)...)))
	var seen []cache.WarmReport // Warm calls Progress one at a time
	report, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(1000)), testkit.NewWarehouse().Load, cache.WarmOptions{
		PerSecond: 1e6, Concurrency: 4, Batch: 20, Progress: func(r cache.WarmReport) { seen = append(seen, r) },
	})
	require.NoError(t, err)
	require.Len(t, seen, 5+45, "one for each 200 looked up and each 20 loaded")
	sum := func(r cache.WarmReport) int { return r.Loaded + r.Skipped + r.Failed }
	assert.True(t, slices.IsSortedFunc(seen, func(a, b cache.WarmReport) int { return sum(a) - sum(b) }))
	assert.Equal(t, report, seen[len(seen)-1])
}

func TestWarmOutlivesABadProgress(t *testing.T) {
	for name, progress := range map[string]func(cache.WarmReport){
		"panics": func(cache.WarmReport) { panic("mine") },
		"exits":  func(cache.WarmReport) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			c := testkit.NewCache[int](t, cachetest.Redis(t))
			o := fast
			o.Progress = progress
			report, err := c.Warm(t.Context(), slices.Values(testkit.Numbers(300)), testkit.NewWarehouse().Load, o)
			require.NoError(t, err)
			assert.Equal(t, cache.WarmReport{Loaded: 300}, report)
		})
	}
}

func TestWarmEndsWithItsContextOrTheCacheAndReportsWhatItDid(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(cancel func(), c *cache.Cache[int])
		want error
	}{
		{"its context", func(cancel func(), _ *cache.Cache[int]) { cancel() }, context.Canceled},
		{"Close", func(_ func(), c *cache.Cache[int]) { _ = c.Close() }, cache.ErrClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testkit.NewCache[int](t, cachetest.Redis(t))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			second := make(chan struct{})
			var calls atomic.Int64
			warm := testkit.Start(func() (cache.WarmReport, error) {
				return c.Warm(ctx, slices.Values(testkit.Numbers(1000)), func(ctx context.Context, keys []string) (map[string]int, error) {
					if calls.Add(1) == 2 {
						close(second)
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return testkit.Numbered(keys...), nil
				}, fast)
			})
			testkit.Soon(t, second, "the second batch")
			test.stop(cancel, c)
			got := testkit.Soon(t, warm, "the end of Warm")
			assert.Equal(t, test.want, got.Err)
			assert.Equal(t, cache.WarmReport{Loaded: 100}, got.V)
			assert.EqualValues(t, 2, calls.Load())
		})
	}
}
