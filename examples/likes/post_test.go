package main

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

func TestALikeReturnsOnceATotalWithItIsAcknowledged(t *testing.T) {
	var p post
	var highest int64 // put, under p.mu
	put := func(context.Context, *post) (int64, error) {
		total := p.made.Load()
		assert.GreaterOrEqual(t, total, highest, "totals never go back")
		highest = total
		return total, nil
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			assert.NoError(t, p.like(t.Context(), put))
			p.mu.Lock()
			defer p.mu.Unlock()
			assert.Positive(t, p.total)
		})
	}
	all.Wait()
	assert.Equal(t, int64(100), p.made.Load())
	assert.Equal(t, int64(100), p.total)
	assert.LessOrEqual(t, p.puts, int64(100))
}

func TestAPutWithoutAnAnswerIsMadeAgainNowAndAtTheEnd(t *testing.T) {
	var p post
	calls := 0
	put := func(context.Context, *post) (int64, error) {
		calls++
		if calls == 1 {
			return 0, &cache.OpError{Op: "set", Err: errors.New("timeout")}
		}
		return p.made.Load(), nil
	}
	require.NoError(t, p.like(t.Context(), put))
	assert.Equal(t, 2, calls)
	require.NoError(t, p.settle(t.Context(), put))
	assert.Equal(t, 3, calls, "the first put may have come after the second")

	var sure post
	require.NoError(t, sure.settle(t.Context(), put))
	assert.Equal(t, 3, calls)
}

func TestALikeThatCannotBePutIsAnError(t *testing.T) {
	var p post
	put := func(context.Context, *post) (int64, error) { return 0, cache.ErrClosed }
	assert.ErrorIs(t, p.like(t.Context(), put), cache.ErrClosed)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unanswered := &cache.OpError{Op: "set", Err: errors.New("timeout")}
	put = func(context.Context, *post) (int64, error) { return 0, unanswered }
	err := p.like(ctx, put)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, unanswered)
}
