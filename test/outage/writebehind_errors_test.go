package outage_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// pipelines says when a pipeline was sent.
type pipelines struct {
	*testkit.Outage
	sent chan struct{}
}

func (p pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		select {
		case p.sent <- struct{}{}:
		default:
		}
		return next(ctx, cmds)
	}
}

// Flush and Update that wait while the cache closes.
func TestCloseEndsAFlushThatWaits(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(c *cache.Cache[string], ctx context.Context) error{
		"Flush": func(c *cache.Cache[string], ctx context.Context) error { return c.Flush(ctx) },
		"Update": func(c *cache.Cache[string], ctx context.Context) error {
			return c.Update(ctx, "k", func(context.Context) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			rdb := cachetest.Redis(t)
			c := testkit.NewPutter(t, rdb)
			require.NoError(t, c.Set(t.Context(), "k", "v"))
			p := pipelines{&testkit.Outage{}, make(chan struct{})}
			rdb.AddHook(p)
			waits := testkit.Start(func() (struct{}, error) { return struct{}{}, wait(c, t.Context()) })
			testkit.Soon(t, p.sent, "the first look")
			testkit.Soon(t, p.sent, "the second look")
			_ = c.Close()
			assert.ErrorIs(t, testkit.Soon(t, waits, name).Err, cache.ErrClosed)
			assert.Zero(t, c.Stats().RedisErrors)
		})
	}
}

// Flush, Redis down: an *OpError, counted.
func TestFlushReportsRedisAsAnOpError(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	c := testkit.NewPutter(t, rdb)
	rdb.Fail("LOADING Redis is loading the dataset in memory")
	err := c.Flush(t.Context())
	var opErr *cache.OpError
	if assert.ErrorAs(t, err, &opErr) {
		assert.Equal(t, "flush", opErr.Op)
	}
	rdb.Heal()
}

// a refused retry is no failure of Redis.
func TestARefusedRetryIsNoRedisError(t *testing.T) {
	t.Parallel()
	rows, _ := testkit.Picky(func() error { return testkit.ErrRefused })
	called := 0
	c := testkit.NewBehind(t, cachetest.Redis(t), rows, testkit.OneTry, cache.WithHooks(cache.Hooks{RedisError: func(string, error) { called++ }}))
	require.NoError(t, c.Set(t.Context(), "k", "bad"))
	require.NoError(t, c.Flush(t.Context()))
	require.NoError(t, c.Update(t.Context(), "k", func(context.Context) error { return nil }))
	require.Error(t, c.RetryDeadLetter(t.Context(), testkit.Letters(t, c)[0].ID))
	assert.Zero(t, c.Stats().RedisErrors)
	assert.Zero(t, called)
}

// bad options touch nothing and are reported with the others.
func TestBadWriteBehindOptionsAreReportedBeforeRedisIsAsked(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	_, err := testkit.OpenBehind(rdb, testkit.NewLedger(), cache.WriteBehindOptions{Partitions: 7, BatchSize: -1, Interval: -1}, cache.WithXFetch(-1))
	assert.ErrorContains(t, err, "BatchSize")
	assert.ErrorContains(t, err, "Interval")
	assert.ErrorContains(t, err, "WithXFetch")
	_, err = testkit.OpenBehind(rdb, testkit.NewLedger(), cache.WriteBehindOptions{Partitions: 7, BatchSize: -1})
	assert.Error(t, err)
	assert.Zero(t, rdb.DBSize(t.Context()).Val(), "the name was claimed, with 7 partitions, by a cache that never was")
}

// the span of a sink that panics.
func TestTheSpanOfASinkThatPanicsIsAnError(t *testing.T) {
	t.Parallel()
	recorded := testkit.NewRecorder()
	rows, _ := testkit.Picky(func() error { panic("poison") })
	c := testkit.NewBehind(t, cachetest.Redis(t), rows, testkit.OneTry, cache.WithTracerProvider(recorded))
	require.NoError(t, c.Set(t.Context(), "k", "bad"))
	testkit.Eventually(t, func() bool { return c.Stats().FlushErrors == 1 }, "the call")
	span := recorded.Named(t, "cache.flush")
	assert.Equal(t, codes.Error, span.Status.Code)
}

