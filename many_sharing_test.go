package cache_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// warehouse is a BatchLoader of numbers that notes what it is asked for. With a
// gate each call says so on entered and waits until it is let go, or its context
// ends.
type warehouse struct {
	mu      sync.Mutex
	asked   [][]string // the keys of each call, sorted
	ended   atomic.Int64
	entered chan context.Context
	release chan struct{}
}

func newWarehouse() *warehouse { return &warehouse{} }

func gatedWarehouse() *warehouse {
	return &warehouse{entered: make(chan context.Context, 1000), release: make(chan struct{})}
}

func (w *warehouse) load(ctx context.Context, keys []string) (map[string]int, error) {
	w.mu.Lock()
	w.asked = append(w.asked, slices.Sorted(slices.Values(keys)))
	w.mu.Unlock()
	defer w.ended.Add(1)
	if w.entered != nil {
		w.entered <- ctx
		select {
		case <-w.release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	values := map[string]int{}
	for _, key := range keys {
		if n, err := strconv.Atoi(key); err == nil {
			values[key] = n
		}
	}
	return values, ctx.Err()
}

// calls are the keys of each call so far.
func (w *warehouse) calls() [][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// times is how often each key was asked for.
func (w *warehouse) times() map[string]int {
	all := map[string]int{}
	for _, keys := range w.calls() {
		for _, key := range keys {
			all[key]++
		}
	}
	return all
}

// loadMany starts a GetOrLoadMany.
func loadMany(ctx context.Context, c *cache.Cache[int], w *warehouse, keys ...string) <-chan result[map[string]int] {
	return start(func() (map[string]int, error) { return c.GetOrLoadMany(ctx, keys, w.load) })
}

// numbered are the values of keys.
func numbered(keys ...string) map[string]int {
	all := map[string]int{}
	for _, key := range keys {
		all[key], _ = strconv.Atoi(key)
	}
	return all
}

func TestABatchJoinsASingleLoad(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		single, w := newGated(func() int { return 1 }), newWarehouse()
		one := start(func() (int, error) { return c.GetOrLoad(t.Context(), "1", single.load) })
		soon(t, single.entered, "the single load")
		many := loadMany(t.Context(), c, w, "0", "1", "2")
		eventually(t, waiting(c, 2), "the batch to wait for the single load")
		eventually(t, func() bool { return w.ended.Load() == 1 }, "the batch to load the rest")
		close(single.release)
		got := soon(t, many, "the batch")
		require.NoError(t, got.err)
		assert.Equal(t, numbered("0", "1", "2"), got.v)
		require.NoError(t, soon(t, one, "the single call").err)
		assert.Equal(t, [][]string{{"0", "2"}}, w.calls())
		assert.EqualValues(t, 1, single.calls.Load())
		assert.EqualValues(t, 1, c.Stats().Coalesced)
	})
}

func TestSingleCallsJoinABatch(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		w := gatedWarehouse()
		many := loadMany(t.Context(), c, w, "0", "1")
		soon(t, w.entered, "the batch's load")
		var ones [2]<-chan result[int]
		for i := range ones {
			ones[i] = start(func() (int, error) { return c.GetOrLoad(t.Context(), strconv.Itoa(i), mustNotLoad[int](t)) })
		}
		eventually(t, waiting(c, 4), "the single calls to join")
		close(w.release)
		for i, one := range ones {
			got := soon(t, one, "a single call")
			require.NoError(t, got.err)
			assert.Equal(t, i, got.v)
		}
		require.NoError(t, soon(t, many, "the batch").err)
		assert.Len(t, w.calls(), 1)
	})
}

func TestOverlappingBatchesLoadEachKeyOnce(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		w := gatedWarehouse()
		first := loadMany(t.Context(), c, w, "0", "1", "2")
		soon(t, w.entered, "the first batch's load")
		second := loadMany(t.Context(), c, w, "4", "3", "2", "1")
		soon(t, w.entered, "the second batch's load")
		third := loadMany(t.Context(), c, w, "0", "4")
		eventually(t, waiting(c, 9), "all to wait")
		close(w.release)
		for _, call := range []struct {
			out  <-chan result[map[string]int]
			want map[string]int
		}{{first, numbered("0", "1", "2")}, {second, numbered("1", "2", "3", "4")}, {third, numbered("0", "4")}} {
			got := soon(t, call.out, "a batch")
			require.NoError(t, got.err)
			assert.Equal(t, call.want, got.v)
		}
		assert.Equal(t, [][]string{{"0", "1", "2"}, {"3", "4"}}, w.calls())
	})
}

