package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
)

// errShelf is what a loader of several keys fails with.
var errShelf = errors.New("the shelf is broken")

func TestWhatALoaderOfSeveralKeysMayReturn(t *testing.T) {
	type values = map[string]int
	for _, test := range []struct {
		name   string
		load   cache.BatchLoader[int]
		got    values
		failed []string // keys
		panics bool
		loads  int64 // when asked again, for what was neither stored nor remembered
	}{
		{
			"a map and an error: the map is stored, the others have the error",
			func(context.Context, []string) (values, error) { return values{"1": 1}, errShelf },
			values{"1": 1},
			[]string{"0", "2"},
			false, 0,
		},
		{"an error", func(context.Context, []string) (values, error) { return nil, errShelf }, values{}, []string{"0", "1", "2"}, false, 0},
		{"a panic", func(context.Context, []string) (values, error) { panic(errShelf) }, values{}, []string{"0", "1", "2"}, true, 0},
		{
			"Goexit",
			func(context.Context, []string) (values, error) { runtime.Goexit(); return nil, nil },
			values{},
			[]string{"0", "1", "2"},
			true, 0,
		},
		{"a nil map: there are none", func(context.Context, []string) (values, error) { return nil, nil }, values{}, nil, false, 3},
		{
			"keys that were not asked for are ignored",
			func(context.Context, []string) (values, error) { return values{"0": 0, "1": 1, "2": 2, "3": 3}, nil },
			values{"0": 0, "1": 1, "2": 2},
			nil, false, 0,
		},
		{
			"only keys that were not asked for",
			func(context.Context, []string) (values, error) { return values{"7": 7}, nil },
			values{},
			nil, false, 3,
		},
		{
			"keys that it has changed",
			func(_ context.Context, keys []string) (values, error) {
				found := numbered(keys...)
				for i := range keys {
					keys[i] = "changed"
				}
				return found, nil
			},
			values{"0": 0, "1": 1, "2": 2},
			nil, false, 0,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := newCache[int](t, rdb)
				got, err := c.GetOrLoadMany(t.Context(), numbers(3), test.load)
				assert.Equal(t, test.got, got)
				assert.Equal(t, test.failed, keysOf(err))
				for _, one := range opErrors(err) {
					var panicked *cache.PanicError
					assert.Equal(t, "load", one.Op)
					assert.Equal(t, test.panics, errors.As(one, &panicked))
					assert.Equal(t, test.name != "Goexit", errors.Is(one, errShelf))
				}
				if test.failed == nil {
					require.NoError(t, err)
				} else {
					var single int64
					_, err := c.GetOrLoadMany(ended(t, 50*time.Millisecond), test.failed, func(context.Context, []string) (values, error) {
						single++
						return nil, nil
					})
					assert.ErrorIs(t, err, cache.ErrBackoff, "their keys back off")
					assert.Zero(t, single)
				}
				time.Sleep(time.Second)
				w := newWarehouse()
				got, err = c.GetOrLoadMany(t.Context(), numbers(3), w.load)
				require.NoError(t, err)
				assert.Equal(t, numbered(numbers(3)...), got)
				if test.failed == nil {
					assert.Len(t, w.times(), int(test.loads))
				} else {
					assert.Len(t, w.times(), len(test.failed))
				}
			})
		})
	}
}

// ended is a context that ends after d.
func ended(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A batch waits for the end of the back-off of some keys, and has loaded the others
// by then.
func TestABatchWaitsForTheBackoffOfSomeKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := newCache[int](t, rdb), newCache[int](t, rdb)
		_, err := other.GetOrLoadMany(t.Context(), []string{"1", "3"}, func(context.Context, []string) (map[string]int, error) { return nil, errShelf })
		require.ErrorIs(t, err, errShelf)
		w := newWarehouse()
		began := time.Now()
		got, err := c.GetOrLoadMany(t.Context(), numbers(5), w.load)
		require.NoError(t, err)
		assert.Equal(t, numbered(numbers(5)...), got)
		assert.Equal(t, [][]string{{"0", "2", "4"}, {"1", "3"}}, w.calls())
		assert.GreaterOrEqual(t, time.Since(began), 90*time.Millisecond)
		assert.Less(t, time.Since(began), 500*time.Millisecond)
	})
}

