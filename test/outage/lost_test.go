package outage_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
)

// lossy is a hook that loses the replies to so many scripts that Redis has run, on a
// key if that is not "".
type lossy struct {
	key   string
	loses atomic.Int64
	lost  atomic.Int64
}

var errReplyLost = &net.OpError{Op: "read", Err: errors.New("the reply is lost")}

// loseOne reports whether the reply to cmd is to be lost.
func (l *lossy) loseOne(cmd redis.Cmder) bool {
	if name := cmd.Name(); name != "evalsha" && name != "eval" || cmd.Err() != nil {
		return false
	}
	if l.key != "" && !slices.Contains(cmd.Args(), any(l.key)) || l.loses.Add(-1) < 0 {
		return false
	}
	l.lost.Add(1)
	cmd.SetErr(errReplyLost)
	if reply, ok := cmd.(interface{ SetVal(any) }); ok {
		reply.SetVal(nil)
	}
	return true
}

func (*lossy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := next(ctx, cmd); err != nil || !l.loseOne(cmd) {
			return err
		}
		return errReplyLost
	}
}

func (l *lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if l.loseOne(cmd) {
				err = errReplyLost
			}
		}
		return err
	}
}

// rows is a writer that the tests of refused writes must not reach.
type rows struct{ written atomic.Int64 }

func (r *rows) Write(context.Context, string, int) error { r.written.Add(1); return nil }
func (r *rows) Delete(context.Context, string) error     { r.written.Add(1); return nil }

// A write that is refused because the answer to its intent was lost leaves no intent
// behind: the key is cached again by the next load.
func TestARefusedWriteLeavesNoIntent(t *testing.T) {
	for name, write := range map[string]func(ctx context.Context, c *cache.Cache[int]) error{
		"Update": func(ctx context.Context, c *cache.Cache[int]) error {
			return c.Update(ctx, "k", func(context.Context) error { return errors.New("must not be called") })
		},
		"Set":     func(ctx context.Context, c *cache.Cache[int]) error { return c.Set(ctx, "k", 2) },
		"SetMany": func(ctx context.Context, c *cache.Cache[int]) error { return c.SetMany(ctx, map[string]int{"k": 2}) },
		"Delete":  func(ctx context.Context, c *cache.Cache[int]) error { return c.Delete(ctx, "k") },
		"Delete of several": func(ctx context.Context, c *cache.Cache[int]) error {
			return c.Delete(ctx, "k", "l")
		},
		"Set with a tag": func(ctx context.Context, c *cache.Cache[int]) error {
			return c.Set(ctx, "k", 2, cache.Tagged("t"))
		},
	} {
		for ends, loses := range map[string]int64{"and is ended": 1, "and must be ended from the queue": 2} {
			t.Run(name+" "+ends, func(t *testing.T) {
				rdb, hook, table := cachetest.Redis(t), &lossy{key: "test:k"}, new(rows)
				rdb.AddHook(hook)
				c, err := cache.New(rdb, "test", cache.WriteThrough[int](table, cache.FailClosed()))
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, c.Close()) })
				load := func(context.Context, string) (int, error) { return 1, nil }
				_, err = c.GetOrLoad(t.Context(), "k", load)
				require.NoError(t, err)

				hook.loses.Store(loses)
				err = write(t.Context(), c)
				require.Error(t, err)
				require.NotErrorIs(t, err, cache.ErrPending, "nothing was written")
				require.Equal(t, loses, hook.lost.Load())
				if name != "Delete of several" {
					assert.Zero(t, table.written.Load())
				}

				require.Eventually(t, func() bool { return c.Stats().Pending == 0 }, patience, tick, "the queue")
				_, err = c.GetOrLoad(t.Context(), "k", load)
				require.NoError(t, err)
				_, err = c.Get(t.Context(), "k")
				assert.NoError(t, err, "what was loaded since then is cached")
			})
		}
	}
}
