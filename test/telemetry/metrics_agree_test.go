package telemetry_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// choosy is JSON that refuses one value.
type choosy struct{ cache.Codec }

// refusedValue is what the codec refuses, unsinkable what the sink does.
const refusedValue, unsinkable = 13, 14

// briefly is a step that has so long.
func briefly(d time.Duration, f func(ctx context.Context, c *cache.Cache[int], key string)) step {
	return func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		f(ctx, c, key)
	}
}

func (c choosy) Append(dst []byte, v any) ([]byte, error) {
	if v == refusedValue {
		return nil, errors.New("refused")
	}
	return c.Codec.Append(dst, v)
}

// moreSteps are the steps of the statistics' workload, and those that it has no need of.
func moreSteps(rdb *cachetest.Server, rival *cache.Cache[int]) map[string]step {
	all := steps(rdb)
	batch := func(n *tally) cache.BatchLoader[int] {
		return func(_ context.Context, keys []string) (map[string]int, error) {
			found := map[string]int{}
			for _, key := range keys[1:] {
				found[key] = 4
			}
			return found, nil
		}
	}
	keys := func(key string) []string { return []string{key, "a:x", "b:x"} }
	maps.Copy(all, map[string]step{
		"look for many": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
			_, _ = c.GetMany(ctx, keys(key))
		},
		"load many": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			_, _ = c.GetOrLoadMany(ctx, keys(key), batch(n))
		},
		"read many through": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			_, _ = c.ReadThrough(n.loader(nil)).GetMany(ctx, keys(key))
		},
		"warm": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			_, _ = c.Warm(ctx, slices.Values(keys(key)), batch(n), cache.WarmOptions{PerSecond: 1e6})
		},
		"set many": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
			_ = c.SetMany(ctx, map[string]int{key: 5, "a:x": 6, "b:x": refusedValue})
		},
		"set what is refused": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
			_ = c.Set(ctx, key, refusedValue)
		},
		"update": briefly(100*time.Millisecond, func(ctx context.Context, c *cache.Cache[int], key string) {
			_ = c.Update(ctx, key, func(context.Context) error { return nil })
		}),
		"delete": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) { _ = c.Delete(ctx, key) },
		"tag": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			_, _ = c.GetOrLoad(ctx, key, n.loader(nil), cache.Tagged("t"))
			_ = c.InvalidateTags(ctx, "t")
		},
		"clear": briefly(time.Millisecond, func(ctx context.Context, c *cache.Cache[int], _ string) {
			_ = c.InvalidateAll(ctx)
		}),
		"flush": briefly(100*time.Millisecond, func(ctx context.Context, c *cache.Cache[int], key string) {
			_ = c.Set(ctx, key, unsinkable)
			_ = c.Flush(ctx)
		}),
		"damage": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			_ = c.Set(ctx, key, 7)
			if data, err := rdb.Get(ctx, "test:"+key).Bytes(); err == nil {
				data[len(data)-1] ^= 1
				_ = rdb.Set(ctx, "test:"+key, data, redis.KeepTTL).Err()
			}
			_, _ = c.Get(ctx, key)
		},
		"load with others": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
			slow := func(context.Context, string) (int, error) { time.Sleep(time.Millisecond); return 8, nil }
			_ = c.Invalidate(ctx, key)
			var callers sync.WaitGroup
			for range 3 {
				callers.Go(func() { _, _ = c.GetOrLoad(ctx, key, slow) })
			}
			callers.Wait()
		},
		"load what is overtaken": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
			_ = c.Invalidate(ctx, key)
			_, _ = c.GetOrLoad(ctx, key, func(ctx context.Context, key string) (int, error) {
				return 9, c.Invalidate(ctx, key)
			})
		},
		"load beside a rival": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			_ = c.Invalidate(ctx, key)
			_, _ = rival.GetOrLoad(ctx, key, func(ctx context.Context, key string) (int, error) {
				_, _ = c.GetOrLoad(ctx, key, n.loader(nil))
				return 10, nil
			})
		},
		"load what is stale": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			all["expire"](ctx, c, n, key)
			all["load"](ctx, c, n, key)
		},
		"read again": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			for range 3 {
				_, _ = c.GetOrLoad(ctx, key, n.loader(nil))
			}
		},
	})
	return all
}