// What another process is loading is waited for, the rest is loaded meanwhile.
func TestABatchWaitsForTheLeasesOfAnotherProcess(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := newCache[int](t, rdb), newCache[int](t, rdb)
		theirs, ours := gatedWarehouse(), newWarehouse()
		them := loadMany(t.Context(), other, theirs, "0", "1", "2")
		soon(t, theirs.entered, "their load")
		us := loadMany(t.Context(), c, ours, numbers(6)...)
		eventually(t, func() bool { return ours.ended.Load() == 1 && c.Stats().LockWaits == 3 }, "our load, and the waits")
		close(theirs.release)
		got := soon(t, us, "our batch")
		require.NoError(t, got.err)
		assert.Equal(t, numbered(numbers(6)...), got.v)
		require.NoError(t, soon(t, them, "their batch").err)
		assert.Equal(t, [][]string{{"3", "4", "5"}}, ours.calls())
		assert.Equal(t, [][]string{{"0", "1", "2"}}, theirs.calls())
	})
}

// The keys that another process is loading are no reason for the load of the
// others to go on: it is cancelled when those who want the others have left.
//
//  1. B wants 0 and 1; another process is loading 1. B loads 0.
//  2. S joins B for 1.
//  3. B leaves. S waits on, for 1 only.
//  4. The load of 0 goes on for nobody.
func TestALoadThatNobodyWantsIsCancelledThoughTheBatchHasAnotherKeyThatIsWanted(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := newCache[int](t, rdb), newCache[int](t, rdb)
		theirs, ours := newGated(func() int { return 1 }), gatedWarehouse()
		them := start(func() (int, error) { return other.GetOrLoad(t.Context(), "1", theirs.load) })
		soon(t, theirs.entered, "their load")
		ctx, cancel := context.WithCancel(t.Context())
		us := loadMany(ctx, c, ours, "0", "1")
		load := soon(t, ours.entered, "our load")
		one := start(func() (int, error) { return c.GetOrLoad(t.Context(), "1", theirs.load) })
		eventually(t, waiting(c, 3), "the single call to join")
		cancel()
		assert.ErrorIs(t, soon(t, us, "the batch that left").err, context.Canceled)
		soon(t, load.Done(), "the load to be cancelled")
		close(theirs.release)
		got := soon(t, one, "the single call")
		require.NoError(t, got.err)
		assert.Equal(t, 1, got.v)
		require.NoError(t, soon(t, them, "their call").err)
		assert.Empty(t, must(c.GetMany(t.Context(), []string{"0"})))
	})
}

// A batch whose keys nobody else is at goes on as long as one of them is wanted.
func TestABatchLoadGoesOnUntilNobodyWaitsForAnyKey(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		w := gatedWarehouse()
		ctx, cancel := context.WithCancel(t.Context())
		many := loadMany(ctx, c, w, "0", "1")
		load := <-w.entered
		single, leave := context.WithCancel(t.Context())
		one := start(func() (int, error) { return c.GetOrLoad(single, "0", mustNotLoad[int](t)) })
		eventually(t, waiting(c, 3), "the single call to join")
		cancel()
		require.ErrorIs(t, (<-many).err, context.Canceled)
		synctest.Wait()
		require.NoError(t, load.Err(), "somebody still waits for 0")
		leave()
		require.ErrorIs(t, (<-one).err, context.Canceled)
		<-load.Done()
		settled(t, c)
		again := newWarehouse() // no back-off: a load that nobody wanted is no failure
		got, err := c.GetOrLoadMany(t.Context(), []string{"0", "1"}, again.load)
		require.NoError(t, err)
		assert.Equal(t, numbered("0", "1"), got)
	})
}

func TestALoadOfManyThatNobodyMayStoreIsOneCallWithinTheLimit(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb, cache.WithLoadLimit(1))
		require.NoError(t, rdb.Set(t.Context(), "test:1", "not ours", 0).Err())
		require.NoError(t, rdb.Set(t.Context(), "test:2", "not ours", 0).Err())
		release := make(chan struct{})
		writing := make(chan struct{})
		write := start(func() (int, error) {
			return 0, c.Update(t.Context(), "3", func(context.Context) error { close(writing); <-release; return nil })
		})
		soon(t, writing, "the write")
		w := newWarehouse()
		got, err := c.GetOrLoadMany(t.Context(), numbers(6), w.load)
		require.NoError(t, err)
		assert.Equal(t, numbered(numbers(6)...), got)
		assert.ElementsMatch(t, [][]string{{"0", "4", "5"}, {"1", "2", "3"}}, w.calls())
		close(release)
		require.NoError(t, soon(t, write, "the write").err)
		found, err := c.GetMany(t.Context(), numbers(6))
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"0", "4", "5"}, slices.Collect(maps.Keys(found)))
		assert.Equal(t, "not ours", rdb.Get(t.Context(), "test:1").Val())
	})
}
