package protocol_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// versioned is a value whose version may go down.
type versioned struct{ V uint64 }

func (v *versioned) CacheVersion() uint64 {
	if v == nil {
		return 0
	}
	return v.V
}

// A database that went back (a restored backup, a lagging replica, a row that is gone)
// costs a call at most three loads, whatever is in Redis.
func TestAVersionThatGoesDownEndsTheCall(t *testing.T) {
	for name, v := range map[string]*versioned{"an older version": {V: 1}, "nil for a row that is gone": nil} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[*versioned](t, rdb, cache.Expires(&cache.TTL{Name: "test", Fresh: time.Second, StaleIfError: time.Minute, Jitter: -1}))
				require.NoError(t, c.Set(t.Context(), "k", &versioned{V: 9}))
				time.Sleep(2 * time.Second)
				loads := 0
				got, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (*versioned, error) { loads++; return v, nil })
				require.NoError(t, err)
				assert.Equal(t, v, got)
				assert.LessOrEqual(t, loads, 3)
				all, err := c.GetOrLoadMany(t.Context(), []string{"k"}, func(context.Context, []string) (map[string]*versioned, error) {
					loads++
					return map[string]*versioned{"k": v}, nil
				})
				require.NoError(t, err)
				assert.Equal(t, v, all["k"])
				assert.LessOrEqual(t, loads, 6)
			})
		})
	}
}

// fickle is a codec whose values do not decode any more once it is told so.
type fickle struct{ broken atomic.Bool }

func (*fickle) Name() string { return "fickle" }

func (*fickle) Append(dst []byte, v any) ([]byte, error) {
	return strconv.AppendInt(dst, int64(v.(int)), 10), nil
}

func (p *fickle) Decode(data []byte, v any) (err error) {
	if p.broken.Load() {
		return errors.New("not mine")
	}
	*v.(*int), err = strconv.Atoi(string(data))
	return err
}

// While another process loads, a stale value stands in for it; one that does not decode
// cannot. The caller then loads by itself, once.
func TestAStaleValueThatDoesNotDecodeEndsTheWaitForAnotherProcess(t *testing.T) {
	for name, lock := range map[string]cache.Lock{"without a lock": {Off: true}, "after Lock.Wait": {Wait: 10 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				codec := &fickle{}
				class := cache.Expires(&cache.TTL{Name: "test", Fresh: time.Second, StaleIfError: time.Hour, Jitter: -1})
				other := testkit.NewCache[int](t, rdb, class, cache.WithCodec(codec))
				c := testkit.NewCache[int](t, rdb, class, cache.WithCodec(codec), cache.WithLock(lock))
				require.NoError(t, other.Set(t.Context(), "k", 1))
				time.Sleep(2 * time.Second)
				loader := testkit.NewGated(func() int { return 2 })
				slow := testkit.Start(func() (int, error) { return other.GetOrLoad(t.Context(), "k", loader.Load) })
				<-loader.Entered
				codec.broken.Store(true)
				loads := 0
				got, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) { loads++; return 3, nil })
				require.NoError(t, err)
				assert.Equal(t, 3, got)
				assert.Equal(t, 1, loads)
				close(loader.Release)
				<-slow
			})
		})
	}
}

// A loader that asks for its own key would wait for itself until the load timeout.
func TestALoaderThatAsksForItsOwnKeyIsTold(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		var itself, around, batch error
		_, _ = c.GetOrLoad(t.Context(), "a", func(ctx context.Context, _ string) (int, error) {
			_, itself = c.GetOrLoad(ctx, "a", testkit.Value(1))
			_, around = c.GetOrLoad(ctx, "b", func(ctx context.Context, _ string) (int, error) {
				return c.GetOrLoad(ctx, "a", testkit.Value(1))
			})
			_, batch = c.GetOrLoadMany(ctx, []string{"a"}, func(context.Context, []string) (map[string]int, error) { return nil, nil })
			return 1, nil
		})
		for what, err := range map[string]error{"the key itself": itself, "by another key's loader": around, "in a batch": batch} {
			var opErr *cache.OpError
			if assert.ErrorAs(t, err, &opErr, what) {
				assert.Equal(t, "a", opErr.Key, what)
				assert.ErrorContains(t, err, "would wait for itself", what)
			}
		}
		got, err := c.GetOrLoad(t.Context(), "c", func(ctx context.Context, _ string) (int, error) {
			return c.GetOrLoad(ctx, "d", testkit.Value(4))
		})
		require.NoError(t, err, "other keys are no cycle")
		assert.Equal(t, 4, got)
	})
}

