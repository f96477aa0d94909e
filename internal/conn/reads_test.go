package conn_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

func TestReadTellsWhatIsUnderTheKey(t *testing.T) {
	redistest.OnEach(t, redistest.Mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		ctx := t.Context()
		require.NoError(t, c.Set(ctx, "timed", "a\x00b", time.Hour).Err())
		require.NoError(t, c.Set(ctx, "lasting", "value", 0).Err())
		require.NoError(t, c.Set(ctx, "empty", "", 0).Err())
		require.NoError(t, c.HSet(ctx, "hash", "f", "v").Err())
		want := map[string]conn.Value{
			"timed":   {Data: []byte("a\x00b"), PTTL: time.Hour},
			"lasting": {Data: []byte("value"), PTTL: -1},
			"empty":   {PTTL: -1},
			"missing": {PTTL: -1},
			"hash":    {PTTL: -1, Foreign: true},
		}
		names := []string{"timed", "hash", "missing", "lasting", "empty"}
		many, err := readAll(ctx, s, names...) // the first of a Client, so with PTTLs
		require.NoError(t, err)
		for i, name := range names {
			one, err := read(ctx, s, name)
			require.NoError(t, err, name)
			assert.InDelta(t, want[name].PTTL, many[i].PTTL, float64(time.Minute), name)
			for _, got := range []conn.Value{one, many[i]} {
				got.PTTL = want[name].PTTL
				assert.Equal(t, want[name], got.Unreleased(), name)
			}
		}
	})
}

func TestServerErrorIsReturnedAndNotTakenForAMiss(t *testing.T) {
	m := redistest.Mini(t)
	s := open(t, redistest.Dial(t, m.Addr(), func(o *redis.Options) { o.MaxRetries = -1 }))
	_, err := read(t.Context(), s, "k")
	require.NoError(t, err)
	m.SetError("LOADING Redis is loading the dataset in memory")
	for name, run := range map[string]func() error{
		"read":      func() error { _, err := read(t.Context(), s, "k"); return err },
		"read many": func() error { _, err := readAll(t.Context(), s, redistest.Keys(3)...); return err },
		"script":    func() error { err := put(t.Context(), s, "k", nil); return err },
		"scripts": func() error {
			_, errs := del(t.Context(), s, redistest.Keys(3)...)
			return errors.Join(errs...)
		},
	} {
		err := run()
		assert.ErrorContains(t, err, "LOADING", name)
		assert.True(t, conn.Infrastructure(err), name)
	}
}

// veto is a hook that sends nothing and leaves no trace in the commands.
type veto struct{ redis.Hook }

var errVeto = errors.New("vetoed")

func (veto) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (veto) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (veto) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return errVeto }
}

func TestPipelineThatAHookRefusedIsNoMiss(t *testing.T) {
	c := redistest.Dial(t, redistest.Mini(t).Addr())
	c.AddHook(veto{})
	s := open(t, c)
	_, err := read(t.Context(), s, "k")
	require.ErrorIs(t, err, errVeto)
	_, err = readAll(t.Context(), s, redistest.Keys(2)...)
	require.ErrorIs(t, err, errVeto)
	_, errs := del(t.Context(), s, redistest.Keys(2)...)
	require.Len(t, errs, 2)
	require.ErrorIs(t, errs[1], errVeto)
}

func TestReadAllocatesLittleMoreThanTheBarePipeline(t *testing.T) {
	c := redistest.Dial(t, redistest.Mini(t).Addr(), func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	s := open(t, c)
	ctx := t.Context()
	require.NoError(t, c.Set(ctx, "k", "value", time.Hour).Err())
	bare := testing.AllocsPerRun(200, func() {
		pipe := c.Pipeline()
		pipe.PTTL(ctx, "k")
		pipe.Get(ctx, "k")
		_, _ = pipe.Exec(ctx)
	})
	read := testing.AllocsPerRun(200, func() { _, _ = read(ctx, s, "k") })
	t.Log("bare", bare, "read", read)
	assert.LessOrEqual(t, read-bare, 8.0)
}
