package protocol_test

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
	"github.com/larder-go/cache/internal/testkit"
)

// errShelf is what a loader of several keys fails with.
var errShelf = errors.New("the shelf is broken")

func TestWhatALoaderOfSeveralKeysMayReturn(t *testing.T) {
	t.Parallel()
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
				found := testkit.Numbered(keys...)
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
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb)
				got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(3), test.load)
				assert.Equal(t, test.got, got)
				assert.Equal(t, test.failed, testkit.KeysOf(err))
				for _, one := range testkit.OpErrors(err) {
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
				w := testkit.NewWarehouse()
				got, err = c.GetOrLoadMany(t.Context(), testkit.Numbers(3), w.Load)
				require.NoError(t, err)
				assert.Equal(t, testkit.Numbered(testkit.Numbers(3)...), got)
				if test.failed == nil {
					assert.Len(t, w.Times(), int(test.loads))
				} else {
					assert.Len(t, w.Times(), len(test.failed))
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
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, other := testkit.NewCache[int](t, rdb), testkit.NewCache[int](t, rdb)
		_, err := other.GetOrLoadMany(t.Context(), []string{"1", "3"}, func(context.Context, []string) (map[string]int, error) { return nil, errShelf })
		require.ErrorIs(t, err, errShelf)
		w := testkit.NewWarehouse()
		began := time.Now()
		got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(5), w.Load)
		require.NoError(t, err)
		assert.Equal(t, testkit.Numbered(testkit.Numbers(5)...), got)
		assert.Equal(t, [][]string{{"0", "2", "4"}, {"1", "3"}}, w.Calls())
		assert.GreaterOrEqual(t, time.Since(began), 90*time.Millisecond)
		assert.Less(t, time.Since(began), 500*time.Millisecond)
	})
}

func TestABatchBeyondTheLoadLimitIsRefused(t *testing.T) {
	t.Parallel()
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithLoadLimit(1))
	require.NoError(t, c.Set(t.Context(), "0", 10))
	w := testkit.GatedWarehouse()
	busy := testkit.Start(func() (map[string]int, error) {
		return c.GetOrLoadMany(t.Context(), []string{"8", "9"}, w.Load, cache.StoreIf(false))
	})
	testkit.Soon(t, w.Entered, "the load that takes the place")
	got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(3), testkit.NewWarehouse().Load, cache.StoreIf(false))
	assert.Equal(t, map[string]int{"0": 10}, got)
	assert.Equal(t, []string{"1", "2"}, testkit.KeysOf(err))
	require.ErrorIs(t, err, cache.ErrOverloaded)
	close(w.Release)
	require.NoError(t, testkit.Soon(t, busy, "the first").Err)
}

func TestABatchWhoseCallerLeavesHasWhatWasThere(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"0": 10, "1": 11}))
		w := testkit.GatedWarehouse()
		ctx, cancel := context.WithCancel(t.Context())
		many := testkit.LoadMany(ctx, c, w, testkit.Numbers(50)...)
		testkit.Soon(t, w.Entered, "the load")
		cancel()
		got := testkit.Soon(t, many, "the call")
		assert.Equal(t, map[string]int{"0": 10, "1": 11}, got.V)
		require.ErrorIs(t, got.Err, context.Canceled)
		assert.Equal(t, context.Canceled.Error(), got.Err.Error(), "once, not for each key")
		testkit.Eventually(t, func() bool { return c.Stats().Loading == 0 }, "the load to be cancelled")
	})
}

func TestCloseEndsABatch(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.Set(t.Context(), "0", 10))
		w := testkit.GatedWarehouse()
		many := testkit.LoadMany(t.Context(), c, w, testkit.Numbers(50)...)
		testkit.Soon(t, w.Entered, "the load")
		require.NoError(t, c.Close())
		got := testkit.Soon(t, many, "the call")
		assert.Equal(t, map[string]int{"0": 10}, got.V)
		require.ErrorIs(t, got.Err, cache.ErrClosed)
		assert.Equal(t, cache.ErrClosed.Error(), got.Err.Error(), "once, not for each key")
		assert.EqualValues(t, 1, w.Ended.Load(), "Close has waited for the load")
		for _, key := range testkit.Numbers(50)[1:] {
			require.Zero(t, rdb.Exists(t.Context(), "test:"+key).Val(), "the leases were given back")
		}
	})
}

// Redis is down: what cannot be looked up is loaded, all of it in one call, at one
// place of the load limit; GetMany says that Redis failed.
func TestABatchWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	server := cachetest.Redis(t)
	c := testkit.NewCache[int](t, server, cache.WithLoadLimit(1))
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(50)...)))
	server.Fail("LOADING")
	w := testkit.NewWarehouse()
	got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(100), w.Load)
	require.NoError(t, err)
	assert.Equal(t, testkit.Numbered(testkit.Numbers(100)...), got)
	assert.Len(t, w.Calls(), 1)
	got, err = c.GetMany(t.Context(), testkit.Numbers(100))
	assert.Empty(t, got)
	require.Len(t, testkit.OpErrors(err), 1, "one for the node that failed")
	assert.Equal(t, "get", testkit.OpErrors(err)[0].Op)
	err = c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(3)...))
	assert.Equal(t, testkit.Numbers(3), testkit.KeysOf(err))
	assert.EqualValues(t, 0, c.Stats().Pending)
}