// 64 parents that load a child from the same cache while Redis is down fit a limit of
// 64: a load inside of a load has its parent's place.
func TestALoadInsideOfALoadNeedsNoPlaceOfItsOwn(t *testing.T) {
	const parents = 64
	server := redistest.Single(t)
	c := testkit.NewBudgeted[int](t, testkit.TunedClient(t, server), cache.WithLoadLimit(parents))
	server.Kill()
	var all sync.WaitGroup
	var began sync.WaitGroup
	began.Add(parents)
	errs := make([]error, parents)
	for i := range parents {
		all.Go(func() {
			_, errs[i] = c.GetOrLoad(t.Context(), "parent "+strconv.Itoa(i), func(ctx context.Context, _ string) (int, error) {
				began.Done()
				began.Wait() // all places are taken
				return c.GetOrLoad(ctx, "child "+strconv.Itoa(i), takes(100*time.Millisecond))
			})
		})
	}
	all.Wait()
	assert.NoError(t, errors.Join(errs...))
}

// A key whose tags change, one a day or with a release, stays a key that is cached.
func TestTagsThatChangeInTimeLeaveAKeyCacheable(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, cache.Expires(&cache.TTL{Name: "test", Fresh: time.Hour, StaleIfError: 48 * time.Hour, Jitter: -1}))
		for day := range 80 {
			loads := 0
			for range 5 {
				_, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) { loads++; return day, nil },
					cache.Tagged("day "+strconv.Itoa(day)))
				require.NoError(t, err)
			}
			require.Equal(t, 1, loads, "day %d", day)
			time.Sleep(24 * time.Hour)
		}
	})
}

// A scan of keys that are not cached loads no more at once than WithMaxLoads allows,
// with a lease or without; keys that are cached are served.
func TestMaxLoadsBoundsAScan(t *testing.T) {
	const keys, most = 2000, 64
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, wide(t, rdb), cache.WithMaxLoads(most))
		require.NoError(t, c.Set(t.Context(), "known", 7))
		time.Sleep(10 * time.Second) // the refill of the beginning is over
		var running, peak, loads atomic.Int64
		load := func(ctx context.Context, key string) (int, error) {
			loads.Add(1)
			testkit.Raise(&peak, running.Add(1))
			defer running.Add(-1)
			return takes(20*time.Millisecond)(ctx, key)
		}
		var scan sync.WaitGroup
		var refused atomic.Int64
		for i := range keys {
			scan.Go(func() {
				_, err := c.GetOrLoad(t.Context(), "scan "+strconv.Itoa(i), load)
				if errors.Is(err, cache.ErrOverloaded) {
					refused.Add(1)
				} else {
					assert.NoError(t, err)
				}
			})
		}
		got, err := c.GetOrLoad(t.Context(), "known", testkit.MustNotLoad[int](t))
		require.NoError(t, err)
		assert.Equal(t, 7, got)
		scan.Wait()
		t.Logf("%d loads, at most %d at once; %d refused", loads.Load(), peak.Load(), refused.Load())
		assert.EqualValues(t, most, peak.Load())
		assert.EqualValues(t, keys, loads.Load()+refused.Load())
	})
	_, err := cache.New(newRefusing(t), "test", cache.Aside[int](), cache.WithMaxLoads(-1))
	assert.ErrorContains(t, err, "WithMaxLoads: -1 is below 0")
}

// newRefusing is a client that nothing is sent through.
func newRefusing(t *testing.T) redis.UniversalClient {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { assert.NoError(t, rdb.Close()) })
	return rdb
}

// Callers that come one after the other, each with less time than a load takes: the
// second load in a row is let finish, and its value stored.
func TestCallersWithLessTimeThanALoadTakesGetAValueInTheEnd(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		loads, served := atomic.Int64{}, 0
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := c.GetOrLoad(ctx, "k", func(ctx context.Context, key string) (int, error) {
				loads.Add(1)
				return takes(150*time.Millisecond)(ctx, key)
			})
			cancel()
			if err == nil {
				served++
			} else {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			}
		}
		assert.EqualValues(t, 2, loads.Load())
		assert.GreaterOrEqual(t, served, 27)
	})
}

// Redis freezes; callers have 80 ms and a loader that takes 5. Each of them is served.
func TestCallersWithShortDeadlinesLoadWhileRedisIsFrozen(t *testing.T) {
	for _, callers := range []int{1, 8} {
		t.Run(strconv.Itoa(callers), func(t *testing.T) {
			testkit.InTime(t, func() []testkit.Figure {
				server := redistest.Single(t)
				c := testkit.NewBudgeted[int](t, testkit.TunedClient(t, server))
				_, err := c.GetOrLoad(t.Context(), "warm", testkit.Value(1))
				require.NoError(t, err)
				server.Pause()
				defer server.Resume()
				late := 0
				var mu sync.Mutex
				failed, ok := steady(callers, 3*time.Second, 0, func(key string) error {
					ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
					defer cancel()
					_, err := c.GetOrLoad(ctx, key, takes(5*time.Millisecond))
					if errors.Is(err, context.DeadlineExceeded) {
						mu.Lock()
						defer mu.Unlock()
						late++
						return nil
					}
					return err
				})
				t.Logf("%d calls, %d late, %d failed", ok, late, failed)
				assert.Zero(t, failed)
				assert.Greater(t, ok, int64(100))
				return []testkit.Figure{{What: "calls without an answer in time", Took: time.Duration(late), Bound: 1}}
			})
		})
	}
}
