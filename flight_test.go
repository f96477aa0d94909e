package cache_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
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

func TestConcurrentCallersShareOneLoad(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		loader := testkit.NewGated(func() int { return 7 })
		const callers = 50
		var calls [callers]<-chan testkit.Result[int]
		for i := range calls {
			calls[i] = testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", loader.Load) })
		}
		testkit.Eventually(t, testkit.Waiting(c, callers), "all callers to wait")
		close(loader.Release)
		for _, call := range calls {
			got := testkit.Soon(t, call, "a caller")
			require.NoError(t, got.Err)
			assert.Equal(t, 7, got.V)
		}
		assert.EqualValues(t, 1, loader.Calls.Load())
		assert.EqualValues(t, callers-1, c.Stats().Coalesced)
		assert.EqualValues(t, callers, c.Stats().Misses)
	})
}

func TestAWaiterLeavesOnItsOwnContextAndTheLoadGoesOn(t *testing.T) {
	for _, test := range []struct {
		name    string
		leaving int // 0: the leader
	}{{"the caller that started the load", 0}, {"a caller that joined it", 1}} {
		t.Run(test.name, func(t *testing.T) {
			testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb)
				loader := testkit.NewGated(func() int { return 7 })
				var calls [2]<-chan testkit.Result[int]
				var cancels [2]context.CancelFunc
				for i := range calls {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					cancels[i] = cancel
					calls[i] = testkit.Start(func() (int, error) { return c.GetOrLoad(ctx, "k", loader.Load) })
					testkit.Eventually(t, testkit.Waiting(c, i+1), "the caller to wait")
				}
				cancels[test.leaving]()
				assert.ErrorIs(t, testkit.Soon(t, calls[test.leaving], "the one who left").Err, context.Canceled)
				close(loader.Release)
				got := testkit.Soon(t, calls[1-test.leaving], "the one who stayed")
				require.NoError(t, got.Err)
				assert.Equal(t, 7, got.V)
				assert.EqualValues(t, 1, loader.Calls.Load())
			})
		})
	}
}

func TestALoadIsCancelledWhenNobodyWaitsAnyMore(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		ended := make(chan error, 1)
		entered := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		call := testkit.Start(func() (int, error) {
			return c.GetOrLoad(ctx, "k", func(ctx context.Context, _ string) (int, error) {
				close(entered)
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return 0, ctx.Err()
			})
		})
		testkit.Soon(t, entered, "the loader")
		cancel()
		assert.ErrorIs(t, testkit.Soon(t, call, "the caller").Err, context.Canceled)
		assert.ErrorIs(t, testkit.Soon(t, ended, "the loader's context to end"), context.Canceled)
		testkit.Eventually(t, func() bool { return c.Stats().Loading == 0 }, "the flight to end")

		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value(7))
		require.NoError(t, err, "a cancelled load is no failure: no back-off")
		assert.Equal(t, 7, got)
	})
}

type ctxKey struct{}

func TestTheLoaderHasItsCallersValuesAndADeadlineOfItsOwn(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithLoadTimeout(time.Minute))
	ctx := context.WithValue(t.Context(), ctxKey{}, "tenant")
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := c.GetOrLoad(ctx, "k", func(ctx context.Context, key string) (int, error) {
		assert.Equal(t, "k", key)
		assert.Equal(t, "tenant", ctx.Value(ctxKey{}))
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.Greater(t, time.Until(deadline), 30*time.Second, "the load timeout, not the caller's deadline")
		return 1, nil
	})
	require.NoError(t, err)
}

// A loader that hangs runs once, however many calls come for its key: they wait for
// it, and fail when their own load timeout is over.
func TestALoaderThatIgnoresItsContextHoldsNoCallerAndIsNotCalledAgain(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, cache.WithLoadTimeout(5*time.Second))
		stuck, running := make(chan struct{}), atomic.Int64{}
		hangs := func(context.Context, string) (int, error) {
			running.Add(1)
			<-stuck
			return 1, nil
		}
		for range 4 {
			began := time.Now()
			_, err := c.GetOrLoad(t.Context(), "k", hangs)
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.InDelta(t, 5, time.Since(began).Seconds(), 0.2)
			time.Sleep(5 * time.Second) // until nobody backs off
		}
		assert.EqualValues(t, 1, running.Load())
		assert.EqualValues(t, 1, c.Stats().Overdue)
		other, err := c.GetOrLoad(t.Context(), "other", testkit.Value(3))
		require.NoError(t, err, "only its own key is held up")
		assert.Equal(t, 3, other)

		waits := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", testkit.Value(2)) })
		time.Sleep(time.Second)
		close(stuck)
		got := <-waits
		require.NoError(t, got.Err, "who waits loads as soon as it has returned")
		assert.Equal(t, 2, got.V)
		assert.Zero(t, c.Stats().Overdue)
		v, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, 2, v, "the late result is fenced off")
	})
}

