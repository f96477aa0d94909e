package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// Scenario 14, first half: variant 31 of the model.
//
//  1. R misses, takes the lease and the tag's token T1, reads v0, and stalls.
//  2. W, another process, commits v1, and invalidates the tag: T2. W returns.
//  3. R goes on: it stores v0 with T1, which nobody is served.
//
// The control captures the token when it stores.
func TestTagCaptureRace(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		a, b := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		rounds, gets, stale := 20, 200, int64(0)
		for round := range rounds {
			key := strconv.Itoa(round)
			var row atomic.Int64
			loader := testkit.NewGated(func() int { return int(row.Load()) })
			reader := testkit.Start(func() (int, error) { return a.GetOrLoad(t.Context(), key, loader.Load, cache.Tagged("x")) })
			testkit.Soon(t, loader.Entered, "the loader to read the row")
			row.Store(1)
			require.NoError(t, b.InvalidateTags(t.Context(), "x"))
			close(loader.Release)
			require.NoError(t, testkit.Soon(t, reader, "the reader").Err)
			for _, c := range []*cache.Cache[int]{a, b} {
				stale += readMany(t, gets, func(ctx context.Context) (int, error) {
					return c.GetOrLoad(ctx, key, func(context.Context, string) (int, error) { return int(row.Load()), nil }, cache.Tagged("x"))
				}, func(v int) bool { return v < 1 })
			}
		}
		t.Logf("stale: %d in %d gets of %d rounds", stale, 2*rounds*gets, rounds)
		assert.Zero(t, stale)
	})
}

func TestTagCaptureRaceControl(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		n := testkit.NaiveTagged{Rdb: rdb}
		var row atomic.Int64
		v, err := n.Ask(t.Context(), "k", "x", func(ctx context.Context) (int64, error) {
			v := row.Load()
			row.Store(1) // the writer, while the loader is paused
			return v, n.Invalidate(ctx, "x")
		})
		require.NoError(t, err)
		require.Zero(t, v)
		stale := readMany(t, 1000, func(ctx context.Context) (int, error) {
			v, err := n.Ask(ctx, "k", "x", func(context.Context) (int64, error) { return row.Load(), nil })
			return int(v), err
		}, func(v int) bool { return v < 1 })
		t.Logf("naive control: stale %d in 1000 gets", stale)
		assert.EqualValues(t, 1000, stale, "the control must see the race, else the test is blind")
	})
}

// Scenario 14, second half: variants 30 and 33 of the model. A token that was lost
// takes the entries of its tag with it, and no later token brings one back.
func TestTagKeyEvicted(t *testing.T) {
	t.Parallel()
	losses := map[string]func(ctx context.Context, rdb redis.UniversalClient, key string) error{
		"deleted": func(ctx context.Context, rdb redis.UniversalClient, key string) error { return rdb.Del(ctx, key).Err() },
		"expired": func(ctx context.Context, rdb redis.UniversalClient, key string) error {
			return rdb.PExpireAt(ctx, key, time.UnixMilli(1)).Err()
		},
		"unreadable": func(ctx context.Context, rdb redis.UniversalClient, key string) error {
			return rdb.Set(ctx, key, "not a token", 0).Err()
		},
	}
	const keys = 10
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for loss, lose := range losses {
			for _, invalidated := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, invalidated before: %v", loss, invalidated), func(t *testing.T) {
					ctx, tag := t.Context(), cache.Tagged("x")
					a, b := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
					key := func(i int) string { return fmt.Sprintf("%s %v %d", loss, invalidated, i) }
					for i := range keys {
						_, err := a.GetOrLoad(ctx, key(i), testkit.Value(1), tag)
						require.NoError(t, err)
					}
					if invalidated {
						require.NoError(t, b.InvalidateTags(ctx, "x"))
					}
					revived := 0
					look := func(what string) {
						for i := range keys {
							for _, c := range []*cache.Cache[int]{a, b} {
								if v, err := c.Get(ctx, key(i)); !errors.Is(err, cache.ErrMiss) {
									revived++
									t.Errorf("%s: %q is back: %v %v", what, key(i), v, err)
								}
							}
						}
					}
					require.NoError(t, lose(ctx, rdb, testkit.TokenKey(t, "x")))
					look("the token is lost")
					if loss == "unreadable" { // a new one is not minted over it
						require.NoError(t, rdb.Del(ctx, testkit.TokenKey(t, "x")).Err())
					}
					_, err := b.GetOrLoad(ctx, key(-1), testkit.Value(1), tag)
					require.NoError(t, err)
					look("a new one was captured")
					require.NoError(t, a.InvalidateTags(ctx, "x"))
					look("it was invalidated")
					require.NoError(t, lose(ctx, rdb, testkit.TokenKey(t, "x")))
					require.NoError(t, rdb.Del(ctx, testkit.TokenKey(t, "x")).Err())
					look("that one is lost, too")
					t.Logf("%d entries, revived: %d", keys, revived)
					v, err := a.GetOrLoad(ctx, key(0), testkit.Value(2), tag)
					require.NoError(t, err)
					assert.Equal(t, 2, v)
					got, err := b.Get(ctx, key(0))
					require.NoError(t, err, "and it can be cached again")
					assert.Equal(t, 2, got)
				})
			}
		}
	})
}

// A clear token that was lost takes all entries with it.
func TestClearTokenEvicted(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		a, b := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		_, err := a.GetOrLoad(ctx, "k", testkit.Value(1))
		require.NoError(t, err)
		require.NoError(t, rdb.Del(ctx, testkit.ClearTokenKey).Err())
		time.Sleep(time.Second) // as long as a process may hold it
		for _, c := range []*cache.Cache[int]{a, b} {
			_, err = c.Get(ctx, "k")
			require.ErrorIs(t, err, cache.ErrMiss)
		}
		_, err = b.GetOrLoad(ctx, "other", testkit.Value(1))
		require.NoError(t, err, "mints a new one")
		for _, c := range []*cache.Cache[int]{a, b} {
			_, err = c.Get(ctx, "k")
			require.ErrorIs(t, err, cache.ErrMiss, "which does not bring it back")
		}
		for _, c := range []*cache.Cache[int]{a, b} {
			v, err := c.GetOrLoad(ctx, "k", testkit.Value(2))
			require.NoError(t, err)
			require.Equal(t, 2, v)
		}
	})
}