// measured are caches of each strategy, the first with an L1, all in m.
func measured(t testing.TB, rdb *cachetest.Server, m testkit.Meters) map[string]*cache.Cache[int] {
	t.Helper()
	options := cache.Options{
		cache.WithMeterProvider(m), cache.WithKeyGroup(testkit.GroupOf), cache.WithCodec(choosy{cache.JSON}),
		cache.Expires(&cache.TTL{Fresh: time.Hour, Absent: time.Hour, StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour}),
		cache.WithLock(cache.Lock{Wait: time.Millisecond}), // nobody waits for back-offs
	}
	l1 := testkit.NewL1(t, rdb, cache.L1Options{MaxBytes: 2_000, TTL: time.Minute})
	sink := func(_ context.Context, batch []cache.Mutation[int]) error {
		if slices.ContainsFunc(batch, func(m cache.Mutation[int]) bool { return m.Value == unsinkable }) {
			return errors.New("refused")
		}
		return nil
	}
	all := map[string]*cache.Cache[int]{}
	add := func(name string, s cache.Strategy[int], opts ...cache.Option) {
		c, err := cache.New(rdb, name, s, options, cache.Options(opts))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		all[name] = c
	}
	add("test", cache.Aside[int](), cache.WithL1(l1))
	add("through", cache.WriteThrough(nowhere{}))
	add("behind", cache.WriteBehind(sink, cache.WriteBehindOptions{
		Partitions: 1, Interval: time.Millisecond, MaxAttempts: 2, Refuse: true, AcceptVolatile: testkit.VolatileIsFine,
	}))
	testkit.InUse(t, all["test"])
	return all
}

// nowhere is a system of record that keeps nothing.
type nowhere struct{}

func (nowhere) Write(context.Context, string, int) error { return nil }
func (nowhere) Delete(context.Context, string) error     { return nil }

func TestMetricsAgreeWithStats(t *testing.T) {
	rdb, m := cachetest.Redis(t), testkit.NewMeters(t)
	caches := measured(t, rdb, m)
	rival := testkit.NewCache[int](t, rdb)
	all := moreSteps(rdb, rival)
	names := slices.Sorted(maps.Keys(all))
	// Each step once, and a hit in the L1, so that chance leaves nothing out.
	const last = "load while Redis is down" // it may open the breaker
	for name, c := range caches {
		for _, step := range slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == last }) {
			all[step](t.Context(), c, &tally{}, "a:1")
		}
		agree(t, m, name, c.Stats)
	}
	testkit.Nearby(t, caches["test"], "b:1", testkit.Value(1))
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.SampledFrom([]string{"test", "test", "through", "behind"}).Draw(r, "cache")
		type drawn struct{ name, key string }
		work := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) drawn {
			return drawn{rapid.SampledFrom(names).Draw(r, "step"), rapid.SampledFrom([]string{"a:1", "a:2", "b:1"}).Draw(r, "key")}
		}), 0, 20).Draw(r, "work")
		var callers sync.WaitGroup
		for i := range 2 {
			callers.Go(func() {
				for j, d := range work {
					if j%2 == i {
						all[d.name](t.Context(), caches[name], &tally{}, d.key)
					}
				}
			})
		}
		callers.Wait()
		agree(t, m, name, caches[name].Stats)
	})
	testkit.Eventually(t, func() bool { return len(m.Collect(t)["cache.write_behind.dirty"]) > 0 }, "a first sample")
	// The workload may have had no time for one, and has left the breaker open.
	testkit.Eventually(t, func() bool { return caches["behind"].Set(t.Context(), "c:1", unsinkable) == nil }, "a put")
	testkit.Eventually(t, func() bool { return caches["behind"].Stats().FlushErrors > 0 }, "a sink that refuses")
	seen := map[string]bool{}
	for name, c := range caches {
		fields := reflect.ValueOf(agree(t, m, name, c.Stats))
		for i := range fields.NumField() {
			seen[fields.Type().Field(i).Name] = seen[fields.Type().Field(i).Name] || !fields.Field(i).IsZero()
		}
	}
	for field := range figureOf {
		if !slices.Contains([]string{"Pending", "Loading", "Waiting", "Overdue", "Refilling", "Dirty", "DeadLetters", "Lag", "Retrying", "OldestRetry", "SinkCalls", "WaitingPuts", "Unpublished"}, field) { // they come and go, or a miniredis has none: see the tests below
			assert.True(t, seen[field], "the workload is blind to %s", field)
		}
	}
	listed(t, m)
}

func TestQueuedInvalidationsAreMeasured(t *testing.T) {
	rdb, m := cachetest.Redis(t), testkit.NewMeters(t)
	c, err := cache.New(rdb, "test", cache.Aside[int](), cache.WithMeterProvider(m))
	require.NoError(t, err)
	defer c.Close()
	rdb.Fail("LOADING")
	defer rdb.Heal()
	require.ErrorIs(t, c.Invalidate(t.Context(), "k"), cache.ErrPending)
	assert.EqualValues(t, 1, agree(t, m, "test", c.Stats).Pending)
	for range 10 {
		_, _ = c.Get(t.Context(), "other")
	}
	assert.Equal(t, 1.0, m.Collect(t).Sum("cache.breaker.open", "cache.name", "test"))
	rdb.Heal()
	testkit.Eventually(t, func() bool { return c.Stats().Pending == 0 }, "the queue to drain")
	assert.Zero(t, agree(t, m, "test", c.Stats).Pending)
	testkit.Eventually(t, func() bool { return m.Collect(t).Sum("cache.breaker.open") == 0 }, "the breaker to close")
}

