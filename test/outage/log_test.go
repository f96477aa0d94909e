package outage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// quoting is a codec that quotes what it cannot encode, which is all but nothing.
type quoting struct{ cache.Codec }

func (q quoting) Append(dst []byte, v any) ([]byte, error) {
	if v == "" {
		return q.Codec.Append(dst, v)
	}
	return dst, fmt.Errorf("bad value %v", v)
}

// W15. What an error quotes, of a sink, a codec, a hook or Redis, is not in the log: it has
// what helps to mend it, and hooks and callers have the error.
func TestTheLogHoldsNoKeysAndNoValues(t *testing.T) {
	t.Parallel()
	const key, value = "ada@example.com", "her secret"
	quote := fmt.Errorf("duplicate entry %q for %q", value, key)
	for name, test := range map[string]struct {
		run  func(t *testing.T, rdb redis.UniversalClient, log cache.Option)
		says []string
	}{
		"a sink that refuses one, and gives it up": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				var heard error
				rows := testkit.NewLedger()
				rows.Before = func(context.Context, []cache.Mutation[string]) error { return &cache.PermanentError{Err: quote} }
				c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{}, log,
					cache.WithHooks(cache.Hooks{DeadLetter: func(_ string, _ uint64, err error) { heard = err }}))
				require.NoError(t, c.Set(t.Context(), key, value))
				require.NoError(t, c.Flush(t.Context()))
				require.NoError(t, c.Close())
				assert.ErrorIs(t, heard, quote, "the hook has it")
			},
			[]string{"the sink failed", "a value was given up", "an error of type *errors.errorString"},
		},
		"a sink that refuses some of a batch": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				rows := testkit.NewLedger()
				rows.Before = func(context.Context, []cache.Mutation[string]) error {
					return cache.BatchError{key: &cache.PermanentError{Err: quote}}
				}
				c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{}, log)
				require.NoError(t, c.Set(t.Context(), key, value))
				require.NoError(t, c.Flush(t.Context()))
			},
			[]string{"of 1 values, of one: an error of type *errors.errorString"},
		},
		"a sink that panics": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				rows := testkit.NewLedger()
				rows.Before = func(context.Context, []cache.Mutation[string]) error { panic(quote) }
				c := testkit.NewBehind(t, rdb, rows, keepsTrying, log)
				require.NoError(t, c.Set(t.Context(), key, value))
				testkit.Eventually(t, func() bool { return c.Stats().FlushErrors > 0 }, "the sink to fail")
			},
			[]string{"it panicked with a *errors.errorString"},
		},
		"a value of another schema": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				putter := testkit.NewPutter(t, rdb, cache.WithSchema(7))
				require.NoError(t, putter.Set(t.Context(), key, value))
				c := testkit.NewBehind(t, rdb, testkit.NewLedger(), keepsTrying, log)
				testkit.Eventually(t, func() bool { return c.Stats().FlushErrors > 0 }, "the sink to fail")
			},
			[]string{"encoded by codec 1 in schema 7, not 1 and 0"},
		},
		"a codec that fails": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				c := testkit.NewCache[string](t, rdb, log, cache.WithCodec(quoting{cache.JSON}))
				_, err := c.GetOrLoad(t.Context(), key, testkit.Value(value))
				require.NoError(t, err)
			},
			[]string{"a value cannot be encoded", "an error of type *errors.errorString"},
		},
		"a hook that panics": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				c := testkit.NewCache[string](t, rdb, log, cache.WithHooks(cache.Hooks{Load: func(e cache.LoadEvent) { panic(e.Key) }}))
				_, err := c.GetOrLoad(t.Context(), key, testkit.Value(value))
				require.NoError(t, err)
			},
			[]string{"a hook panicked", "it panicked with a string"},
		},
		"a hook with a bug": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				c := testkit.NewCache[string](t, rdb, log, cache.WithHooks(cache.Hooks{Load: func(e cache.LoadEvent) { _ = e.Keys[0] }}))
				_, err := c.GetOrLoad(t.Context(), key, testkit.Value(value))
				require.NoError(t, err)
			},
			[]string{"index out of range [0] with length 0"},
		},
		"a Redis that quotes": {
			func(t *testing.T, _ redis.UniversalClient, log cache.Option) {
				server := cachetest.Redis(t)
				c := testkit.NewCache[string](t, server, log)
				server.Fail("ERR wrong number of arguments in `" + key + "`, with '" + value + "'")
				_, err := c.Get(t.Context(), key)
				require.ErrorContains(t, err, key, "the caller has it")
			},
			[]string{"redis failed", "ERR wrong number of arguments in"},
		},
		"a log of changes that fails": {
			func(t *testing.T, rdb redis.UniversalClient, log cache.Option) {
				ctx, cancel := context.WithCancel(t.Context())
				c := testkit.NewCache[string](t, rdb, log)
				assert.ErrorIs(t, cache.Follow(ctx, &failingLog{err: quote, end: cancel}, c), context.Canceled)
			},
			[]string{"changes cannot be followed", "the log's Next: an error of type *errors.errorString"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
				var out logLines
				test.run(t, rdb, out.option())
				for _, text := range test.says {
					testkit.Eventually(t, func() bool { return len(out.with(text)) > 0 }, text)
				}
				for _, text := range []string{key, value, "ada", "secret"} {
					assert.Empty(t, out.with(text), text)
				}
			})
		})
	}
}

// keepsTrying is a worker that gives up nothing soon.
var keepsTrying = cache.WriteBehindOptions{MaxAttempts: 1000}

// failingLog is a log of changes whose Next fails, and is ended with the second time.
type failingLog struct {
	err   error
	end   func()
	calls int
}

func (l *failingLog) Next(context.Context) ([]cache.Change, error) {
	if l.calls++; l.calls == 2 {
		l.end()
	}
	return nil, l.err
}

func (*failingLog) Done(context.Context, []cache.Change) error { return errors.New("not reached") }
