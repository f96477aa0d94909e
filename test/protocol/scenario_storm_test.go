package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/singleflight"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

var errStorm = errors.New("the database is down")

// storm is a loader that takes some time and fails, and notes when.
type storm struct {
	took time.Duration

	mu    sync.Mutex
	loads map[string][]time.Time // key to when its loads ended
	least time.Duration          // between the end of a load and the begin of the next of its key
}

func newStorm(took time.Duration) *storm {
	return &storm{took: took, loads: map[string][]time.Time{}, least: time.Hour}
}

func (s *storm) load(ctx context.Context, key string) (int, error) {
	s.mu.Lock()
	if n := len(s.loads[key]); n > 0 {
		s.least = min(s.least, time.Since(s.loads[key][n-1]))
	}
	s.mu.Unlock()
	err := testkit.Pace(ctx, s.took)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads[key] = append(s.loads[key], time.Now())
	return 0, errors.Join(errStorm, err)
}

// most is the number of loads of the key that was loaded most often.
func (s *storm) most() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ends := range s.loads {
		n = max(n, len(ends))
	}
	return n
}

// rage lets several callers of each get ask for the same few keys for d, again
// and again, and returns the number of calls that were answered.
func rage(d time.Duration, gets ...func(ctx context.Context, key string) (int, error)) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var answered atomic.Int64
	var callers sync.WaitGroup
	for _, get := range gets {
		for i := range 8 {
			callers.Go(func() {
				for ctx.Err() == nil {
					if _, err := get(context.WithoutCancel(ctx), strconv.Itoa(i%2)); errors.Is(err, errStorm) {
						answered.Add(1)
					}
				}
			})
		}
	}
	callers.Wait()
	return answered.Load()
}

// Scenario 27. The database fails. Four processes with eight callers each keep
// asking for two keys, without a pause between their calls. The fleet loads a key
// at most once in each back-off, which is as long as the load took, at least 100
// ms and at most 1 s; everybody else waits for that one load's outcome.
func TestLoaderErrorStorm(t *testing.T) {
	t.Parallel()
	const lasts = 10 * time.Second
	for _, test := range []struct{ took, backoff time.Duration }{
		{time.Millisecond, 100 * time.Millisecond},
		{300 * time.Millisecond, 300 * time.Millisecond},
		{2 * time.Second, time.Second},
	} {
		t.Run(test.took.String(), func(t *testing.T) {
			b := cachetest.NewBubble(t)
			synctest.Test(t, func(t *testing.T) {
				s := newStorm(test.took)
				var gets []func(ctx context.Context, key string) (int, error)
				for range 4 {
					c := testkit.NewCache[int](t, b.Redis(t))
					gets = append(gets, func(ctx context.Context, key string) (int, error) { return c.GetOrLoad(ctx, key, s.load) })
				}
				began := time.Now()
				answered := rage(lasts, gets...)
				lasted := time.Since(began) // until the last call was answered
				bound := int(lasted/(test.took+test.backoff)) + 1
				t.Logf("load %v: %d loads of a key in %v, allowed %d; at least %v apart; %d calls answered",
					test.took, s.most(), lasted.Round(time.Millisecond), bound, s.least, answered)
				assert.LessOrEqual(t, s.most(), bound, "loads of a key")
				assert.GreaterOrEqual(t, s.least, test.backoff-time.Millisecond, "Redis counts in milliseconds")
				assert.GreaterOrEqual(t, s.most(), bound/2, "it is tried again after each back-off")
			})
		})
	}
}

// One load at a time in each process, and no back-off.
func TestLoaderErrorStormControl(t *testing.T) {
	t.Parallel()
	const lasts = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := newStorm(time.Millisecond)
		var gets []func(ctx context.Context, key string) (int, error)
		for range 4 {
			var g singleflight.Group
			gets = append(gets, func(ctx context.Context, key string) (int, error) {
				_, err, _ := g.Do(key, func() (any, error) { return s.load(ctx, key) })
				return 0, err
			})
		}
		rage(lasts, gets...)
		t.Logf("naive control: %d loads of a key in %v, at least %v apart", s.most(), lasts, s.least)
		assert.Greater(t, s.most(), 1000, "the control must storm, else the test is blind")
	})
}

// The same on a real server and a real clock. A call that overran its budget on a
// busy machine loads without the lease, so it is counted.
func TestLoaderErrorStormOnRedis(t *testing.T) {
	t.Parallel()
	server, s, lasts := redistest.Single(t), newStorm(time.Millisecond), testkit.Span(2*time.Second, time.Second)
	var gets []func(ctx context.Context, key string) (int, error)
	var caches []*cache.Cache[int]
	for range 4 {
		c := testkit.NewCache[int](t, server.Client(t))
		caches = append(caches, c)
		gets = append(gets, func(ctx context.Context, key string) (int, error) { return c.GetOrLoad(ctx, key, s.load) })
	}
	began := time.Now()
	rage(lasts, gets...)
	bound := int64(time.Since(began)/(100*time.Millisecond)) + 1
	for _, c := range caches {
		bound += c.Stats().RedisErrors
	}
	t.Logf("%d loads of a key in %v, allowed %d", s.most(), lasts, bound)
	assert.LessOrEqual(t, int64(s.most()), bound)
}

// closeBudget is what Close waits for at most with a Redis that does not answer:
// a renewal and a release of a lease, a batch of the drainer, and commands that
// the client does not give up (twice the budget of a script). The rest is for a
// busy machine.
const closeBudget = 5*150*time.Millisecond + time.Second

