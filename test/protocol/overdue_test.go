package protocol_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// hang leaves loaders of keys that hang until release is closed, although their time
// is over, and waits until nobody has a lease of theirs.
func hang(t *testing.T, c *cache.Cache[int], release <-chan struct{}, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, err := c.GetOrLoad(t.Context(), key, func(context.Context, string) (int, error) {
			<-release
			return 0, errors.New("late")
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	time.Sleep(20 * time.Second)
}

// ones is a batch loader that finds 1 for each key.
func ones(_ context.Context, keys []string) (map[string]int, error) {
	all := map[string]int{}
	for _, key := range keys {
		all[key] = 1
	}
	return all, nil
}

// Keys whose loader hangs fail when the load timeout is over; the others of their
// batch do not wait for them, and no process but this one is held up.
func TestALoaderThatHangsHoldsUpItsOwnKeyAlone(t *testing.T) {
	const timeout = time.Second
	for name, opts := range map[string][]cache.EntryOption{"under leases": nil, "without a lease": {cache.StoreIf(false)}} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb, cache.WithLoadTimeout(timeout))
				release := make(chan struct{})
				hang(t, c, release, "a", "b")
				began := time.Now()
				loaded := make(chan time.Duration, 10)
				got, err := c.GetOrLoadMany(t.Context(), []string{"a", "b", "c"}, func(ctx context.Context, keys []string) (map[string]int, error) {
					assert.Equal(t, []string{"c"}, keys)
					loaded <- time.Since(began)
					return ones(ctx, keys)
				}, opts...)
				assert.Equal(t, map[string]int{"c": 1}, got)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.ElementsMatch(t, []string{"a", "b"}, testkit.KeysOf(err))
				assert.Less(t, time.Since(began), timeout+200*time.Millisecond)
				assert.Less(t, <-loaded, 200*time.Millisecond)

				other := testkit.NewCache[int](t, rdb, cache.WithLoadTimeout(timeout))
				waits := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "a", testkit.Value(2)) })
				time.Sleep(100 * time.Millisecond)
				began = time.Now()
				v, err := other.GetOrLoad(t.Context(), "a", testkit.Value(3))
				require.NoError(t, err)
				assert.Equal(t, 3, v)
				assert.Less(t, time.Since(began), 100*time.Millisecond, "who waits for a loader that hangs has no lease meanwhile")
				<-waits
				close(release)
			})
		})
	}
}

// Who waits only for the end of a load that is not for it looks again when that load's
// loader hangs after its last caller has left.
func TestWhoWaitsForTheEndOfALoadDoesNotWaitForALoaderThatHangs(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, cache.WithLoadTimeout(time.Second))
		release := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		first := testkit.Start(func() (int, error) {
			return c.GetOrLoad(ctx, "k", func(context.Context, string) (int, error) { <-release; return 0, nil }, cache.StoreIf(false))
		})
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(2), cache.StoreIf(false))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(began), 2*time.Second)
		assert.ErrorIs(t, (<-first).Err, context.DeadlineExceeded)
		close(release)
	})
}

// slow is a codec that takes its time to encode.
type slow struct{ fickle }

func (s *slow) Append(dst []byte, v any) ([]byte, error) {
	time.Sleep(80 * time.Millisecond)
	return s.fickle.Append(dst, v)
}

// A loader that returns a moment after its time is over is in time still, also if its
// value takes a while to be stored.
func TestALoadThatReturnedInTheLastMomentIsServed(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, cache.WithLoadTimeout(time.Second), cache.WithCodec(&slow{}))
		got, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) {
			time.Sleep(1050 * time.Millisecond)
			return 4, nil
		})
		require.NoError(t, err)
		assert.Equal(t, 4, got)
	})
}

// A batch is cancelled when nobody waits for its keys any more, whoever waits for a key
// that has left it.
func TestAKeyThatHasLeftABatchDoesNotKeepItsLoadAlive(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, cache.WithLoadTimeout(10*time.Second))
		release := make(chan struct{})
		hang(t, c, release, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began, ended := time.Now(), make(chan time.Duration, 1)
		batch := testkit.Start(func() (map[string]int, error) {
			return c.GetOrLoadMany(ctx, []string{"a", "b"}, func(ctx context.Context, _ []string) (map[string]int, error) {
				<-ctx.Done()
				ended <- time.Since(began)
				return nil, ctx.Err()
			})
		})
		time.Sleep(200 * time.Millisecond)
		stays := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "a", testkit.Value(1)) })
		assert.ErrorIs(t, (<-batch).Err, context.DeadlineExceeded)
		assert.InDelta(t, 1, (<-ended).Seconds(), 0.2)
		close(release)
		<-stays // which has the batch's loader, until its time is over
	})
}

