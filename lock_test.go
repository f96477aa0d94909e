package cache_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// twoProcesses runs test on a fake clock with two caches of one name. The first
// can be cut off.
func twoProcesses(t *testing.T, test func(t *testing.T, one, two *cache.Cache[int], cut *testkit.Outage), opts ...cache.Option) {
	t.Helper()
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		cut := &testkit.Outage{}
		first := b.Redis(t)
		first.AddHook(cut)
		one := testkit.NewCache[int](t, first, opts...)
		two := testkit.NewCache[int](t, b.Redis(t), opts...)
		test(t, one, two, cut)
	})
}

// slow is a loader that takes d and counts its calls.
func slow(calls *atomic.Int64, d time.Duration, read func() int) cache.Loader[int] {
	return func(ctx context.Context, _ string) (int, error) {
		calls.Add(1)
		v := read()
		select {
		case <-time.After(d):
			return v, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Scenario 6. The lease's deadline only grants take-over: a loader that was
// paused beyond it, and that nobody replaced, still commits.
func TestLateCommitWithoutTakeover(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], cut *testkit.Outage) {
		got, err := one.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) {
			cut.On.Store(true) // no renewal gets through
			time.Sleep(10 * time.Second)
			cut.On.Store(false)
			time.Sleep(1500 * time.Millisecond) // the breaker lets the next renewal through
			return 7, nil
		})
		require.NoError(t, err)
		assert.Equal(t, 7, got)
		got, err = two.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, 7, got)
		t.Logf("commit %d, refused %d", 1-one.Stats().RefusedFills, one.Stats().RefusedFills)
		assert.Zero(t, one.Stats().RefusedFills)
	})
}

// Scenario 5. A loader is paused for a minute; its lease ends after 3 s, and
// another process takes over. The late commit is refused.
func TestPausedLoaderTakeover(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], cut *testkit.Outage) {
		var row, loads atomic.Int64
		read := func() int { return int(row.Load()) }
		paused := testkit.Start(func() (int, error) {
			return one.GetOrLoad(t.Context(), "k", func(ctx context.Context, key string) (int, error) {
				cut.On.Store(true)
				v, err := slow(&loads, time.Minute, read)(ctx, key)
				cut.On.Store(false)
				time.Sleep(1500 * time.Millisecond) // the breaker lets the next renewal through
				return v, err
			})
		})
		time.Sleep(time.Second)
		row.Store(1)
		began := time.Now()
		got, err := two.GetOrLoad(t.Context(), "k", slow(&loads, 100*time.Millisecond, read))
		require.NoError(t, err)
		assert.Equal(t, 1, got)
		took := time.Since(began)
		assert.InDelta(t, 2.1, took.Seconds(), 0.3, "3 s after the pause, and the load")

		require.NoError(t, (<-paused).Err)
		got, err = one.Get(t.Context(), "k")
		require.NoError(t, err)
		t.Logf("loads %d, refused %d, final %d, take-over after %v", loads.Load(), one.Stats().RefusedFills, got, took)
		assert.EqualValues(t, 2, loads.Load())
		assert.EqualValues(t, 1, one.Stats().RefusedFills)
		assert.Equal(t, 1, got)
	}, cache.WithLoadTimeout(5*time.Minute))
}

func TestLosersWaitForTheLoadOfAnotherProcess(t *testing.T) {
	for _, d := range []time.Duration{time.Millisecond, 50 * time.Millisecond, time.Second, 20 * time.Second} {
		t.Run(d.String(), func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
				var loads atomic.Int64
				load := slow(&loads, d, testkit.Always(7))
				began := time.Now()
				winner := testkit.Start(func() (int, error) { return one.GetOrLoad(t.Context(), "k", load) })
				for loads.Load() == 0 {
					time.Sleep(10 * time.Microsecond)
				}
				got, err := two.GetOrLoad(t.Context(), "k", load)
				require.NoError(t, err)
				assert.Equal(t, 7, got)
				late := time.Since(began) - d
				assert.LessOrEqual(t, late, max(d/6, 3*time.Millisecond)+time.Millisecond, "lateness")
				require.NoError(t, (<-winner).Err)
				assert.EqualValues(t, 1, loads.Load(), "the lease is renewed while the loader runs")
				assert.EqualValues(t, 1, two.Stats().LockWaits)
			})
		})
	}
}

