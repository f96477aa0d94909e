package cache_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// E9. The row is committed, and then the caller of the removal goes away: the old value
// must not stay for the whole TTL.
func TestARemovalHasNoUseForItsCallersCancellation(t *testing.T) {
	const tag = "all"
	for name, remove := range map[string]func(context.Context, *cache.Cache[int]) error{
		"Invalidate":     func(ctx context.Context, c *cache.Cache[int]) error { return c.Invalidate(ctx, "k") },
		"Delete":         func(ctx context.Context, c *cache.Cache[int]) error { return c.Delete(ctx, "k") },
		"Expire":         func(ctx context.Context, c *cache.Cache[int]) error { return c.Expire(ctx, "k") },
		"InvalidateTags": func(ctx context.Context, c *cache.Cache[int]) error { return c.InvalidateTags(ctx, tag) },
		"InvalidateAll":  func(ctx context.Context, c *cache.Cache[int]) error { return c.InvalidateAll(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testkit.NewCache[int](t, cachetest.Redis(t), cache.Tagged(tag))
			require.NoError(t, c.Set(t.Context(), "k", 1))
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			err := remove(ended, c)
			if name == "InvalidateAll" { // it does not wait until others have heard of it
				require.ErrorIs(t, err, context.Canceled)
			} else {
				require.NoError(t, err)
			}
			_, err = c.Get(t.Context(), "k")
			assert.ErrorIs(t, err, cache.ErrMiss)
		})
	}
}

// The same while Redis does not answer: it is queued, and made once Redis is back.
func TestARemovalWhoseCallerIsGoneIsQueuedWhereRedisFails(t *testing.T) {
	rdb := cachetest.Redis(t)
	c := testkit.NewCache[int](t, rdb)
	require.NoError(t, c.Set(t.Context(), "k", 1))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	rdb.Fail("LOADING")
	require.ErrorIs(t, c.Invalidate(ended, "k"), cache.ErrPending)
	rdb.Heal()
	testkit.Eventually(t, func() bool { return c.Stats().Pending == 0 }, "the queue to drain")
	_, err := c.Get(t.Context(), "k")
	assert.ErrorIs(t, err, cache.ErrMiss)
}