// A loader's context marks the calls that the loader makes, and those alone: not the
// refreshes that they start, nor work that outlives the load.
func TestOnlyWhatALoaderWaitsForCountsAsItsOwn(t *testing.T) {
	stale := cache.Expires(&cache.TTL{Name: "test", Fresh: time.Second, StaleWhileRevalidate: time.Hour, Jitter: -1})
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, stale, cache.WithMaxLoads(4))
		all := map[string]int{"b": 1}
		for i := range 40 {
			all["s"+strconv.Itoa(i)] = 1
		}
		require.NoError(t, c.SetMany(t.Context(), all))
		time.Sleep(10 * time.Second)
		var running, peak atomic.Int64
		refreshed := make(chan error, 1)
		_, err := c.GetOrLoad(t.Context(), "a", func(ctx context.Context, _ string) (int, error) {
			for i := range 40 {
				_, _ = c.GetOrLoad(ctx, "s"+strconv.Itoa(i), func(context.Context, string) (int, error) {
					testkit.Raise(&peak, running.Add(1))
					defer running.Add(-1)
					time.Sleep(time.Second)
					return 1, nil
				})
			}
			time.Sleep(3 * time.Second)
			return c.GetOrLoad(ctx, "b", func(ctx context.Context, _ string) (int, error) {
				_, err := c.GetOrLoad(ctx, "a", testkit.Value(7))
				refreshed <- err
				return 5, err
			})
		})
		require.NoError(t, err)
		require.NoError(t, <-refreshed, "the refresh of b may ask for a, which does not wait for it")
		assert.LessOrEqual(t, peak.Load(), int64(4), "refreshes need places")
		var kept context.Context
		_, err = c.GetOrLoad(t.Context(), "z", func(ctx context.Context, _ string) (int, error) {
			kept = context.WithoutCancel(ctx)
			return 1, nil
		})
		require.NoError(t, err)
		require.NoError(t, c.Invalidate(t.Context(), "z"))
		_, err = c.GetOrLoad(kept, "z", testkit.Value(1))
		assert.NoError(t, err, "the load is over")
		testkit.Settled(t, c)
	})
}

// The loaders of a batch may ask for keys of the same batch, and of others that run.
func TestLoadersOfBatchesMayAskForEachOthersKeys(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		child := map[string]string{"p": "child", "p1": "c1", "p2": "c2"}
		var r *cache.ReadThrough[int]
		r = c.ReadThrough(func(ctx context.Context, key string) (int, error) {
			time.Sleep(50 * time.Millisecond)
			if k := child[key]; k != "" {
				return r.Get(ctx, k)
			}
			return 3, nil
		})
		var all sync.WaitGroup
		for _, keys := range [][]string{{"p", "child"}, {"p1", "c2"}, {"p2", "c1"}} {
			all.Go(func() {
				began := time.Now()
				got, err := r.GetMany(t.Context(), keys)
				assert.NoError(t, err, keys)
				assert.Len(t, got, 2, keys)
				assert.Less(t, time.Since(began), time.Second, keys)
			})
		}
		all.Wait()
		_, err := c.GetOrLoadMany(t.Context(), []string{"x", "y"}, func(ctx context.Context, keys []string) (map[string]int, error) {
			return c.GetOrLoadMany(ctx, keys, func(ctx context.Context, keys []string) (map[string]int, error) {
				return c.GetOrLoadMany(ctx, keys, ones)
			})
		})
		assert.ErrorContains(t, err, "would wait for itself")
	})
}

func TestALoadLimitOfAnySizeLetsARefillEnd(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, cache.WithLoadLimit(math.MaxInt))
		for i := range 8 {
			_, err := c.GetOrLoad(t.Context(), strconv.Itoa(i), testkit.Value(2))
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
	})
}
