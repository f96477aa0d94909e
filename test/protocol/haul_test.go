package protocol_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// A key is invalidated while the batch loads it. The batch, whose call began
// before, has the value; it is not stored, and who asked after the invalidation
// looks again.
//
//  1. B misses 0, 1 and 2 and loads them: all 1.
//  2. W writes 1 = 2 and invalidates it, here or in another process. W returns.
//  3. R wants 1. It may wait for B's load, but not have its value.
//  4. B commits.
func TestAChangeOfAKeyDuringABatchLoad(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"this process", "another process"} {
		t.Run(where, func(t *testing.T) {
			testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				var refused []string
				c := testkit.NewCache[int](t, rdb, cache.WithHooks(cache.Hooks{Refused: func(key string) { refused = append(refused, key) }}))
				writer := c
				if where != "this process" {
					writer = testkit.NewCache[int](t, rdb)
				}
				w := testkit.GatedWarehouse()
				many := testkit.Start(func() (map[string]int, error) {
					return c.GetOrLoadMany(t.Context(), testkit.Numbers(3), func(ctx context.Context, keys []string) (map[string]int, error) {
						_, err := w.Load(ctx, keys)
						return map[string]int{"0": 1, "1": 1, "2": 1}, err
					})
				})
				testkit.Soon(t, w.Entered, "the load")
				require.NoError(t, writer.Invalidate(t.Context(), "1"))
				one := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "1", testkit.Value(2)) })
				if where == "this process" {
					assert.Equal(t, 2, testkit.Soon(t, one, "the reader").V, "it does not wait for what was overtaken")
				} else {
					testkit.Eventually(t, testkit.Waiting(c, 4), "the reader to join")
				}
				close(w.Release)
				got := testkit.Soon(t, many, "the batch")
				require.NoError(t, got.Err)
				assert.Equal(t, map[string]int{"0": 1, "1": 1, "2": 1}, got.V)
				if where != "this process" {
					got := testkit.Soon(t, one, "the reader")
					require.NoError(t, got.Err)
					assert.Equal(t, 2, got.V)
				}
				assert.Equal(t, map[string]int{"0": 1, "1": 2, "2": 1}, testkit.Must(c.GetMany(t.Context(), testkit.Numbers(3))))
				assert.Equal(t, []string{"1"}, refused)
				assert.EqualValues(t, 1, c.Stats().RefusedFills)
			})
		})
	}
}

// A tag of the batch gets a new token between its capture and the commits: what is
// stored is invalid, and those who joined after that load again.
func TestATagThatIsInvalidatedDuringABatchLoad(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"this process", "another process"} {
		t.Run(where, func(t *testing.T) {
			testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb)
				writer := c
				if where != "this process" {
					writer = testkit.NewCache[int](t, rdb)
				}
				tagged := cache.Tagged("all")
				w := testkit.GatedWarehouse()
				many := testkit.Start(func() (map[string]int, error) {
					return c.GetOrLoadMany(t.Context(), testkit.Numbers(3), w.Load, tagged)
				})
				testkit.Soon(t, w.Entered, "the load")
				require.NoError(t, writer.InvalidateTags(t.Context(), "all"))
				after := testkit.NewWarehouse()
				late := testkit.Start(func() (map[string]int, error) {
					return c.GetOrLoadMany(t.Context(), testkit.Numbers(3), func(ctx context.Context, keys []string) (map[string]int, error) {
						_, err := after.Load(ctx, keys)
						return map[string]int{"0": 10, "1": 11, "2": 12}, err
					}, tagged)
				})
				if where != "this process" {
					testkit.Eventually(t, testkit.Waiting(c, 6), "the later batch to join")
				}
				close(w.Release)
				got := testkit.Soon(t, many, "the batch")
				require.NoError(t, got.Err)
				assert.Equal(t, testkit.Numbered(testkit.Numbers(3)...), got.V)
				got = testkit.Soon(t, late, "the later batch")
				require.NoError(t, got.Err)
				assert.Equal(t, map[string]int{"0": 10, "1": 11, "2": 12}, got.V)
				assert.Equal(t, map[string]int{"0": 1, "1": 1, "2": 1}, after.Times())
			})
		})
	}
}