func TestChangesThatNobodyIsToldOfAreMeasured(t *testing.T) {
	server, m := redistest.Single(t), testkit.NewMeters(t)
	require.NoError(t, server.Client(t).Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~test*", "+@all").Err())
	client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
	c := testkit.NewCache[int](t, client, cache.WithMeterProvider(m))
	require.NoError(t, c.Set(t.Context(), "k", 1))
	require.NoError(t, c.Invalidate(t.Context(), "k", "l"))
	assert.EqualValues(t, 3, agree(t, m, "test", c.Stats).Unpublished)
}

func TestLoadsUnderWayAreMeasured(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := testkit.NewMeters(t)
		c, err := cache.New(rdb, "test", cache.Aside[int](), testkit.Patient(), cache.WithMeterProvider(m))
		require.NoError(t, err)
		defer c.Close()
		loader := testkit.NewGated(func() int { return 1 })
		get := func(ctx context.Context, opts ...cache.EntryOption) func() (int, error) {
			return func() (int, error) { return c.GetOrLoad(ctx, "k", loader.Load, opts...) }
		}
		first := testkit.Start(get(t.Context(), cache.StoreIf(false))) // without a lease: who comes later waits for its end
		<-loader.Entered
		leaving, leave := context.WithCancel(t.Context())
		late := testkit.Start(get(leaving, cache.StoreIf(false)))
		synctest.Wait()
		time.Sleep(time.Millisecond)
		s := agree(t, m, "test", c.Stats)
		assert.EqualValues(t, 1, s.Loading)
		assert.EqualValues(t, 2, s.Waiting)
		leave()
		require.ErrorIs(t, (<-late).Err, context.Canceled)
		assert.EqualValues(t, 1, agree(t, m, "test", c.Stats).Waiting, "who has left does not wait")
		close(loader.Release)
		require.NoError(t, (<-first).Err)
		testkit.Settled(t, c)
		s = agree(t, m, "test", c.Stats)
		assert.Zero(t, s.Loading)
		assert.Zero(t, s.Waiting)
	})
}

func TestRefillsAndLoadersThatAreOverdueAreMeasured(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := testkit.NewMeters(t)
		c, err := cache.New(rdb, "test", cache.Aside[int](), testkit.Patient(), cache.WithMeterProvider(m), cache.WithLoadTimeout(time.Second))
		require.NoError(t, err)
		defer c.Close()
		assert.Zero(t, agree(t, m, "test", c.Stats).Refilling)
		hangs := make(chan struct{})
		_, err = c.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) { <-hangs; return 0, nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		s := agree(t, m, "test", c.Stats)
		assert.EqualValues(t, 1, s.Overdue)
		assert.EqualValues(t, 1, s.Refilling, "a cache without a clear token is one that was emptied")
		close(hangs)
		time.Sleep(10 * time.Second)
		s = agree(t, m, "test", c.Stats)
		assert.Zero(t, s.Overdue)
		assert.Zero(t, s.Refilling)
	})
}

func TestUnflushedWritesAreMeasured(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := testkit.NewMeters(t)
		rows, _, release := testkit.Stuck()
		wait := rows.Before
		rows.Before = func(ctx context.Context, batch []cache.Mutation[string]) error {
			return errors.Join(wait(ctx, batch), testkit.ErrRefused)
		}
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Interval: time.Second, MaxAttempts: 1}, cache.WithMeterProvider(m))
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		time.Sleep(5 * time.Second)
		s := agree(t, m, "behind", c.Stats)
		assert.EqualValues(t, 1, s.Dirty)
		assert.Positive(t, s.Lag)
		close(release)
		time.Sleep(5 * time.Second)
		s = agree(t, m, "behind", c.Stats)
		assert.EqualValues(t, 1, s.DeadLetters)
		assert.EqualValues(t, 1, s.FlushErrors)

		others := testkit.NewMeters(t)
		putter := testkit.NewPutter(t, rdb, cache.WithMeterProvider(others))
		agree(t, others, "behind", putter.Stats)
		assert.Empty(t, others.Collect(t)["cache.write_behind.dirty"], "who does not sample does not say none")
	})
}
