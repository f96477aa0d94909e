package budget_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// Entries say when they were made, also those of a process that has read nothing: so
// a hit needs no PTTL.
func TestWhatAProcessSetsThatNeverReadsIsAHitOfOneGET(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	ctx := t.Context()
	writer := testkit.NewCache[string](t, server.Client(t))
	reader := testkit.NewCache[string](t, redis.NewClient(&redis.Options{Addr: proxy.Addr(), ContextTimeoutEnabled: true}))
	_, err := reader.Get(ctx, "asks for the time")
	require.ErrorIs(t, err, cache.ErrMiss)
	for i := range 10 {
		require.NoError(t, writer.Set(ctx, fmt.Sprint(i), "v"))
	}
	proxy.Reset()
	for i := range 10 {
		v, err := reader.Get(ctx, fmt.Sprint(i))
		require.NoError(t, err)
		assert.Equal(t, "v", v)
	}
	assert.LessOrEqual(t, proxy.CommandsNamed("pttl"), int64(1), "at most one, beside the clear token")
}
