package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache"
)

// TestMain makes the test program a racer too.
func TestMain(m *testing.M) {
	if os.Getenv(racerEnv) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// newDatabase is SQLite, or the PostgreSQL at DATABASE_URL, with the accounts.
func newDatabase(t *testing.T, ids ...string) *database {
	t.Helper()
	db, err := prepareDatabase(t.Context(), os.Getenv("DATABASE_URL"), ids)
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
	o := rdb.client.(*redis.Client).Options()
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = time.Minute, time.Minute, time.Minute
	rdb.client.AddHook(patient{})
	return rdb
}

// patient takes the deadlines off a client's commands: what a test is about must
// not depend on how busy the machine is.
type patient struct{}

func (patient) DialHook(next redis.DialHook) redis.DialHook { return next }

func (patient) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return next(context.WithoutCancel(ctx), cmd) }
}

func (patient) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(context.WithoutCancel(ctx), cmds) }
}

// newAccounts is the cache over db, and with it one of the same entries that
// can put anything into them.
func newAccounts(t *testing.T, rdb *redisServer, db *database) (accounts, forge *cache.Cache[Account]) {
	t.Helper()
	accounts, err := openAccounts(rdb.client, &repository{db.DB})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, accounts.Close()) })
	forge, err = cache.New(rdb.client, "accounts", cache.Aside[Account]())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, forge.Close()) })
	return accounts, forge
}
