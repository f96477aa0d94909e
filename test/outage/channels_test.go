package outage_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// A user that is made by Redis 7 may publish on no channel, unless it is told to. What
// is told to the L1s of others is beside the change that it is about.
func TestAUserWithoutChannelsMayChangeWhatIsCached(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	require.NoError(t, server.Client(t).Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~test:*", "~test!*", "+@all").Err())
	client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
	require.ErrorContains(t, client.Publish(t.Context(), "test!i", "m").Err(), "NOPERM")

	var log bytes.Buffer
	loads := 0
	load := func(context.Context, string) (int, error) { loads++; return loads, nil }
	c := testkit.NewCache[int](t, client, cache.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	for _, change := range changes {
		require.NoError(t, change.do(t.Context(), c), change.name)
		before := loads
		for range 10 {
			_, err := c.GetOrLoad(t.Context(), "k", load)
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, loads-before, 1, "loads of ten reads after "+change.name)
	}
	require.NoError(t, c.Set(t.Context(), "k", 7))
	require.NoError(t, c.SetMany(t.Context(), map[string]int{"k": 8, "l": 9}))
	got, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, 8, got)

	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 1, "it is told once")
	assert.Contains(t, lines[0], "&test!i")
	assert.Zero(t, c.Stats().Pending)
	assert.Greater(t, c.Stats().Unpublished, int64(10))
}

// The user that README shows may do all that a cache does.
func TestTheUserOfTheREADMEIsEnoughForACache(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rule, found := strings.Cut(string(readme), "\nACL SETUSER app on >secret ")
	require.True(t, found)
	rule, _, _ = strings.Cut(strings.ReplaceAll(rule, "users", "test"), "\n")
	server := redistest.Single(t, redistest.AppendOnly("everysec"))
	command := []any{"ACL", "SETUSER", "app", "on", ">secret"}
	for _, word := range strings.Fields(rule) {
		command = append(command, word)
	}
	require.NoError(t, server.Client(t).Do(t.Context(), command...).Err())
	client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "secret" })

	var log bytes.Buffer
	logger := cache.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
	l1 := testkit.NewL1(t, client, cache.L1Options{})
	c := testkit.NewCache[int](t, client, logger, cache.WithL1(l1), cache.Tagged("t"))
	testkit.InUse(t, c)
	for _, change := range changes {
		require.NoError(t, change.do(t.Context(), c), change.name)
		for range 3 {
			got, err := c.GetOrLoadMany(t.Context(), []string{"k", "l", "m"}, loadNothingButSevens)
			require.NoError(t, err)
			assert.Equal(t, map[string]int{"k": 7, "l": 7, "m": 7}, got)
		}
	}
	require.NoError(t, c.SetMany(t.Context(), map[string]int{"k": 8, "l": 9}))
	require.NoError(t, c.Close())
	assert.Empty(t, log.String())
}

func loadNothingButSevens(_ context.Context, keys []string) (map[string]int, error) {
	values := map[string]int{}
	for _, key := range keys {
		values[key] = 7
	}
	return values, nil
}