// Tags that a call names travel with its look-up; those that only the entries name
// cost one trip more, for all keys together.
func TestTagsOfABatchCostAtMostOneTripMore(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, cachetest.Redis(t).Addr())
	c := testkit.NewCache[int](t, testkit.ClientThrough(t, p))
	for i := range 10 {
		keys := testkit.Numbers(100)[10*i : 10*i+10]
		_, err := c.GetOrLoadMany(t.Context(), keys, testkit.NewWarehouse().Load, cache.Tagged("all", fmt.Sprint("tag ", i)))
		require.NoError(t, err)
	}
	for _, test := range []struct {
		name  string
		tags  []string
		trips int64
	}{
		{"none is named", nil, 2},
		{"some are named", []string{"all"}, 2},
		{"all of the keys' tags are named", []string{"all", "tag 0"}, 1},
	} {
		p.Reset()
		keys := testkit.Numbers(100)
		if test.trips == 1 {
			keys = keys[:10]
		}
		w := testkit.NewWarehouse()
		got, err := c.GetOrLoadMany(t.Context(), keys, w.Load, cache.Tagged(test.tags...))
		require.NoError(t, err)
		assert.Len(t, got, len(keys), test.name)
		assert.Empty(t, w.Calls(), test.name)
		assert.Equal(t, test.trips, p.Exchanges(), test.name)
	}
	require.NoError(t, c.InvalidateTags(t.Context(), "tag 3"))
	assert.Len(t, testkit.Must(c.GetMany(t.Context(), testkit.Numbers(100))), 90)
	w := testkit.NewWarehouse()
	_, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(100), w.Load, cache.Tagged("all"))
	require.NoError(t, err)
	assert.Len(t, w.Times(), 10)
	require.NoError(t, c.InvalidateTags(t.Context(), "tag 3"))
	assert.Len(t, testkit.Must(c.GetMany(t.Context(), testkit.Numbers(100))), 90, "a fill keeps the tags of what it replaces")
	require.NoError(t, c.InvalidateTags(t.Context(), "all"))
	assert.Empty(t, testkit.Must(c.GetMany(t.Context(), testkit.Numbers(100))))
}

func TestSetManyStampsWhatItStores(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.SetMany(t.Context(), testkit.Numbered("1", "2"), cache.Tagged("odd")))
		require.NoError(t, c.SetMany(t.Context(), testkit.Numbered("3", "4")))
		require.NoError(t, c.SetMany(t.Context(), nil))
		assert.Len(t, testkit.Must(c.GetMany(t.Context(), testkit.Numbers(9))), 4)
		require.NoError(t, c.InvalidateTags(t.Context(), "odd"))
		assert.Equal(t, testkit.Numbered("3", "4"), testkit.Must(c.GetMany(t.Context(), testkit.Numbers(9))))
	})
}

// SetMany overtakes a load of this process and of others, and leaves what is not
// the cache's.
func TestSetManyOvertakesLoads(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		require.NoError(t, rdb.Set(t.Context(), "test:3", "not ours", 0).Err())
		ours, theirs := testkit.GatedWarehouse(), testkit.GatedWarehouse()
		first := testkit.LoadMany(t.Context(), c, ours, "1")
		second := testkit.LoadMany(t.Context(), other, theirs, "2")
		testkit.Soon(t, ours.Entered, "our load")
		testkit.Soon(t, theirs.Entered, "their load")
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"1": 10, "2": 20, "3": 30}))
		close(ours.Release)
		close(theirs.Release)
		require.NoError(t, testkit.Soon(t, first, "our batch").Err)
		require.NoError(t, testkit.Soon(t, second, "their batch").Err)
		assert.Equal(t, map[string]int{"1": 10, "2": 20}, testkit.Must(c.GetMany(t.Context(), testkit.Numbers(4))))
		assert.EqualValues(t, 1, c.Stats().RefusedFills)
		assert.EqualValues(t, 1, other.Stats().RefusedFills)
		assert.Equal(t, "not ours", rdb.Get(t.Context(), "test:3").Val())
	})
}

func TestSetManyOfMoreThanOneBatch(t *testing.T) {
	t.Parallel()
	for name, scripts := range map[string]int64{"of a server that says nothing": 1000, "of Redis": 5 * 4} {
		t.Run(name, func(t *testing.T) {
			p := redistest.NewProxy(t, cachetest.Redis(t).Addr())
			client := testkit.ClientThrough(t, p)
			if scripts < 1000 {
				client.AddHook(testkit.Claims{})
			}
			c := testkit.NewCache[int](t, client)
			require.NoError(t, c.SetMany(t.Context(), testkit.Numbered("x", "y"))) // teaches the script and the clear token
			p.Reset()
			require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(1000)...)))
			assert.Equal(t, scripts, p.CommandsNamed("evalsha"), "of 64 keys at most")
			assert.EqualValues(t, 5, p.Exchanges())
			assert.Equal(t, testkit.Numbered(testkit.Numbers(1000)...), testkit.Must(c.GetMany(t.Context(), testkit.Numbers(1000))))
		})
	}
}

