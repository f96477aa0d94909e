package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain makes the test program a worker too.
func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// newDatabase is SQLite, or the PostgreSQL at DATABASE_URL.
func newDatabase(t *testing.T) *database {
	t.Helper()
	db, err := prepareDatabase(t.Context(), os.Getenv("DATABASE_URL"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// newRedis is embedded, or the one at url.
func newRedis(t *testing.T, url string) *redisServer {
	t.Helper()
	rdb, err := openRedis(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb
}
