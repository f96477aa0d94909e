package protocol_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
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

// steady keeps n callers asking for d, each for keys of its own, one after the other,
// never the same twice. It returns how many of the calls that ended after the first
// quiet failed, and how many did not.
func steady(n int, d, quiet time.Duration, call func(key string) error) (failed, ok int64) {
	var callers sync.WaitGroup
	var bad, good atomic.Int64
	began := time.Now()
	for caller := range n {
		callers.Go(func() {
			for i := 0; time.Since(began) < d; i++ {
				err := call(strconv.Itoa(caller) + "." + strconv.Itoa(i))
				switch {
				case time.Since(began) < quiet:
				case err != nil:
					bad.Add(1)
				default:
					good.Add(1)
				}
			}
		})
	}
	callers.Wait()
	return bad.Load(), good.Load()
}

// wide is rdb with connections for more calls at once than any test makes. In a bubble
// none may wait for one: go-redis keeps timers of such waits for later ones, and those
// may be of another bubble.
func wide(t *testing.T, rdb redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	o := *rdb.(interface{ Options() *redis.Options }).Options()
	o.PoolSize = 4000
	w := redis.NewClient(&o)
	t.Cleanup(func() { assert.NoError(t, w.Close()) })
	return w
}

// takes is a loader that takes d.
func takes(d time.Duration) cache.Loader[int] {
	return func(ctx context.Context, _ string) (int, error) {
		select {
		case <-time.After(d):
			return 1, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// offered makes calls at a steady rate for d, each for a key of its own, whether or not
// earlier ones have ended. It returns how many of those that began after the first quiet
// failed, and how many did not.
func offered(perSecond int, d, quiet time.Duration, call func(key string) error) (failed, ok int64) {
	var calls sync.WaitGroup
	var bad, good atomic.Int64
	began := time.Now()
	for i := range perSecond * int(d/time.Second) {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		late := time.Since(began) >= quiet
		calls.Go(func() {
			switch err := call(strconv.Itoa(int(began.UnixNano())) + "." + strconv.Itoa(i)); {
			case !late:
			case err != nil:
				bad.Add(1)
			default:
				good.Add(1)
			}
		})
	}
	calls.Wait()
	return bad.Load(), good.Load()
}

// Steady load and a healthy Redis: errors cease. 400 new keys a second whose loads take
// 300 ms are 120 loads at once, all the time, under a limit of 64: a state whose end
// depended on the load would not end.
func TestErrorsCeaseUnderSteadyLoadOnceTheirCauseIsOver(t *testing.T) {
	const rate, limit, load = 400, 64, 300 * time.Millisecond
	tests := []struct {
		name  string
		quiet time.Duration // after which no call may fail
		cause func(t *testing.T, rdb redis.UniversalClient, c *cache.Cache[int])
	}{
		{"the first start", 5 * time.Second, func(*testing.T, redis.UniversalClient, *cache.Cache[int]) {}},
		{"InvalidateAll", 5 * time.Second, func(t *testing.T, _ redis.UniversalClient, c *cache.Cache[int]) {
			require.NoError(t, c.InvalidateAll(t.Context()))
		}},
		{"the loss of everything", 6 * time.Second, func(t *testing.T, rdb redis.UniversalClient, _ *cache.Cache[int]) {
			require.NoError(t, rdb.FlushAll(t.Context()).Err())
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := cachetest.NewBubble(t)
			synctest.Test(t, func(t *testing.T) {
				rdb := b.Redis(t)
				c := testkit.NewCache[int](t, wide(t, rdb), cache.WithLoadLimit(limit))
				if test.name != "the first start" {
					_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
					require.NoError(t, err)
					time.Sleep(10 * time.Second)
				}
				test.cause(t, rdb, c)
				failed, ok := offered(rate, 8*time.Second, test.quiet, func(key string) error {
					_, err := c.GetOrLoad(t.Context(), key, takes(load))
					return err
				})
				t.Logf("%d of %d calls failed that began after %v", failed, failed+ok, test.quiet)
				assert.Zero(t, failed)
				assert.Greater(t, ok, int64(rate))
				assert.Zero(t, c.Stats().Refilling)
			})
		})
	}
}

// A program whose entries are all a newer program's goes on without errors: that a
// sibling is newer is no outage.
func TestNobodyIsRefusedBecauseASiblingIsNewer(t *testing.T) {
	const callers = 120
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		rdb = wide(t, rdb)
		newer := testkit.NewCache[int](t, rdb, cache.WithSchema(2))
		older := testkit.NewCache[int](t, rdb, cache.WithSchema(1), cache.WithLoadLimit(4))
		keys := make(map[string]int, callers)
		for i := range callers {
			keys[strconv.Itoa(i)+".0"] = 2
		}
		require.NoError(t, newer.SetMany(t.Context(), keys))
		time.Sleep(10 * time.Second) // the refill of the beginning is over
		var overloaded atomic.Int64
		failed, ok := steady(callers, time.Millisecond, 0, func(key string) error {
			_, err := older.GetOrLoad(t.Context(), key, takes(300*time.Millisecond))
			if errors.Is(err, cache.ErrOverloaded) {
				overloaded.Add(1)
			}
			return err
		})
		assert.Zero(t, overloaded.Load())
		assert.Zero(t, failed)
		assert.EqualValues(t, callers, ok)
		v, err := newer.Get(t.Context(), "0.0")
		require.NoError(t, err, "and what is newer stays")
		assert.Equal(t, 2, v)
	})
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(line)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), text)
}

// What a refill and a loader that hangs do to callers is in the log when it begins and
// when it ends, once.
func TestARefillIsToldOnceWhenItBeginsAndWhenItEnds(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		log := &lines{}
		c := testkit.NewCache[int](t, rdb, cache.WithLoadLimit(2), cache.WithLogger(log.logger()))
		_, _ = steady(8, 10*time.Second, 0, func(key string) error {
			_, err := c.GetOrLoad(t.Context(), key, takes(100*time.Millisecond))
			return err
		})
		assert.Equal(t, 1, log.count("refills: for a few seconds loads wait"))
		assert.Equal(t, 1, log.count("the refill is over"))
		x, err := c.Explain(t.Context(), "other")
		require.NoError(t, err)
		assert.Zero(t, x.Refilling)
		require.NoError(t, c.InvalidateAll(t.Context()))
		_, _ = c.GetOrLoad(t.Context(), "k", testkit.Value(1))
		x, err = c.Explain(t.Context(), "other")
		require.NoError(t, err)
		assert.Positive(t, x.Refilling)
		assert.True(t, strings.Contains(x.String(), "refills"), x.String())
	})
}
