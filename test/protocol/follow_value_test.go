package protocol_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// The schedule of InvalidationLog's comment: what a log says that a row is now must
// not be written into the cache.
func TestAValueOutOfTheLogOutlivesItsTag(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for _, test := range []struct {
			name string
			take func(c *cache.Cache[string], was string) // what the log's reader does with a change
			want string
		}{
			{"control: written as a value, it is stale", func(c *cache.Cache[string], was string) {
				require.NoError(t, c.Set(t.Context(), "42", was, cache.Tagged("T")))
			}, "v1"},
			{"followed, it is loaded again", func(c *cache.Cache[string], _ string) {
				log := newFakeLog(cache.Change{ID: "1", Keys: []string{"42"}})
				log.nextFails = func() error {
					if len(log.undone()) == 0 {
						return cache.ErrClosed
					}
					return nil
				}
				require.ErrorIs(t, cache.Follow(t.Context(), log, c), cache.ErrClosed)
			}, "v2"},
		} {
			t.Run(test.name, func(t *testing.T) {
				c := testkit.NewCache[string](t, rdb)
				learnt := "v1"                                         // 1
				require.NoError(t, c.InvalidateTags(t.Context(), "T")) // 2: v2
				test.take(c, learnt)                                   // 3
				v, err := c.GetOrLoad(t.Context(), "42", testkit.Value("v2"), cache.Tagged("T"))
				require.NoError(t, err)
				assert.Equal(t, test.want, v)
			})
		}
	})
}
