package outage_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// Managed servers switch commands off.
func TestACacheDoesWithoutTheCommandsThatItDoesNotRequire(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	for _, command := range []string{"info", "mget", "config", "script", "client", "hello", "wait"} {
		t.Run(command, func(t *testing.T) {
			loads, log := readsWithout(t, server, command)
			assert.Equal(t, 1, loads, "of thirty reads")
			assert.Empty(t, log)
		})
	}
}

func TestARequiredCommandThatIsSwitchedOffIsToldOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	for _, command := range []string{"get", "pttl", "time", "evalsha", "getrange", "set"} {
		t.Run(command, func(t *testing.T) {
			loads, log := readsWithout(t, server, command)
			assert.Equal(t, 30, loads, "each read loads, and none fails")
			lines := strings.Split(strings.TrimSpace(log), "\n")
			assert.LessOrEqual(t, len(lines), 2, "one for the reads, one for the loads: %s", log)
			for _, line := range lines {
				assert.Contains(t, line, "Redis refuses what the cache needs")
				assert.NotContains(t, line, "a-key", "logs hold no keys")
			}
		})
	}
}

// What a cache does without it says to who asks, also where that costs it no load.
func TestExplainTellsWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	require.NoError(t, server.Client(t).Do(t.Context(), "ACL", "SETUSER", "some", "on", ">pw", "~*", "+@all", "-mget").Err())
	c := testkit.NewCache[int](t, server.Client(t, func(o *redis.Options) { o.Username, o.Password = "some", "pw" }))
	require.NoError(t, c.Invalidate(t.Context(), "a")) // which it may not publish
	for range 2 {                                      // the first asks for the time
		_, err := c.GetMany(t.Context(), []string{"a", "b"})
		require.NoError(t, err)
	}
	e, err := c.Explain(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, []string{"MGET", "PUBLISH"}, e.Refused)
	assert.Contains(t, e.String(), "the server refuses MGET, PUBLISH")
}

// readsWithout reads a key thirty times as a user who may not run command, and returns
// how often it was loaded, and what was logged.
func readsWithout(t *testing.T, server *redistest.Server, command string) (loads int, log string) {
	t.Helper()
	user := "without-" + command
	rdb := server.Client(t)
	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	require.NoError(t, rdb.Do(t.Context(), "ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-"+command).Err())
	client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = user, "pw" })
	var out bytes.Buffer
	c := testkit.NewCache[int](t, client, cache.WithXFetch(0), cache.WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	for range 30 {
		v, err := c.GetOrLoad(t.Context(), "a-key", func(context.Context, string) (int, error) { loads++; return 7, nil })
		require.NoError(t, err)
		require.Equal(t, 7, v)
	}
	found, err := c.GetOrLoadMany(t.Context(), []string{"a-key", "another-a-key"}, loadNothingButSevens)
	require.NoError(t, err)
	require.Len(t, found, 2)
	return loads, out.String()
}