func TestAWaiterGoesItsOwnWay(t *testing.T) {
	tests := []struct {
		name string
		lock cache.Lock
		took time.Duration
	}{
		{"at once when the lock is off", cache.Lock{Off: true}, 0},
		{"after Lock.Wait", cache.Lock{Wait: 2 * time.Second}, 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
				var loads atomic.Int64
				ctx, cancel := context.WithCancel(t.Context())
				winner := testkit.Start(func() (int, error) {
					return one.GetOrLoad(ctx, "k", slow(&loads, time.Minute, testkit.Always(1)))
				})
				for loads.Load() == 0 {
					time.Sleep(time.Millisecond)
				}
				began := time.Now()
				got, err := two.GetOrLoad(t.Context(), "k", testkit.Value(2))
				require.NoError(t, err)
				assert.Equal(t, 2, got)
				assert.InDelta(t, test.took.Seconds(), time.Since(began).Seconds(), 0.15)
				_, err = two.Get(t.Context(), "k")
				assert.ErrorIs(t, err, cache.ErrMiss, "what was loaded without the lease is not stored")
				cancel()
				<-winner
			}, cache.WithLock(test.lock), cache.WithLoadTimeout(30*time.Second))
		})
	}
}

func TestAWaiterTakesOverWhenTheOtherProcessFails(t *testing.T) {
	twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
		boom := errors.New("boom")
		failer := testkit.Start(func() (int, error) {
			return one.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) {
				time.Sleep(300 * time.Millisecond)
				return 0, boom
			})
		})
		time.Sleep(10 * time.Millisecond)
		began := time.Now()
		got, err := two.GetOrLoad(t.Context(), "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, got)
		assert.ErrorIs(t, (<-failer).Err, boom)
		assert.InDelta(t, 0.59, time.Since(began).Seconds(), 0.1, "the rest of the failing load, and its back-off of as long as it took")
	})
}

// Scenario 27, for one process after another: the whole fleet backs off after
// a failed load.
func TestTheFleetBacksOffAfterAFailedLoad(t *testing.T) {
	boom := errors.New("boom")
	fail := func(t *testing.T, one *cache.Cache[int]) {
		_, err := one.GetOrLoad(t.Context(), "k", testkit.Failing[int](boom))
		require.ErrorIs(t, err, boom)
	}
	t.Run("callers wait for its end and one of them loads", func(t *testing.T) {
		twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
			fail(t, one)
			began := time.Now()
			var loads atomic.Int64
			var calls []<-chan testkit.Result[int]
			for range 10 {
				for _, c := range []*cache.Cache[int]{one, two} {
					calls = append(calls, testkit.Start(func() (int, error) {
						return c.GetOrLoad(t.Context(), "k", slow(&loads, time.Millisecond, testkit.Always(7)))
					}))
				}
			}
			for _, call := range calls {
				got := <-call
				require.NoError(t, got.Err)
				assert.Equal(t, 7, got.V)
			}
			assert.EqualValues(t, 1, loads.Load())
			assert.InDelta(t, 0.1, time.Since(began).Seconds(), 0.02)
		})
	})
	t.Run("who may not wait so long gets ErrBackoff at once", func(t *testing.T) {
		twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
			fail(t, one)
			began := time.Now()
			_, err := two.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
			assert.ErrorIs(t, err, cache.ErrBackoff)
			assert.Less(t, time.Since(began), time.Millisecond)
		}, cache.WithLock(cache.Lock{Wait: 50 * time.Millisecond}))
	})
	t.Run("a deadline before its end counts as not waiting so long", func(t *testing.T) {
		twoProcesses(t, func(t *testing.T, one, two *cache.Cache[int], _ *testkit.Outage) {
			fail(t, one)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			_, err := two.GetOrLoad(ctx, "k", testkit.MustNotLoad[int](t))
			assert.ErrorIs(t, err, cache.ErrBackoff)
			assert.NoError(t, ctx.Err(), "it is told at once")
		})
	})
}