// misbehaving loaders, and what their callers get.
var misbehaving = map[string]func(){
	"panics":       func() { panic("boom") },
	"calls Goexit": runtime.Goexit,
}

func TestALoaderThatDiesReachesEveryWaiterAndStoresNothing(t *testing.T) {
	for name, die := range misbehaving {
		t.Run(name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb)
				release := make(chan struct{})
				load := func(context.Context, string) (int, error) {
					<-release
					die()
					return 1, nil
				}
				one := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
				two := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
				synctest.Wait()
				for c.Stats().Waiting < 2 {
					time.Sleep(time.Millisecond)
				}
				close(release)
				for _, call := range []<-chan testkit.Result[int]{one, two} {
					var panicked *cache.PanicError
					require.ErrorAs(t, (<-call).Err, &panicked)
					assert.NotEmpty(t, panicked.Stack)
					assert.NotNil(t, panicked.Value)
				}
				assert.EqualValues(t, 1, c.Stats().LoadErrors)
				_, err := c.Get(t.Context(), "k")
				assert.ErrorIs(t, err, cache.ErrMiss)
				got, err := c.GetOrLoad(t.Context(), "k", testkit.Value(2))
				require.NoError(t, err, "after the back-off the key loads again")
				assert.Equal(t, 2, got)
			})
		})
	}
}

func TestALoadersErrorIsPassedUnchangedAndNotStored(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		boom := errors.New("boom")
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Failing[int](boom))
		assert.True(t, err == boom) //nolint:errorlint // the identity is the promise
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		assert.Equal(t, 1, got)
	})
}

func TestCloseDuringALoad(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		loader := testkit.NewGated(func() int { return 7 })
		one := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", loader.Load) })
		two := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", loader.Load) })
		testkit.Soon(t, loader.Entered, "the loader")
		testkit.Eventually(t, testkit.Waiting(c, 2), "both callers to wait")
		require.NoError(t, c.Close())
		assert.ErrorIs(t, testkit.Soon(t, one, "the leader").Err, cache.ErrClosed)
		assert.ErrorIs(t, testkit.Soon(t, two, "the follower").Err, cache.ErrClosed)
		assert.Zero(t, c.Stats().Loading, "Close waits for the load's goroutine")
	})
}

// Rule (b): a load without a lease is shared by those whose call began before
// the loader was called, and by nobody else; those wait for its end, and one
// of them loads for all.
func TestLoadsWithoutALeaseAreSharedByRuleB(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int64](t, rdb)
		var loads atomic.Int64
		loader := testkit.NewGated(func() int64 { return loads.Add(1) })
		get := func() (int64, error) {
			return c.GetOrLoad(t.Context(), "page 900", loader.Load, cache.StoreIf(false))
		}
		first := testkit.Start(get)
		testkit.Soon(t, loader.Entered, "the first load")
		late := make([]<-chan testkit.Result[int64], 20)
		for i := range late {
			late[i] = testkit.Start(get)
		}
		testkit.Eventually(t, testkit.Waiting(c, 1+len(late)), "the late callers to wait")
		loader.Release <- struct{}{}
		got := testkit.Soon(t, first, "the first caller")
		require.NoError(t, got.Err)
		assert.EqualValues(t, 1, got.V)

		testkit.Soon(t, loader.Entered, "the second load")
		testkit.Eventually(t, testkit.Waiting(c, len(late)), "the late callers to share it")
		loader.Release <- struct{}{}
		for _, call := range late {
			got := testkit.Soon(t, call, "a late caller")
			require.NoError(t, got.Err)
			assert.EqualValues(t, 2, got.V)
		}
		_, err := c.Get(t.Context(), "page 900")
		assert.ErrorIs(t, err, cache.ErrMiss, "nothing was stored")
	})
}

func TestAChangeMadeHereDetachesTheKeysFlight(t *testing.T) {
	changes := map[string]func(context.Context, *cache.Cache[int]) error{
		"Invalidate": func(ctx context.Context, c *cache.Cache[int]) error { return c.Invalidate(ctx, "k") },
		"Delete":     func(ctx context.Context, c *cache.Cache[int]) error { return c.Delete(ctx, "k") },
		"Set":        func(ctx context.Context, c *cache.Cache[int]) error { return c.Set(ctx, "k", 2) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb)
				loader := testkit.NewGated(func() int { return 1 })
				first := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", loader.Load) })
				testkit.Soon(t, loader.Entered, "the first load")
				require.NoError(t, change(t.Context(), c))
				got, err := c.GetOrLoad(t.Context(), "k", testkit.Value(2))
				require.NoError(t, err)
				assert.Equal(t, 2, got, "nobody joins the load that the change overtook")
				close(loader.Release)
				require.NoError(t, testkit.Soon(t, first, "the first caller").Err)
				got, err = c.Get(t.Context(), "k")
				require.NoError(t, err)
				assert.Equal(t, 2, got, "and it does not commit")
				assert.EqualValues(t, 1, c.Stats().RefusedFills)
			})
		})
	}
}