// Redis fails between the look-up and the leases, or before the values are stored.
func TestABatchDuringWhichRedisFails(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"acquire", "commit"} {
		t.Run(command, func(t *testing.T) {
			server := cachetest.Redis(t)
			c := testkit.NewCache[int](t, server)
			_, err := c.GetOrLoadMany(t.Context(), []string{"x"}, testkit.NewWarehouse().Load)
			require.NoError(t, err)
			var sent atomic.Int64
			breaks := map[string]int64{"acquire": 1, "commit": 2}[command]
			server.AddHook(testkit.Refusal{Refuse: func(cmds []redis.Cmder) error {
				if strings.EqualFold(cmds[0].Name(), "evalsha") && sent.Add(1) >= breaks && sent.Load() < 3 {
					return testkit.ErrOutage
				}
				return nil
			}})
			w := testkit.NewWarehouse()
			got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(20), w.Load)
			require.NoError(t, err, "Redis is no error of a load")
			assert.Equal(t, testkit.Numbered(testkit.Numbers(20)...), got)
			assert.Len(t, w.Calls(), 1)
			testkit.Eventually(t, func() bool { return c.Stats().Loading == 0 }, "the flights to end")
			assert.Empty(t, testkit.Must(c.GetMany(t.Context(), testkit.Numbers(20))), "nothing was stored")
			got, err = c.GetOrLoadMany(t.Context(), testkit.Numbers(20), w.Load)
			require.NoError(t, err)
			assert.Len(t, got, 20)
			assert.Len(t, w.Calls(), 2, "no lease is left")
			assert.Zero(t, c.Stats().LockWaits)
		})
	}
}

// The tokens of tags that only the entries name cannot be read: a batch does not
// try, and wait, for each of its keys.
func TestABatchWhoseTagsCannotBeReadDoesNotAskForEachKey(t *testing.T) {
	t.Parallel()
	server := cachetest.Redis(t)
	c := testkit.NewCache[int](t, server)
	for i, key := range testkit.Numbers(20) {
		require.NoError(t, c.Set(t.Context(), key, i, cache.Tagged(fmt.Sprint("tag", i))))
	}
	require.NoError(t, c.Set(t.Context(), "untagged", 99))
	var asked atomic.Int64
	server.AddHook(testkit.Refusal{Refuse: func(cmds []redis.Cmder) error {
		if strings.HasPrefix(fmt.Sprint(cmds[0].Args()[1]), "test!t") {
			asked.Add(1)
			return testkit.ErrOutage
		}
		return nil
	}})
	got, err := c.GetMany(t.Context(), append(testkit.Numbers(20), "untagged"))
	require.ErrorIs(t, err, testkit.ErrOutage)
	assert.Equal(t, map[string]int{"untagged": 99}, got)
	assert.EqualValues(t, 1, asked.Load())
}

func TestAValueThatCannotBeEncodedAmongOthers(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[any](t, rdb)
		bad := make(chan int)
		load := func(context.Context, []string) (map[string]any, error) {
			return map[string]any{"a": "A", "bad": bad, "b": "B"}, nil
		}
		got, err := c.GetOrLoadMany(t.Context(), []string{"a", "bad", "b"}, load)
		require.NoError(t, err)
		assert.Equal(t, map[string]any{"a": "A", "bad": bad, "b": "B"}, got, "it is returned")
		assert.Equal(t, map[string]any{"a": "A", "b": "B"}, testkit.Must(c.GetMany(t.Context(), []string{"a", "bad", "b"})))
		assert.EqualValues(t, 1, c.Stats().Unencodable)
		_, err = c.GetOrLoad(ended(t, 50*time.Millisecond), "bad", testkit.Value[any](1))
		assert.ErrorIs(t, err, cache.ErrBackoff)

		err = c.SetMany(t.Context(), map[string]any{"c": "C", "bad": bad})
		assert.Equal(t, []string{"bad"}, testkit.KeysOf(err))
		assert.Equal(t, map[string]any{"c": "C"}, testkit.Must(c.GetMany(t.Context(), []string{"c", "bad"})))
	})
}

// panicking panics when it decodes.
type panicking struct{ cache.Codec }

func (panicking) Decode([]byte, any) error { panic("mine") }

func TestAPanicOfTheCodecInABatchIsTheCallers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 500} {
		c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithCodec(panicking{cache.JSON}))
		require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(n)...)))
		assert.PanicsWithValue(t, "mine", func() { _, _ = c.GetMany(t.Context(), testkit.Numbers(n)) })
	}
}

// Everybody leaves while the leases are asked for. The load, which would begin after
// that, is for nobody: if it begins at all it is cancelled.
func TestABatchThatNobodyWaitsForAnyMoreIsCancelledBeforeItIsLoaded(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]error{"leases are granted": nil, "Redis fails": testkit.ErrOutage} {
		t.Run(name, func(t *testing.T) {
			server := cachetest.Redis(t)
			c := testkit.NewCache[int](t, server)
			_, err := c.GetOrLoadMany(t.Context(), []string{"x", "y"}, testkit.NewWarehouse().Load)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := make(chan struct{})
			var asked atomic.Bool
			server.AddHook(testkit.Refusal{Refuse: func(cmds []redis.Cmder) error {
				if !strings.EqualFold(cmds[0].Name(), "evalsha") || asked.Swap(true) {
					return nil
				}
				cancel()
				<-left
				return outcome
			}})
			var live atomic.Bool
			_, err = c.GetOrLoadMany(ctx, testkit.Numbers(3), func(ctx context.Context, _ []string) (map[string]int, error) {
				live.Store(ctx.Err() == nil)
				return nil, ctx.Err()
			})
			close(left)
			require.ErrorIs(t, err, context.Canceled)
			testkit.Eventually(t, func() bool { return c.Stats().Loading == 0 }, "the flights to end")
			assert.True(t, asked.Load())
			assert.False(t, live.Load())
		})
	}
}
