package telemetry_test

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// tally is what a random workload knows of itself.
type tally struct{ lookUps, loads, errors, absent atomic.Int64 }

// loader is a loader that ends with err and is counted.
func (n *tally) loader(err error) cache.Loader[int] {
	return func(context.Context, string) (int, error) {
		n.loads.Add(1)
		switch {
		case errors.Is(err, cache.ErrNotFound):
			n.absent.Add(1)
		case err != nil:
			n.errors.Add(1)
		}
		return 1, err
	}
}

// step is one call of a random workload, for one key.
type step func(ctx context.Context, c *cache.Cache[int], n *tally, key string)

// steps are by name, for what rapid prints. What they return is another test's
// business: all that counts here is what they count as.
func steps(rdb *cachetest.Server) map[string]step {
	looks := func(f func(context.Context, *cache.Cache[int], *tally, string) error) step {
		return func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			n.lookUps.Add(1)
			_ = f(ctx, c, n, key)
		}
	}
	load := func(err error, opts ...cache.EntryOption) step {
		return looks(func(ctx context.Context, c *cache.Cache[int], n *tally, key string) error {
			_, err := c.GetOrLoad(ctx, key, n.loader(err), opts...)
			return err
		})
	}
	return map[string]step{
		"load": load(nil), "fail to load": load(testkit.ErrLoader), "load without storing": load(nil, cache.StoreIf(false)),
		"find nothing twice": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			_ = c.Invalidate(ctx, key)
			load(cache.ErrNotFound)(ctx, c, n, key)
			load(cache.ErrNotFound)(ctx, c, n, key)
		},
		"look": looks(func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) error {
			_, err := c.Get(ctx, key)
			return err
		}),
		"read through after the end": looks(func(ctx context.Context, c *cache.Cache[int], n *tally, key string) error {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, err := c.ReadThrough(n.loader(nil)).Get(ended, key)
			return err
		}),
		"call badly": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
			_, _ = c.GetOrLoad(ctx, key, nil)
		},
		"set":        func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) { _ = c.Set(ctx, key, 2) },
		"invalidate": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) { _ = c.Invalidate(ctx, key) },
		"expire": func(ctx context.Context, c *cache.Cache[int], _ *tally, key string) {
			_ = c.Set(ctx, key, 3)
			_ = c.Expire(ctx, key)
		},
		"occupy": func(ctx context.Context, _ *cache.Cache[int], _ *tally, key string) {
			_ = rdb.Set(ctx, "test:"+key, "foreign", 0).Err()
		},
		"load while Redis is down": func(ctx context.Context, c *cache.Cache[int], n *tally, key string) {
			rdb.Fail("LOADING")
			defer rdb.Heal()
			load(nil)(ctx, c, n, key)
		},
	}
}

func TestOutcomesAddUpToTheLookUps(t *testing.T) {
	rdb := cachetest.Redis(t)
	all := steps(rdb)
	names := slices.Sorted(maps.Keys(all)) // rapid repeats what it has drawn
	class := &cache.TTL{Fresh: time.Hour, Absent: time.Hour, StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour}
	seen := map[string]int64{}
	rapid.Check(t, func(r *rapid.T) {
		require.NoError(r, rdb.FlushAll(t.Context()).Err())
		c, err := cache.New(rdb, "test", cache.Aside[int](), cache.Expires(class),
			cache.WithLock(cache.Lock{Wait: time.Millisecond})) // nobody waits for back-offs
		require.NoError(r, err)
		type drawn struct{ name, key string }
		work := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) drawn {
			return drawn{rapid.SampledFrom(names).Draw(r, "step"), rapid.SampledFrom([]string{"a", "b"}).Draw(r, "key")}
		}), 0, 30).Draw(r, "work")
		var n tally
		var callers sync.WaitGroup
		for i := range 2 {
			callers.Go(func() {
				for j, d := range work {
					if j%2 == i {
						all[d.name](t.Context(), c, &n, d.key)
					}
				}
			})
		}
		callers.Wait()
		_ = c.Close() // invalidations may be left
		all["look"](t.Context(), c, &n, "a")
		all["load"](t.Context(), c, &n, "a")

		got := c.Stats()
		require.Equal(r, n.lookUps.Load(), got.Hits+got.Stale+got.Absent+got.Misses, "look-ups in %+v", got)
		require.Equal(r, n.loads.Load(), got.Loads)
		require.Equal(r, n.errors.Load(), got.LoadErrors)
		require.Equal(r, n.absent.Load(), got.LoadsAbsent)
		seen["hits"] += got.Hits
		seen["stale"] += got.Stale
		seen["absent"] += got.Absent
		seen["refreshes"] += got.Refreshes
		seen["foreign"] += got.Foreign
		seen["redis errors"] += got.RedisErrors
	})
	t.Logf("outcomes seen: %v", seen)
	for _, outcome := range []string{"hits", "stale", "absent", "refreshes", "foreign", "redis errors"} {
		assert.NotZero(t, seen[outcome], "the workload is blind to %s", outcome)
	}
}

// statsCase is calls after which every counter is known.
type statsCase struct {
	name string
	set  func(*cache.TTL)
	call func(t *testing.T, c *testkit.Traced)
	want cache.Stats
}

