package store_test

import (
	"context"
	"io"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

func TestErrorsOfABatchAreFoundThroughIt(t *testing.T) {
	err := error(store.KeyErrors{nil, io.EOF, nil, store.ErrBudget})
	require.ErrorIs(t, err, io.EOF)
	require.ErrorIs(t, err, store.ErrBudget)
	assert.Equal(t, "EOF\nno answer within the budget", err.Error())
}

func TestAnswerOfAnotherScriptIsAnErrorThatNamesIt(t *testing.T) {
	c := redistest.Dial(t, mini(t).Addr())
	c.AddHook(liar{})
	s := open(t, c)
	operations(t, s, func(name string, run func() error) {
		var unexpected *store.AnswerError
		require.ErrorAs(t, run(), &unexpected, name)
		assert.Equal(t, name, unexpected.Script)
	})
}

// liar is a hook that makes every script answer something else.
type liar struct{}

func (liar) DialHook(next redis.DialHook) redis.DialHook { return next }

func (liar) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if v, ok := cmd.(interface{ SetVal(val any) }); ok && cmd.Name() == "evalsha" {
			v.SetVal([]any{"G"})
			return nil
		}
		return next(ctx, cmd)
	}
}

func (liar) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