func TestABatchBeyondTheLoadLimitIsRefused(t *testing.T) {
	c := newCache[int](t, cachetest.Redis(t), cache.WithLoadLimit(1))
	require.NoError(t, c.Set(t.Context(), "0", 10))
	w := gatedWarehouse()
	busy := start(func() (map[string]int, error) {
		return c.GetOrLoadMany(t.Context(), []string{"8", "9"}, w.load, cache.StoreIf(false))
	})
	soon(t, w.entered, "the load that takes the place")
	got, err := c.GetOrLoadMany(t.Context(), numbers(3), newWarehouse().load, cache.StoreIf(false))
	assert.Equal(t, map[string]int{"0": 10}, got)
	assert.Equal(t, []string{"1", "2"}, keysOf(err))
	require.ErrorIs(t, err, cache.ErrOverloaded)
	close(w.release)
	require.NoError(t, soon(t, busy, "the first").err)
}

func TestABatchWhoseCallerLeavesHasWhatWasThere(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"0": 10, "1": 11}))
		w := gatedWarehouse()
		ctx, cancel := context.WithCancel(t.Context())
		many := loadMany(ctx, c, w, numbers(50)...)
		soon(t, w.entered, "the load")
		cancel()
		got := soon(t, many, "the call")
		assert.Equal(t, map[string]int{"0": 10, "1": 11}, got.v)
		require.ErrorIs(t, got.err, context.Canceled)
		assert.Equal(t, context.Canceled.Error(), got.err.Error(), "once, not for each key")
		eventually(t, func() bool { return c.Stats().Loading == 0 }, "the load to be cancelled")
	})
}

func TestCloseEndsABatch(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[int](t, rdb)
		require.NoError(t, c.Set(t.Context(), "0", 10))
		w := gatedWarehouse()
		many := loadMany(t.Context(), c, w, numbers(50)...)
		soon(t, w.entered, "the load")
		require.NoError(t, c.Close())
		got := soon(t, many, "the call")
		assert.Equal(t, map[string]int{"0": 10}, got.v)
		require.ErrorIs(t, got.err, cache.ErrClosed)
		assert.Equal(t, cache.ErrClosed.Error(), got.err.Error(), "once, not for each key")
		assert.EqualValues(t, 1, w.ended.Load(), "Close has waited for the load")
		for _, key := range numbers(50)[1:] {
			require.Zero(t, rdb.Exists(t.Context(), "test:"+key).Val(), "the leases were given back")
		}
	})
}

// Redis is down: what cannot be looked up is loaded, all of it in one call, at one
// place of the load limit; GetMany says that Redis failed.
func TestABatchWhileRedisIsDown(t *testing.T) {
	server := cachetest.Redis(t)
	c := newCache[int](t, server, cache.WithLoadLimit(1))
	require.NoError(t, c.SetMany(t.Context(), numbered(numbers(50)...)))
	server.Fail("LOADING")
	w := newWarehouse()
	got, err := c.GetOrLoadMany(t.Context(), numbers(100), w.load)
	require.NoError(t, err)
	assert.Equal(t, numbered(numbers(100)...), got)
	assert.Len(t, w.calls(), 1)
	got, err = c.GetMany(t.Context(), numbers(100))
	assert.Empty(t, got)
	require.Len(t, opErrors(err), 1, "one for the node that failed")
	assert.Equal(t, "get", opErrors(err)[0].Op)
	err = c.SetMany(t.Context(), numbered(numbers(3)...))
	assert.Equal(t, numbers(3), keysOf(err))
	assert.EqualValues(t, 0, c.Stats().Pending)
}

// Redis fails between the look-up and the leases, or before the values are stored.
func TestABatchDuringWhichRedisFails(t *testing.T) {
	for _, command := range []string{"acquire", "commit"} {
		t.Run(command, func(t *testing.T) {
			server := cachetest.Redis(t)
			c := newCache[int](t, server)
			_, err := c.GetOrLoadMany(t.Context(), []string{"x"}, newWarehouse().load)
			require.NoError(t, err)
			var sent atomic.Int64
			breaks := map[string]int64{"acquire": 1, "commit": 2}[command]
			server.AddHook(refusal{func(cmds []redis.Cmder) error {
				if strings.EqualFold(cmds[0].Name(), "evalsha") && sent.Add(1) >= breaks && sent.Load() < 3 {
					return errOutage
				}
				return nil
			}})
			w := newWarehouse()
			got, err := c.GetOrLoadMany(t.Context(), numbers(20), w.load)
			require.NoError(t, err, "Redis is no error of a load")
			assert.Equal(t, numbered(numbers(20)...), got)
			assert.Len(t, w.calls(), 1)
			eventually(t, func() bool { return c.Stats().Loading == 0 }, "the flights to end")
			assert.Empty(t, must(c.GetMany(t.Context(), numbers(20))), "nothing was stored")
			got, err = c.GetOrLoadMany(t.Context(), numbers(20), w.load)
			require.NoError(t, err)
			assert.Len(t, got, 20)
			assert.Len(t, w.calls(), 2, "no lease is left")
			assert.Zero(t, c.Stats().LockWaits)
		})
	}
}

