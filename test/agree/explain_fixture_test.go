package agree_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with testdata/explain/<name>.golden.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", "explain", strings.NewReplacer(" ", "-", ",", "").Replace(name)+".golden")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run the test with -update")
	assert.Equal(t, string(want), text)
}

// explained is a state of the key "k", what Explain calls it and what the caches of
// the table do about it.
type explained struct {
	name   string
	opts   []cache.Option
	plant  func(t *testing.T, p plot)
	action cache.Action
	state  string
}

// plot is where a state is made: a cache under test, and what it needs.
type plot struct {
	c   *cache.Cache[int]
	rdb redis.UniversalClient
	cut *testkit.Outage
}

// strangers is the token of no process of the test.
var strangers = envelope.Token([]byte("zzzz000000000000"))

// holds writes a header of the kind with a holder and a deadline, and no body.
func holds(t *testing.T, rdb redis.UniversalClient, kind envelope.Kind, until time.Duration, holder envelope.Token, body string) {
	t.Helper()
	h := envelope.Header{Kind: kind, Until: time.Now().Add(until).UnixMilli(), Token: holder, CID: envelope.NoToken}
	rec := string(envelope.AppendHeader(nil, h)) + body
	require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, rec, time.Minute).Err())
}

// leased gives the record that is there a holder and a deadline, as acquire and
// release do.
func leased(t *testing.T, rdb redis.UniversalClient, until time.Duration, holder envelope.Token) {
	t.Helper()
	h := envelope.Header{Kind: envelope.Value, Until: time.Now().Add(until).UnixMilli(), Token: holder, CID: envelope.NoToken}
	fields := string(envelope.AppendHeader(nil, h))
	require.NoError(t, rdb.SetRange(t.Context(), testkit.RedisKey, 3, fields[3:16]).Err())
	require.NoError(t, rdb.SetRange(t.Context(), testkit.RedisKey, 29, fields[29:45]).Err())
}

// windows are the class of the table.
func windows(ttl *cache.TTL) {
	ttl.Fresh, ttl.MaxAge = 10*time.Minute, 35*time.Minute
	ttl.StaleWhileRevalidate, ttl.StaleIfError = 5*time.Minute, 20*time.Minute
	ttl.Absent = time.Minute
}

// costly is an entry that took 80 ms to load.
func costly(b *envelope.Body) {
	b.Delta, b.EWMA, b.LoadedAt = 80*time.Millisecond, 95*time.Millisecond, time.Now().Add(-9*time.Minute).UnixMilli()
}

// entryOf plants an entry with so much left.
func entryOf(kind envelope.Kind, left time.Duration, mutate func(*envelope.Body)) func(*testing.T, plot) {
	return func(t *testing.T, p plot) { aged(t, p.rdb, kind, left, mutate) }
}
