package protocol_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

func TestABatchJoinsASingleLoad(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		single, w := testkit.NewGated(func() int { return 1 }), testkit.NewWarehouse()
		one := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "1", single.Load) })
		testkit.Soon(t, single.Entered, "the single load")
		many := testkit.LoadMany(t.Context(), c, w, "0", "1", "2")
		testkit.Eventually(t, testkit.Waiting(c, 2), "the batch to wait for the single load")
		testkit.Eventually(t, func() bool { return w.Ended.Load() == 1 }, "the batch to load the rest")
		close(single.Release)
		got := testkit.Soon(t, many, "the batch")
		require.NoError(t, got.Err)
		assert.Equal(t, testkit.Numbered("0", "1", "2"), got.V)
		require.NoError(t, testkit.Soon(t, one, "the single call").Err)
		assert.Equal(t, [][]string{{"0", "2"}}, w.Calls())
		assert.EqualValues(t, 1, single.Calls.Load())
		assert.EqualValues(t, 1, c.Stats().Coalesced)
	})
}

func TestSingleCallsJoinABatch(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		w := testkit.GatedWarehouse()
		many := testkit.LoadMany(t.Context(), c, w, "0", "1")
		testkit.Soon(t, w.Entered, "the batch's load")
		var ones [2]<-chan testkit.Result[int]
		for i := range ones {
			ones[i] = testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), strconv.Itoa(i), testkit.MustNotLoad[int](t)) })
		}
		testkit.Eventually(t, testkit.Waiting(c, 4), "the single calls to join")
		close(w.Release)
		for i, one := range ones {
			got := testkit.Soon(t, one, "a single call")
			require.NoError(t, got.Err)
			assert.Equal(t, i, got.V)
		}
		require.NoError(t, testkit.Soon(t, many, "the batch").Err)
		assert.Len(t, w.Calls(), 1)
	})
}

func TestOverlappingBatchesLoadEachKeyOnce(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		w := testkit.GatedWarehouse()
		first := testkit.LoadMany(t.Context(), c, w, "0", "1", "2")
		testkit.Soon(t, w.Entered, "the first batch's load")
		second := testkit.LoadMany(t.Context(), c, w, "4", "3", "2", "1")
		testkit.Soon(t, w.Entered, "the second batch's load")
		third := testkit.LoadMany(t.Context(), c, w, "0", "4")
		testkit.Eventually(t, testkit.Waiting(c, 9), "all to wait")
		close(w.Release)
		for _, call := range []struct {
			out  <-chan testkit.Result[map[string]int]
			want map[string]int
		}{{first, testkit.Numbered("0", "1", "2")}, {second, testkit.Numbered("1", "2", "3", "4")}, {third, testkit.Numbered("0", "4")}} {
			got := testkit.Soon(t, call.out, "a batch")
			require.NoError(t, got.Err)
			assert.Equal(t, call.want, got.V)
		}
		assert.Equal(t, [][]string{{"0", "1", "2"}, {"3", "4"}}, w.Calls())
	})
}