// the span of a put that was refused.
func TestTheSpanOfARefusedPutIsAnError(t *testing.T) {
	t.Parallel()
	recorded := testkit.NewRecorder()
	c := testkit.NewBehind(t, cachetest.Redis(t), nil, cache.WriteBehindOptions{Partitions: 1, MaxDirty: 1, Refuse: true}, cache.WithTracerProvider(recorded))
	require.NoError(t, c.Set(t.Context(), "a", "1"))
	recorded.Memory.Reset()
	require.ErrorIs(t, c.Set(t.Context(), "b", "1"), cache.ErrBackpressure)
	span := recorded.Named(t, "cache.put")
	assert.Equal(t, codes.Error, span.Status.Code)
}

// a codec that panics.
type panicky struct{ cache.Codec }

func (p panicky) Append(dst []byte, v any) ([]byte, error) {
	if s, ok := v.(string); ok && s == "panic" {
		panic("codec")
	}
	return p.Codec.Append(dst, v)
}

func (p panicky) Decode(data []byte, into any) error {
	if string(data) == `"poison"` {
		panic("codec")
	}
	return p.Codec.Decode(data, into)
}

func TestACodecThatPanicsInTheSinkIsADeadLetter(t *testing.T) {
	t.Parallel()
	rows := testkit.NewLedger()
	c := testkit.NewBehind(t, cachetest.Redis(t), rows, testkit.OneTry, cache.WithCodec(panicky{cache.JSON}))
	require.NoError(t, c.SetMany(t.Context(), map[string]string{"k": "poison", "l": "v"}))
	require.NoError(t, c.Flush(t.Context()))
	assert.Len(t, testkit.Letters(t, c), 1)
	assert.Equal(t, map[string]string{"l": "v"}, rows.Values())
}

// Workers below -1.
func TestWorkersBelowMinusOne(t *testing.T) {
	t.Parallel()
	_, err := testkit.OpenBehind(cachetest.Redis(t), testkit.NewLedger(), cache.WriteBehindOptions{Workers: -2})
	assert.ErrorContains(t, err, "Workers")
}

// Close when Redis is gone: says it does not know.
func TestCloseWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	c := testkit.NewPutter(t, rdb)
	require.NoError(t, c.Set(t.Context(), "k", "v"))
	rdb.Fail("LOADING Redis is loading the dataset in memory")
	var opErr *cache.OpError
	require.ErrorAs(t, c.Close(), &opErr, "how many keys are dirty cannot be asked")
	assert.Equal(t, "close", opErr.Op)
}

// An invalidation that Redis did not accept must not hide a later put.
func TestAQueuedInvalidationDoesNotHideALaterPut(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	cut := &testkit.Outage{}
	rdb.AddHook(cut)
	c := testkit.NewPutter(t, rdb)
	for i := range 20 {
		v := string(rune('a' + i))
		cut.On.Store(true)
		require.ErrorIs(t, c.Invalidate(t.Context(), "k"), cache.ErrPending)
		cut.On.Store(false)
		require.NoError(t, c.Set(t.Context(), "k", v))
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("old row"))
		require.NoError(t, err)
		require.Equal(t, v, got, "an acknowledged put is readable at once")
	}
}

// calls counts the commands of one name, in pipelines or not.
type calls struct {
	*testkit.Outage
	name string
	n    atomic.Int64
}

func (c *calls) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == c.name {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

// What Redis has answered it would answer again: New does not use up its 2 s, at
// whose end it would say that they are over, and not why.
func TestNewAsksOnceForWhatItRefuses(t *testing.T) {
	t.Parallel()
	volatile := redistest.Single(t).Client(t)
	info := &calls{Outage: &testkit.Outage{}, name: "info"}
	volatile.AddHook(info)
	_, err := testkit.OpenOnce(volatile, testkit.NewLedger(), cache.WriteBehindOptions{})
	assert.ErrorContains(t, err, "appendonly yes")
	assert.EqualValues(t, 2, info.n.Load(), "of memory and of persistence")

	rdb := testkit.Durable(t).Client(t)
	testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 4})
	claims := &calls{Outage: &testkit.Outage{}, name: "info"}
	rdb.AddHook(claims)
	_, err = testkit.OpenOnce(rdb, nil, cache.WriteBehindOptions{Partitions: 5})
	assert.ErrorContains(t, err, "fixed by its first process")
	assert.EqualValues(t, 2, claims.n.Load(), "each try begins with these two")
}
