package outage_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// W11, W12. Shutdown ends with its context, and Close within ten seconds, whatever a loader
// or a sink does that does not look at its own: the error says how many there are.
func TestShutdownIsBoundedByItsContext(t *testing.T) {
	deaf := func(release chan struct{}, entered chan struct{}) {
		entered <- struct{}{}
		<-release
	}
	kinds := map[string]func(t *testing.T, rdb redis.UniversalClient, release, entered chan struct{}) *cache.Cache[string]{
		"a loader": func(t *testing.T, rdb redis.UniversalClient, release, entered chan struct{}) *cache.Cache[string] {
			c, err := cache.New(rdb, "test", cache.Aside[string]())
			require.NoError(t, err)
			go func() {
				_, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
					deaf(release, entered)
					return "late", nil
				})
				assert.ErrorIs(t, err, cache.ErrClosed)
			}()
			return c
		},
		"a loader of many keys": func(t *testing.T, rdb redis.UniversalClient, release, entered chan struct{}) *cache.Cache[string] {
			c, err := cache.New(rdb, "test", cache.Aside[string]())
			require.NoError(t, err)
			go func() {
				_, err := c.GetOrLoadMany(t.Context(), []string{"k"}, func(context.Context, []string) (map[string]string, error) {
					deaf(release, entered)
					return map[string]string{"k": "late"}, nil
				})
				assert.ErrorIs(t, err, cache.ErrClosed)
			}()
			return c
		},
		"a sink": func(t *testing.T, rdb redis.UniversalClient, release, entered chan struct{}) *cache.Cache[string] {
			c, err := cache.New(rdb, "test", cache.WriteBehind(func(context.Context, []cache.Mutation[string]) error {
				deaf(release, entered)
				return nil
			}, cache.WriteBehindOptions{AcceptVolatile: "a test"}))
			require.NoError(t, err)
			require.NoError(t, c.Set(t.Context(), "k", "v"))
			return c
		},
	}
	for kind, open := range kinds {
		for _, end := range []struct {
			name  string
			call  func(ctx context.Context, c *cache.Cache[string]) error
			takes time.Duration
		}{
			{"Shutdown", func(ctx context.Context, c *cache.Cache[string]) error { return c.Shutdown(ctx) }, 200*time.Millisecond + time.Second},
			{"Close", func(_ context.Context, c *cache.Cache[string]) error { return c.Close() }, 10 * time.Second},
		} {
			t.Run(end.name+" and "+kind, func(t *testing.T) {
				testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
					release, entered := make(chan struct{}), make(chan struct{}, 100)
					c := open(t, rdb, release, entered)
					<-entered
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					defer cancel()
					began := time.Now()
					err := end.call(ctx, c)
					assert.LessOrEqual(t, time.Since(began), end.takes+100*time.Millisecond)
					var left *cache.RemainingError
					require.ErrorAs(t, err, &left)
					assert.Equal(t, 1, left.Running)
					assert.ErrorContains(t, err, "1 calls of loaders and sinks that do not return")
					began = time.Now()
					assert.ErrorIs(t, c.Close(), left, "the same again")
					assert.Zero(t, time.Since(began))
					close(release)
				})
			})
		}
	}
}