// refusal is a client hook that fails the pipelines that refuse fails.
type refusal struct {
	refuse func(cmds []redis.Cmder) error
}

func (refusal) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (refusal) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (r refusal) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := r.refuse(cmds)
		if err == nil {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
}

// The tokens of tags that only the entries name cannot be read: a batch does not
// try, and wait, for each of its keys.
func TestABatchWhoseTagsCannotBeReadDoesNotAskForEachKey(t *testing.T) {
	server := cachetest.Redis(t)
	c := newCache[int](t, server)
	for i, key := range numbers(20) {
		require.NoError(t, c.Set(t.Context(), key, i, cache.Tagged(fmt.Sprint("tag", i))))
	}
	require.NoError(t, c.Set(t.Context(), "untagged", 99))
	var asked atomic.Int64
	server.AddHook(refusal{func(cmds []redis.Cmder) error {
		if strings.HasPrefix(fmt.Sprint(cmds[0].Args()[1]), "test!t") {
			asked.Add(1)
			return errOutage
		}
		return nil
	}})
	got, err := c.GetMany(t.Context(), append(numbers(20), "untagged"))
	require.ErrorIs(t, err, errOutage)
	assert.Equal(t, map[string]int{"untagged": 99}, got)
	assert.EqualValues(t, 1, asked.Load())
}

func TestAValueThatCannotBeEncodedAmongOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCache[any](t, rdb)
		bad := make(chan int)
		load := func(context.Context, []string) (map[string]any, error) {
			return map[string]any{"a": "A", "bad": bad, "b": "B"}, nil
		}
		got, err := c.GetOrLoadMany(t.Context(), []string{"a", "bad", "b"}, load)
		require.NoError(t, err)
		assert.Equal(t, map[string]any{"a": "A", "bad": bad, "b": "B"}, got, "it is returned")
		assert.Equal(t, map[string]any{"a": "A", "b": "B"}, must(c.GetMany(t.Context(), []string{"a", "bad", "b"})))
		assert.EqualValues(t, 1, c.Stats().Unencodable)
		_, err = c.GetOrLoad(ended(t, 50*time.Millisecond), "bad", value[any](1))
		assert.ErrorIs(t, err, cache.ErrBackoff)

		err = c.SetMany(t.Context(), map[string]any{"c": "C", "bad": bad})
		assert.Equal(t, []string{"bad"}, keysOf(err))
		assert.Equal(t, map[string]any{"c": "C"}, must(c.GetMany(t.Context(), []string{"c", "bad"})))
	})
}

// panicking panics when it decodes.
type panicking struct{ cache.Codec }

func (panicking) Decode([]byte, any) error { panic("mine") }

func TestAPanicOfTheCodecInABatchIsTheCallers(t *testing.T) {
	for _, n := range []int{1, 500} {
		c := newCache[int](t, cachetest.Redis(t), cache.WithCodec(panicking{cache.JSON}))
		require.NoError(t, c.SetMany(t.Context(), numbered(numbers(n)...)))
		assert.PanicsWithValue(t, "mine", func() { _, _ = c.GetMany(t.Context(), numbers(n)) })
	}
}

// Everybody leaves while the leases are asked for. The load, which would begin after
// that, is for nobody: if it begins at all it is cancelled.
func TestABatchThatNobodyWaitsForAnyMoreIsCancelledBeforeItIsLoaded(t *testing.T) {
	for name, outcome := range map[string]error{"leases are granted": nil, "Redis fails": errOutage} {
		t.Run(name, func(t *testing.T) {
			server := cachetest.Redis(t)
			c := newCache[int](t, server)
			_, err := c.GetOrLoadMany(t.Context(), []string{"x", "y"}, newWarehouse().load)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := make(chan struct{})
			var asked atomic.Bool
			server.AddHook(refusal{func(cmds []redis.Cmder) error {
				if !strings.EqualFold(cmds[0].Name(), "evalsha") || asked.Swap(true) {
					return nil
				}
				cancel()
				<-left
				return outcome
			}})
			var live atomic.Bool
			_, err = c.GetOrLoadMany(ctx, numbers(3), func(ctx context.Context, _ []string) (map[string]int, error) {
				live.Store(ctx.Err() == nil)
				return nil, ctx.Err()
			})
			close(left)
			require.ErrorIs(t, err, context.Canceled)
			eventually(t, func() bool { return c.Stats().Loading == 0 }, "the flights to end")
			assert.True(t, asked.Load())
			assert.False(t, live.Load())
		})
	}
}