// What another process is loading is waited for, the rest is loaded meanwhile.
func TestABatchWaitsForTheLeasesOfAnotherProcess(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		theirs, ours := testkit.GatedWarehouse(), testkit.NewWarehouse()
		them := testkit.LoadMany(t.Context(), other, theirs, "0", "1", "2")
		testkit.Soon(t, theirs.Entered, "their load")
		us := testkit.LoadMany(t.Context(), c, ours, testkit.Numbers(6)...)
		testkit.Eventually(t, func() bool { return ours.Ended.Load() == 1 && c.Stats().LockWaits == 3 }, "our load, and the waits")
		close(theirs.Release)
		got := testkit.Soon(t, us, "our batch")
		require.NoError(t, got.Err)
		assert.Equal(t, testkit.Numbered(testkit.Numbers(6)...), got.V)
		require.NoError(t, testkit.Soon(t, them, "their batch").Err)
		assert.Equal(t, [][]string{{"3", "4", "5"}}, ours.Calls())
		assert.Equal(t, [][]string{{"0", "1", "2"}}, theirs.Calls())
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
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		theirs, ours := testkit.NewGated(func() int { return 1 }), testkit.GatedWarehouse()
		them := testkit.Start(func() (int, error) { return other.GetOrLoad(t.Context(), "1", theirs.Load) })
		testkit.Soon(t, theirs.Entered, "their load")
		ctx, cancel := context.WithCancel(t.Context())
		us := testkit.LoadMany(ctx, c, ours, "0", "1")
		load := testkit.Soon(t, ours.Entered, "our load")
		one := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "1", theirs.Load) })
		testkit.Eventually(t, testkit.Waiting(c, 3), "the single call to join")
		cancel()
		assert.ErrorIs(t, testkit.Soon(t, us, "the batch that left").Err, context.Canceled)
		testkit.Soon(t, load.Done(), "the load to be cancelled")
		close(theirs.Release)
		got := testkit.Soon(t, one, "the single call")
		require.NoError(t, got.Err)
		assert.Equal(t, 1, got.V)
		require.NoError(t, testkit.Soon(t, them, "their call").Err)
		assert.Empty(t, testkit.Must(c.GetMany(t.Context(), []string{"0"})))
	})
}

// A batch whose keys nobody else is at goes on as long as one of them is wanted.
func TestABatchLoadGoesOnUntilNobodyWaitsForAnyKey(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		w := testkit.GatedWarehouse()
		ctx, cancel := context.WithCancel(t.Context())
		many := testkit.LoadMany(ctx, c, w, "0", "1")
		load := <-w.Entered
		single, leave := context.WithCancel(t.Context())
		one := testkit.Start(func() (int, error) { return c.GetOrLoad(single, "0", testkit.MustNotLoad[int](t)) })
		testkit.Eventually(t, testkit.Waiting(c, 3), "the single call to join")
		cancel()
		require.ErrorIs(t, (<-many).Err, context.Canceled)
		synctest.Wait()
		require.NoError(t, load.Err(), "somebody still waits for 0")
		leave()
		require.ErrorIs(t, (<-one).Err, context.Canceled)
		<-load.Done()
		testkit.Settled(t, c)
		again := testkit.NewWarehouse() // no back-off: a load that nobody wanted is no failure
		got, err := c.GetOrLoadMany(t.Context(), []string{"0", "1"}, again.Load)
		require.NoError(t, err)
		assert.Equal(t, testkit.Numbered("0", "1"), got)
	})
}

func TestALoadOfManyThatNobodyMayStoreIsOneCallWithinTheLimit(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, cache.WithLoadLimit(1))
		require.NoError(t, rdb.Set(t.Context(), "test:1", "not ours", 0).Err())
		require.NoError(t, rdb.Set(t.Context(), "test:2", "not ours", 0).Err())
		release := make(chan struct{})
		writing := make(chan struct{})
		write := testkit.Start(func() (int, error) {
			return 0, c.Update(t.Context(), "3", func(context.Context) error { close(writing); <-release; return nil })
		})
		testkit.Soon(t, writing, "the write")
		w := testkit.NewWarehouse()
		got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(6), w.Load)
		require.NoError(t, err)
		assert.Equal(t, testkit.Numbered(testkit.Numbers(6)...), got)
		assert.ElementsMatch(t, [][]string{{"0", "4", "5"}, {"1", "2", "3"}}, w.Calls())
		close(release)
		require.NoError(t, testkit.Soon(t, write, "the write").Err)
		found, err := c.GetMany(t.Context(), testkit.Numbers(6))
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"0", "4", "5"}, slices.Collect(maps.Keys(found)))
		assert.Equal(t, "not ours", rdb.Get(t.Context(), "test:1").Val())
	})
}