// Scenario 28. Close while loads, a wait for another process, a back-off, a
// refresh in the background, a lease's renewal and a drain are under way, all at
// once: callers get ErrClosed, no goroutine is left, and a Redis that is frozen or
// dead does not make it take longer than its budgets.
func TestCloseEndsAllWork(t *testing.T) {
	states := []struct {
		name string
		hit  func(*redistest.Server)
		down bool
	}{
		{"a healthy Redis", func(*redistest.Server) {}, false},
		{"a frozen Redis", (*redistest.Server).Pause, true},
		{"a killed Redis", (*redistest.Server).Kill, true},
	}
	before := goleak.IgnoreCurrent()
	t.Run("at once", func(t *testing.T) {
		for _, state := range states {
			for _, deadlines := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, deadlines honoured %v", state.name, deadlines), func(t *testing.T) {
					t.Parallel()
					testkit.InTime(t, func() []testkit.Figure { return closeAtWork(t, state.hit, state.down, deadlines) })
				})
			}
		}
	})
	testkit.Eventually(t, func() bool { return goleak.Find(before) == nil }, "goroutines to end")
	goleak.VerifyNone(t, before)
}

func closeAtWork(t *testing.T, hit func(*redistest.Server), down, deadlines bool) []testkit.Figure {
	server := redistest.Single(t)
	w := newWork(t, server, deadlines)
	hit(server)
	w.cut.On.Store(false) // not before: a drain that finds Redis up leaves nothing to report
	began := time.Now()
	err := w.cache.Close()
	took := time.Since(began)
	var left *cache.RemainingError
	if errors.As(err, &left) {
		err = nil // the drain, if Redis did not answer
	}
	for what, call := range w.calls {
		assert.ErrorIs(t, testkit.Soon(t, call, what).Err, cache.ErrClosed, what)
	}
	w.close()
	t.Logf("Close took %v: %v", took.Round(time.Millisecond), errors.Join(err, w.cache.Close()))
	if deadlines {
		assert.NoError(t, err)
	}
	if down {
		require.NotNil(t, left, "what did not land is reported")
		assert.Equal(t, 1, left.Pending)
	}
	return []testkit.Figure{{What: "Close", Took: took, Bound: closeBudget}}
}

// work is a cache at work in every way that starts a goroutine.
type work struct {
	cache *cache.Cache[int]
	calls map[string]<-chan testkit.Result[int]
	cut   *testkit.Outage // on, for the sake of the drain
	close func()          // all but the cache
}

// newWork returns when everything is under way.
func newWork(t *testing.T, server *redistest.Server, deadlines bool) *work {
	cut := &testkit.Outage{}
	mine, others := closingClient(server, deadlines), closingClient(server, true)
	mine.AddHook(cut)
	stale := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.StaleWhileRevalidate = time.Millisecond, time.Hour })
	c, err := cache.New(mine, "test", cache.Aside[int](), stale)
	require.NoError(t, err)
	other, err := cache.New(others, "test", cache.Aside[int](), testkit.Patient()) // it must get the lease
	require.NoError(t, err)

	ctx := context.Background()
	blocked := testkit.NewGated(testkit.Always(1))
	w := &work{cache: c, cut: cut, calls: map[string]<-chan testkit.Result[int]{}}
	call := func(what string, load cache.Loader[int]) {
		w.calls[what] = testkit.Start(func() (int, error) { return c.GetOrLoad(ctx, what, load) })
	}
	elsewhere := testkit.Start(func() (int, error) { return other.GetOrLoad(ctx, "wait", blocked.Load) })
	testkit.Soon(t, blocked.Entered, "the other process to load")
	call("load", blocked.Load)
	testkit.Soon(t, blocked.Entered, "the load")
	failed := testkit.Start(func() (int, error) {
		return c.GetOrLoad(ctx, "back-off", func(ctx context.Context, _ string) (int, error) {
			_ = testkit.Pace(ctx, time.Second) // the back-off takes as long
			return 0, errStorm
		})
	})
	testkit.Eventually(t, func() bool {
		_, err := c.GetOrLoad(ctx, "refresh", testkit.Value(1))
		return err == nil && others.StrLen(ctx, "test:refresh").Val() > envelope.HeaderSize
	}, "an entry")
	testkit.Eventually(t, func() bool {
		if got, err := c.GetOrLoad(ctx, "refresh", blocked.Load); err != nil || got != 1 {
			return false
		}
		select {
		case <-blocked.Entered:
			return true
		default:
			return false // one that began before may still run
		}
	}, "the refresh")
	require.ErrorIs(t, testkit.Soon(t, failed, "the failing load").Err, errStorm)
	call("back-off", blocked.Load)
	call("wait", blocked.Load)
	testkit.Eventually(t, func() bool { return c.Stats().LockWaits > 0 }, "the wait for the other process")
	cut.On.Store(true)
	require.ErrorIs(t, c.Invalidate(ctx, "drain"), cache.ErrPending)
	w.close = func() {
		require.NoError(t, other.Close())
		require.ErrorIs(t, testkit.Soon(t, elsewhere, "the other process").Err, cache.ErrClosed)
		require.NoError(t, mine.Close())
		require.NoError(t, others.Close())
	}
	return w
}

// closingClient is a client that the test closes itself. One that does not honour
// deadlines holds a command for its own timeouts.
func closingClient(server *redistest.Server, deadlines bool) *redis.Client {
	return server.Process().Client(func(o *redis.Options) {
		universal := redis.UniversalOptions{}
		cache.Tune(&universal)
		o.ReadTimeout, o.WriteTimeout, o.DialTimeout = universal.ReadTimeout, universal.WriteTimeout, universal.DialTimeout
		o.MaxRetries, o.DialerRetries = universal.MaxRetries, universal.DialerRetries
		if o.ContextTimeoutEnabled = deadlines; !deadlines {
			o.ReadTimeout, o.WriteTimeout, o.DialTimeout = time.Second, time.Second, time.Second
		}
	})
}