// The counters of look-ups add up, whatever batches and calls find; and so does
// what they return, to what the loader says.
func TestStatsOfBatchesAddUp(t *testing.T) {
	t.Parallel()
	server := cachetest.Redis(t)
	c := testkit.NewCache[int](t, server, testkit.Class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate, ttl.Absent = time.Minute, time.Minute }))
	var lookups atomic.Int64
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(caller)))
			for range 30 {
				keys := make([]string, r.IntN(40))
				distinct := map[string]bool{}
				for i := range keys {
					keys[i] = strconv.Itoa(r.IntN(60) - 5) // below zero: there is none
					distinct[keys[i]] = true
				}
				lookups.Add(int64(len(distinct)))
				load := func(_ context.Context, keys []string) (map[string]int, error) {
					values := testkit.Numbered(keys...)
					for _, key := range keys {
						if key[0] == '-' {
							delete(values, key)
						}
					}
					return values, nil
				}
				switch r.IntN(6) {
				case 0:
					_, err := c.GetMany(t.Context(), keys)
					assert.NoError(t, err)
				case 1:
					assert.NoError(t, c.Invalidate(t.Context(), keys...))
					lookups.Add(-int64(len(distinct)))
				case 2:
					assert.NoError(t, c.Expire(t.Context(), keys...))
					lookups.Add(-int64(len(distinct)))
				default:
					got, err := c.GetOrLoadMany(t.Context(), keys, load)
					assert.NoError(t, err)
					for key, v := range got {
						assert.Equal(t, key, strconv.Itoa(v))
					}
					for key := range distinct {
						_, ok := got[key]
						assert.Equal(t, key[0] != '-', ok, key)
					}
				}
			}
		})
	}
	callers.Wait()
	s := c.Stats()
	assert.Equal(t, lookups.Load(), s.Hits+s.Stale+s.Absent+s.Misses)
	for name, n := range map[string]int64{"hits": s.Hits, "stale": s.Stale, "absent": s.Absent, "misses": s.Misses, "coalesced": s.Coalesced} {
		assert.Positive(t, n, name)
	}
	testkit.Eventually(t, func() bool { return c.Stats().Loading == 0 }, "the refreshes to end")
}

func TestSpansOfBatches(t *testing.T) {
	t.Parallel()
	testkit.InTrace(t, nil, func(t *testing.T, c *testkit.Traced) {
		ctx := t.Context()
		load := func(_ context.Context, keys []string) (map[string]string, error) {
			return map[string]string{"a": testkit.Secret, "b": testkit.Secret}, testkit.ErrLoader
		}
		require.NoError(t, c.SetMany(ctx, map[string]string{"x": testkit.Secret, "y": testkit.Secret}))
		put := c.Spans.Named(t, "cache.put")
		assert.Equal(t, []string{"x", "y"}, testkit.Attributes(&put)["cache.key"])
		assert.Equal(t, 2*testkit.SecretSize, testkit.Attributes(&put)["cache.item_size"])
		assert.EqualValues(t, 60, testkit.Attributes(&put)["cache.ttl"])
		for name, want := range c.Peer(t) {
			assert.Equal(t, want, testkit.Attributes(&put)[name])
		}
		c.Spans.Memory.Reset()

		_, err := c.GetOrLoadMany(ctx, []string{"a", "b", "c", "x"}, load)
		require.Error(t, err)
		assert.Equal(t, "cache.get(cache.load cache.put)", c.Spans.Tree())
		get := c.Spans.Named(t, "cache.get")
		assert.Equal(t, []string{"a", "b", "c", "x"}, testkit.Attributes(&get)["cache.key"])
		assert.Equal(t, false, testkit.Attributes(&get)["cache.hit"])
		assert.Equal(t, "Error", get.Status.Code.String())
		put = c.Spans.Named(t, "cache.put")
		assert.Equal(t, []string{"a", "b"}, testkit.Attributes(&put)["cache.key"])
		c.Spans.Memory.Reset()

		_, err = c.GetMany(ctx, []string{"a", "b", "x"})
		require.NoError(t, err)
		get = c.Spans.Named(t, "cache.get")
		assert.Equal(t, true, testkit.Attributes(&get)["cache.hit"])
		assert.Equal(t, 3*testkit.SecretSize, testkit.Attributes(&get)["cache.item_size"])
		assert.NotContains(t, testkit.Everything(c.Spans), testkit.Secret)
	})
}

func TestALoadEventOfABatchNamesItsKeys(t *testing.T) {
	t.Parallel()
	var events []cache.LoadEvent
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithHooks(cache.Hooks{Load: func(e cache.LoadEvent) { events = append(events, e) }}))
	for _, n := range []int{3, 4} { // of the second only one key is missing
		_, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(n), testkit.NewWarehouse().Load)
		require.NoError(t, err)
	}
	require.Len(t, events, 2)
	assert.Empty(t, events[0].Key)
	assert.Equal(t, testkit.Numbers(3), slices.Sorted(slices.Values(events[0].Keys)))
	assert.Equal(t, "3", events[1].Key)
}