func TestStatsAreExact(t *testing.T) {
	ctx := func(t *testing.T) context.Context { return t.Context() }
	loading := func(times int, load cache.Loader[string]) func(*testing.T, *testkit.Traced) {
		return func(t *testing.T, c *testkit.Traced) {
			for range times {
				_ = c.Ask(ctx(t), load)
				time.Sleep(2 * time.Second) // back-offs are over
			}
		}
	}
	tests := []statsCase{
		{"a load and two hits", nil, loading(3, testkit.Value(testkit.Secret)), cache.Stats{Misses: 1, Hits: 2, Loads: 1}},
		{
			"loads that fail", nil, loading(2, testkit.Failing[string](testkit.ErrLoader)),
			cache.Stats{Misses: 2, Loads: 2, LoadErrors: 2},
		},
		{
			"a load that panics", nil, loading(1, func(context.Context, string) (string, error) { panic("boom") }),
			cache.Stats{Misses: 1, Loads: 1, LoadErrors: 1},
		},
		{
			"an absence, remembered", nil, loading(3, testkit.Failing[string](sql.ErrNoRows)),
			cache.Stats{Misses: 1, Absent: 2, Loads: 1, LoadsAbsent: 1},
		},
		{
			"a refresh", staleWhileRevalidate, func(t *testing.T, c *testkit.Traced) {
				goneStale(t, c)
				for range 10 {
					require.NoError(t, c.Ask(ctx(t), func(context.Context, string) (string, error) {
						time.Sleep(time.Second)
						return testkit.Secret, nil
					}))
				}
			}, cache.Stats{Stale: 10, Refreshes: 1, Loads: 1},
		},
		{
			"a refresh that fails", staleWhileRevalidate, func(t *testing.T, c *testkit.Traced) {
				goneStale(t, c)
				require.NoError(t, c.Ask(ctx(t), testkit.Failing[string](testkit.ErrLoader)))
			}, cache.Stats{Stale: 1, Refreshes: 1, Loads: 1, LoadErrors: 1},
		},
		{
			"stale because loads fail", staleIfError, func(t *testing.T, c *testkit.Traced) {
				goneStale(t, c)
				require.NoError(t, c.Ask(ctx(t), testkit.Failing[string](testkit.ErrLoader)))
				require.NoError(t, c.Ask(ctx(t), testkit.MustNotLoad[string](t)), "backing off")
			}, cache.Stats{Stale: 2, Loads: 1, LoadErrors: 1},
		},
		{
			"a foreign record", nil, func(t *testing.T, c *testkit.Traced) {
				foreign(t, c)
				require.NoError(t, c.Ask(ctx(t), testkit.Value(testkit.Secret)))
				require.ErrorIs(t, lookOnly(ctx(t), c), cache.ErrMiss)
				require.NoError(t, setValue(ctx(t), c))
			}, cache.Stats{Misses: 2, Loads: 1, Foreign: 3, Bypassed: 3},
		},
		{
			"a damaged record", nil, func(t *testing.T, c *testkit.Traced) {
				filled(t, c)
				require.NoError(t, c.Rdb.SetRange(ctx(t), "test:"+testkit.RawKey, 86, "damaged").Err())
				require.NoError(t, c.Ask(ctx(t), testkit.Value(testkit.Secret)))
				require.NoError(t, lookOnly(ctx(t), c))
			}, cache.Stats{Misses: 1, Hits: 1, Loads: 1, Corrupt: 1},
		},
		{
			"Redis down", nil, func(t *testing.T, c *testkit.Traced) {
				down(t, c)
				require.NoError(t, c.Ask(ctx(t), testkit.Value(testkit.Secret)))
				require.Error(t, lookOnly(ctx(t), c))
				require.Error(t, setValue(ctx(t), c))
				c.Rdb.Heal()
			}, cache.Stats{Misses: 2, Loads: 1, Bypassed: 2, RedisErrors: 3},
		},
		{
			"a change that overtakes a load", nil, func(t *testing.T, c *testkit.Traced) {
				require.NoError(t, c.Ask(ctx(t), func(ctx context.Context, key string) (string, error) {
					return testkit.Secret, c.Invalidate(ctx, key)
				}))
			}, cache.Stats{Misses: 1, Loads: 1, RefusedFills: 1},
		},
		{
			"callers who share a load", nil, func(t *testing.T, c *testkit.Traced) {
				var callers sync.WaitGroup
				for range 5 {
					callers.Go(func() {
						assert.NoError(t, c.Ask(ctx(t), func(context.Context, string) (string, error) {
							time.Sleep(time.Second)
							return testkit.Secret, nil
						}))
					})
				}
				callers.Wait()
			}, cache.Stats{Misses: 5, Loads: 1, Coalesced: 4},
		},
		{
			"another process that loads", nil, func(t *testing.T, c *testkit.Traced) {
				other := testkit.NewCache[string](t, c.Rdb)
				first := testkit.Start(func() (string, error) {
					return other.GetOrLoad(ctx(t), testkit.RawKey, func(context.Context, string) (string, error) {
						time.Sleep(time.Second)
						return testkit.Secret, nil
					})
				})
				time.Sleep(100 * time.Millisecond)
				require.NoError(t, c.Ask(ctx(t), testkit.MustNotLoad[string](t)))
				require.NoError(t, (<-first).Err)
			}, cache.Stats{Misses: 1, LockWaits: 1},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.InTrace(t, test.set, func(t *testing.T, c *testkit.Traced) {
				test.call(t, c)
				testkit.Settled(t, c.Cache)
				assert.Equal(t, test.want, counters(c.Stats()))
			})
		})
	}
}

// counters is s without the state of a cache in its first seconds: its clear token is
// new, as after a loss, and it refills.
func counters(s cache.Stats) cache.Stats {
	s.Refilling = 0
	return s
}

func TestAValueThatCannotBeEncodedIsCounted(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[any](t, rdb)
		_, err := c.GetOrLoad(t.Context(), testkit.RawKey, testkit.Value[any](func() {}))
		require.NoError(t, err)
		require.Error(t, c.Set(t.Context(), testkit.RawKey, func() {}))
		assert.Equal(t, cache.Stats{Misses: 1, Loads: 1, Unencodable: 2}, counters(c.Stats()))
	})
}
