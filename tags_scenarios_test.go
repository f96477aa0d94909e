package cache_test

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
)

// Scenario 14, first half: variant 31 of the model.
//
//  1. R misses, takes the lease and the tag's token T1, reads v0, and stalls.
//  2. W, another process, commits v1, and invalidates the tag: T2. W returns.
//  3. R goes on: it stores v0 with T1, which nobody is served.
//
// The control captures the token when it stores.
func TestTagCaptureRace(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		a, b := newCache[int](t, rdb), newCache[int](t, rdb)
		rounds, gets, stale := 20, 200, int64(0)
		for round := range rounds {
			key := strconv.Itoa(round)
			var row atomic.Int64
			loader := newGated(func() int { return int(row.Load()) })
			reader := start(func() (int, error) { return a.GetOrLoad(t.Context(), key, loader.load, cache.Tagged("x")) })
			soon(t, loader.entered, "the loader to read the row")
			row.Store(1)
			require.NoError(t, b.InvalidateTags(t.Context(), "x"))
			close(loader.release)
			require.NoError(t, soon(t, reader, "the reader").err)
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

// naiveTagged keeps, with each value, the token that its tag had when the value was
// stored: too late.
type naiveTagged struct{ rdb redis.UniversalClient }

func (n naiveTagged) get(ctx context.Context, key, tag string, load func(context.Context) (int64, error)) (int64, error) {
	token, err := n.token(ctx, tag)
	if err != nil {
		return 0, err
	}
	var v, with int64
	text, err := n.rdb.Get(ctx, "naive, tagged:"+key).Result()
	if err == nil {
		if _, err := fmt.Sscan(text, &v, &with); err != nil || with == token {
			return v, err
		}
	} else if !errors.Is(err, redis.Nil) {
		return 0, err
	}
	if v, err = load(ctx); err != nil {
		return 0, err
	}
	if with, err = n.token(ctx, tag); err != nil {
		return 0, err
	}
	return v, n.rdb.Set(ctx, "naive, tagged:"+key, fmt.Sprint(v, with), time.Minute).Err()
}

func (n naiveTagged) token(ctx context.Context, tag string) (int64, error) {
	token, err := n.rdb.Get(ctx, "naive-tag:"+tag).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return token, err
}

func (n naiveTagged) invalidate(ctx context.Context, tag string) error {
	return n.rdb.Incr(ctx, "naive-tag:"+tag).Err()
}

func TestTagCaptureRaceControl(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		n := naiveTagged{rdb}
		var row atomic.Int64
		v, err := n.get(t.Context(), "k", "x", func(ctx context.Context) (int64, error) {
			v := row.Load()
			row.Store(1) // the writer, while the loader is paused
			return v, n.invalidate(ctx, "x")
		})
		require.NoError(t, err)
		require.Zero(t, v)
		stale := readMany(t, 1000, func(ctx context.Context) (int, error) {
			v, err := n.get(ctx, "k", "x", func(context.Context) (int64, error) { return row.Load(), nil })
			return int(v), err
		}, func(v int) bool { return v < 1 })
		t.Logf("naive control: stale %d in 1000 gets", stale)
		assert.EqualValues(t, 1000, stale, "the control must see the race, else the test is blind")
	})
}

// Scenario 14, second half: variants 30 and 33 of the model. A token that was lost
// takes the entries of its tag with it, and no later token brings one back.
func TestTagKeyEvicted(t *testing.T) {
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
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for loss, lose := range losses {
			for _, invalidated := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, invalidated before: %v", loss, invalidated), func(t *testing.T) {
					ctx, tag := t.Context(), cache.Tagged("x")
					a, b := newCache[int](t, rdb), newCache[int](t, rdb)
					key := func(i int) string { return fmt.Sprintf("%s %v %d", loss, invalidated, i) }
					for i := range keys {
						_, err := a.GetOrLoad(ctx, key(i), value(1), tag)
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
					require.NoError(t, lose(ctx, rdb, tokenKey(t, "x")))
					look("the token is lost")
					if loss == "unreadable" { // a new one is not minted over it
						require.NoError(t, rdb.Del(ctx, tokenKey(t, "x")).Err())
					}
					_, err := b.GetOrLoad(ctx, key(-1), value(1), tag)
					require.NoError(t, err)
					look("a new one was captured")
					require.NoError(t, a.InvalidateTags(ctx, "x"))
					look("it was invalidated")
					require.NoError(t, lose(ctx, rdb, tokenKey(t, "x")))
					require.NoError(t, rdb.Del(ctx, tokenKey(t, "x")).Err())
					look("that one is lost, too")
					t.Logf("%d entries, revived: %d", keys, revived)
					v, err := a.GetOrLoad(ctx, key(0), value(2), tag)
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
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		a, b := newCache[int](t, rdb), newCache[int](t, rdb)
		_, err := a.GetOrLoad(ctx, "k", value(1))
		require.NoError(t, err)
		require.NoError(t, rdb.Del(ctx, clearTokenKey).Err())
		time.Sleep(time.Second) // as long as a process may hold it
		for _, c := range []*cache.Cache[int]{a, b} {
			_, err = c.Get(ctx, "k")
			require.ErrorIs(t, err, cache.ErrMiss)
		}
		_, err = b.GetOrLoad(ctx, "other", value(1))
		require.NoError(t, err, "mints a new one")
		for _, c := range []*cache.Cache[int]{a, b} {
			_, err = c.Get(ctx, "k")
			require.ErrorIs(t, err, cache.ErrMiss, "which does not bring it back")
		}
		for _, c := range []*cache.Cache[int]{a, b} {
			v, err := c.GetOrLoad(ctx, "k", value(2))
			require.NoError(t, err)
			require.Equal(t, 2, v)
		}
	})
}
