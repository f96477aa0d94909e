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

// With -race: retries in a bubble.
func TestRetriesInABubbleDoNotRaceWithItsClock(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		began := time.Now()
		rows := testkit.NewLedger()
		rows.Before = func(context.Context, []cache.Mutation[string]) error {
			if time.Since(began) < 20*time.Second {
				return testkit.ErrDown
			}
			return nil
		}
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Interval: 100 * time.Millisecond})
		want := map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}
		require.NoError(t, c.SetMany(t.Context(), want))
		require.NoError(t, c.Flush(t.Context()))
		assert.Equal(t, want, rows.Values())
		assert.Empty(t, testkit.Letters(t, c))
	})
}
