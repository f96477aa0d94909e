package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// emptied has a cache look in vain so often that it expects nothing, and counts what is
// sent from then on.
func emptied[T any](t *testing.T, rdb redis.UniversalClient, c *cache.Cache[T], v T) *atomic.Int64 {
	t.Helper()
	for i := range 100 {
		_, err := c.GetOrLoad(t.Context(), "none "+strconv.Itoa(i), testkit.Value(v))
		require.NoError(t, err)
	}
	var sent atomic.Int64
	testkit.NewTap(rdb).Set(func([]redis.Cmder) error { sent.Add(1); return nil }, nil)
	return &sent
}

// Where look-ups find nothing, the question for the lease is the look-up.
func TestAMissThatIsExpectedCostsTwoExchanges(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		sent := emptied(t, rdb, c, 1)
		got, err := c.GetOrLoad(t.Context(), "new", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, 2, got)
		assert.EqualValues(t, 2, sent.Load())
		before := c.Stats()
		got, err = c.GetOrLoad(t.Context(), "new", testkit.MustNotLoad[int](t))
		require.NoError(t, err)
		assert.Equal(t, 2, got)
		assert.EqualValues(t, 4, sent.Load(), "a hit that was not expected: acquire, and the look-up")
		after := c.Stats()
		assert.EqualValues(t, 1, after.Hits-before.Hits)
		assert.Equal(t, before.Misses, after.Misses)
	})
}

// Hits end the expectation of misses: they cost one exchange again.
func TestHitsEndTheExpectationOfMisses(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.Set(t.Context(), "k", 1))
		sent := emptied(t, rdb, c, 1)
		for range 40 {
			_, err := c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
			require.NoError(t, err)
		}
		assert.Less(t, sent.Load(), int64(50))
	})
}

// What a caller gets, and what is counted, does not depend on what was expected.
func TestARecordThatWasNotExpectedIsWhatItWouldBeToALookUp(t *testing.T) {
	class := cache.Expires(&cache.TTL{
		Name: "test", Fresh: time.Minute, StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour, Absent: time.Minute, Jitter: -1,
	})
	failing := errors.New("no database")
	tests := []struct {
		name  string
		given func(t *testing.T, rdb redis.UniversalClient, c *cache.Cache[int])
		load  cache.Loader[int]
	}{
		{"fresh", set(0), testkit.Value(2)},
		{"stale, which is served and refreshed", set(90 * time.Second), testkit.Value(2)},
		{"too old, and the loader fails", set(3 * time.Minute), testkit.Failing[int](failing)},
		{"too old", set(3 * time.Minute), testkit.Value(2)},
		{"an absence", func(t *testing.T, _ redis.UniversalClient, c *cache.Cache[int]) {
			_, err := c.GetOrLoad(t.Context(), "k", testkit.Failing[int](cache.ErrNotFound))
			require.ErrorIs(t, err, cache.ErrNotFound)
		}, testkit.Value(2)},
		{"a back-off", func(t *testing.T, _ redis.UniversalClient, c *cache.Cache[int]) {
			_, err := c.GetOrLoad(t.Context(), "k", testkit.Failing[int](failing))
			require.ErrorIs(t, err, failing)
		}, testkit.Value(2)},
		{"somebody else's", func(t *testing.T, rdb redis.UniversalClient, _ *cache.Cache[int]) {
			require.NoError(t, rdb.Set(t.Context(), "test:k", "not ours", 0).Err())
		}, testkit.Value(2)},
		{"another type", func(t *testing.T, rdb redis.UniversalClient, _ *cache.Cache[int]) {
			require.NoError(t, rdb.LPush(t.Context(), "test:k", "not ours").Err())
		}, testkit.Value(2)},
		{"damaged", func(t *testing.T, rdb redis.UniversalClient, c *cache.Cache[int]) {
			set(0)(t, rdb, c)
			require.NoError(t, rdb.SetRange(t.Context(), "test:k", 90, "!!!").Err())
		}, testkit.Value(2)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				outcome := func(expect bool) (out string, s cache.Stats) {
					require.NoError(t, rdb.FlushAll(t.Context()).Err())
					c := testkit.NewCache[int](t, rdb, class)
					if expect {
						emptied(t, rdb, c, 1)
					}
					time.Sleep(10 * time.Second) // the refill of the beginning is over
					test.given(t, rdb, c)
					before := c.Stats()
					v, err := c.GetOrLoad(t.Context(), "k", test.load)
					synctest.Wait()
					s = c.Stats()
					after := cache.Stats{
						Hits: s.Hits - before.Hits, Misses: s.Misses - before.Misses, Absent: s.Absent - before.Absent, Stale: s.Stale - before.Stale,
						Loads: s.Loads - before.Loads, Foreign: s.Foreign - before.Foreign, Corrupt: s.Corrupt - before.Corrupt,
						Bypassed: s.Bypassed - before.Bypassed, Refreshes: s.Refreshes - before.Refreshes,
					}
					next, nextErr := c.Get(t.Context(), "k")
					require.NoError(t, c.Close())
					return fmt.Sprint(v, err, next, nextErr), after
				}
				want, counted := outcome(false)
				got, expected := outcome(true)
				assert.Equal(t, want, got)
				assert.Equal(t, counted, expected)
			})
		})
	}
}

// set stores an entry that is of that age when the call comes.
func set(age time.Duration) func(*testing.T, redis.UniversalClient, *cache.Cache[int]) {
	return func(t *testing.T, _ redis.UniversalClient, c *cache.Cache[int]) {
		t.Helper()
		require.NoError(t, c.Set(t.Context(), "k", 1))
		time.Sleep(age)
	}
}

// A caller with little time looks first: that ends before its time does.
func TestACallerWithLittleTimeLooksFirst(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewBudgeted[int](t, rdb)
		sent := emptied(t, rdb, c, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		_, err := c.GetOrLoad(ctx, "new", testkit.Value(1))
		require.NoError(t, err)
		assert.EqualValues(t, 3, sent.Load())
	})
}

// A flight without a look-up is one of the three rounds: whoever meets a new back-off each
// time has asked for the lease three times when he is told.
func TestAFlightWithoutALookUpIsARoundOfItsCall(t *testing.T) {
	for name, expects := range map[string]bool{"after a look-up": false, "without one": true} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb, cache.WithLock(cache.Lock{Wait: time.Minute}))
				other := testkit.NewCache[int](t, beside(t, rdb))
				if expects {
					emptied(t, rdb, c, 1)
				}
				asked := 0
				testkit.NewTap(rdb).Set(func(cmds []redis.Cmder) error {
					if strings.HasPrefix(cmds[0].Name(), "eval") {
						asked++
						_, err := other.GetOrLoad(t.Context(), "k", testkit.Failing[int](errors.New("no database")))
						require.Error(t, err)
					}
					return nil
				}, nil)
				_, err := c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
				require.ErrorIs(t, err, cache.ErrBackoff)
				assert.Equal(t, 3, asked)
			})
		})
	}
}
