package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// requireEnv makes the absence of PostgreSQL a failure.
const requireEnv = "CACHE_REQUIRE_POSTGRES"

// patient is for how long a test waits for what must happen.
const patient = time.Minute

// TestMain makes the test program a consumer too, and ends the PostgreSQL that the
// tests share.
func TestMain(m *testing.M) {
	if os.Getenv(consumerEnv) != "" {
		main()
		return
	}
	redis.SetLogger(quiet{})
	code := m.Run()
	if db, err := shared(); err == nil {
		_ = db.Close()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		code = 1
	}
	os.Exit(code)
}

// shared is the PostgreSQL of all tests: DATABASE_URL, or one of their own.
var shared = sync.OnceValues(func() (*database, error) {
	return openDatabase(context.Background(), os.Getenv("DATABASE_URL"))
})

// newDatabase is PostgreSQL with empty tables.
func newDatabase(t *testing.T) *database {
	t.Helper()
	db, err := shared()
	switch {
	case errors.Is(err, errNoPostgres) && os.Getenv(requireEnv) == "1":
		t.Fatalf("%v (%s=1 forbids to skip)", err, requireEnv)
	case errors.Is(err, errNoPostgres):
		t.Skipf("%v; %s=1 turns this skip into a failure", err, requireEnv)
	}
	require.NoError(t, err)
	execute(t, db, `DELETE FROM larder_users`)
	execute(t, db, `DELETE FROM larder_outbox`)
	return db
}

func execute(t *testing.T, db *database, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// newOutbox is the rows of one cache. It looks into the table when it is told to,
// and not by itself.
func newOutbox(t *testing.T, db *database, cache string) *outbox {
	t.Helper()
	o := &outbox{url: db.url, cache: cache, every: time.Hour}
	t.Cleanup(o.Close)
	return o
}

// newRedis is embedded, or the one at url.
func newRedis(t *testing.T, url string) *redisServer {
	t.Helper()
	rdb, err := openRedis(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb
}
