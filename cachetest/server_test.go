package cachetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/cachetest"
)

func TestAdvanceMovesEveryClockOfTheServer(t *testing.T) {
	ctx, rdb := t.Context(), cachetest.Redis(t)
	before := rdb.Now()
	require.NoError(t, rdb.Set(ctx, "short", "v", time.Hour).Err())
	require.NoError(t, rdb.Set(ctx, "long", "v", 2*time.Hour).Err())
	require.NoError(t, rdb.XGroupCreateMkStream(ctx, "s", "g", "0").Err())
	require.NoError(t, rdb.XAdd(ctx, &redis.XAddArgs{Stream: "s", Values: []string{"a", "b"}}).Err())
	require.NoError(t, rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: "g", Consumer: "c", Streams: []string{"s", ">"}, Block: -1,
	}).Err())

	rdb.Advance(time.Hour)

	assert.Equal(t, before.Add(time.Hour), rdb.Now())
	assert.ErrorIs(t, rdb.Get(ctx, "short").Err(), redis.Nil)
	assert.Equal(t, time.Hour, rdb.PTTL(ctx, "long").Val())
	assert.True(t, rdb.Now().Equal(rdb.Time(ctx).Val()), "TIME")
	assert.Equal(t, rdb.Now().Unix(), luaTime(t, rdb), "TIME in scripts")
	pending, err := rdb.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: "s", Group: "g", Start: "-", End: "+", Count: 10,
	}).Result()
	require.NoError(t, err)
	require.Len(t, pending, 1)
	assert.Equal(t, time.Hour, pending[0].Idle)
}

// luaTime returns the seconds that a script sees.
func luaTime(t *testing.T, rdb redis.Scripter) int64 {
	t.Helper()
	n, err := redis.NewScript("return tonumber(redis.call('TIME')[1])").
		Run(context.Background(), rdb, []string{"k"}).Int64()
	require.NoError(t, err)
	return n
}

func TestClockStandsStillByItself(t *testing.T) {
	rdb := cachetest.Redis(t)
	require.NoError(t, rdb.Set(t.Context(), "k", "v", time.Millisecond).Err())
	began := time.Now()
	require.Eventually(t, func() bool { return time.Since(began) > 5*time.Millisecond },
		time.Minute, time.Millisecond)
	assert.Equal(t, "v", rdb.Get(t.Context(), "k").Val())
	rdb.Advance(time.Millisecond)
	assert.ErrorIs(t, rdb.Get(t.Context(), "k").Err(), redis.Nil)
}

// recorder stands for a test that is expected to fail.
type recorder struct {
	*testing.T
	errors int
}

func (r *recorder) Errorf(string, ...any) { r.errors++ }

func TestClockDoesNotGoBack(t *testing.T) {
	r := &recorder{T: t}
	rdb := cachetest.Redis(r)
	before := rdb.Now()
	rdb.Advance(-time.Second)
	assert.Equal(t, 1, r.errors)
	assert.Equal(t, before, rdb.Now())
}

func TestFailAndHeal(t *testing.T) {
	ctx, rdb := t.Context(), cachetest.Redis(t)
	require.NoError(t, rdb.Set(ctx, "k", "v", 0).Err())
	rdb.Fail("READONLY You can't write against a read only replica.")
	err := rdb.Set(ctx, "k", "w", 0).Err()
	require.Error(t, err)
	assert.True(t, redis.IsReadOnlyError(err))
	assert.Error(t, rdb.Get(ctx, "k").Err())
	rdb.Heal()
	assert.Equal(t, "v", rdb.Get(ctx, "k").Val())
}

func TestStopAndRestartKeepDataAndAddress(t *testing.T) {
	ctx, rdb := t.Context(), cachetest.Redis(t)
	addr := rdb.Addr()
	require.NoError(t, rdb.Set(ctx, "k", "v", time.Hour).Err())
	require.NoError(t, rdb.Set(ctx, "stays", "v", 0).Err())
	rdb.Stop()
	rdb.Stop()
	began := time.Now()
	assert.Error(t, rdb.Get(ctx, "k").Err())
	assert.Less(t, time.Since(began), 5*time.Second, "it fails at once")
	rdb.Advance(time.Hour)
	rdb.Fail("LOADING Redis is loading the dataset in memory")
	rdb.Restart()
	assert.Error(t, rdb.Get(ctx, "stays").Err(), "Fail lasts until Heal")
	rdb.Heal()
	assert.Equal(t, addr, rdb.Addr())
	assert.Equal(t, "v", rdb.Get(ctx, "stays").Val())
	assert.ErrorIs(t, rdb.Get(ctx, "k").Err(), redis.Nil)
}

func TestBlockingCommandsStillWaitAfterRestart(t *testing.T) {
	rdb := cachetest.Redis(t)
	rdb.Restart()
	began := time.Now()
	err := rdb.XRead(t.Context(), &redis.XReadArgs{
		Streams: []string{"s", "0"}, Block: 50 * time.Millisecond,
	}).Err()
	assert.ErrorIs(t, err, redis.Nil, "nothing came")
	assert.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
}

func TestServersAreIndependent(t *testing.T) {
	a, b := cachetest.Redis(t), cachetest.Redis(t)
	require.NoError(t, a.Set(t.Context(), "k", "a", 0).Err())
	assert.ErrorIs(t, b.Get(t.Context(), "k").Err(), redis.Nil)
	assert.NotEqual(t, a.Addr(), b.Addr())
}

func TestServerIsAClient(t *testing.T) {
	rdb := cachetest.Redis(t)
	var universal redis.UniversalClient = rdb
	require.NoError(t, universal.Ping(t.Context()).Err())
	var plain *redis.Client = rdb.Client
	assert.True(t, plain.Options().ContextTimeoutEnabled)
	require.NoError(t, rdb.Close())
	assert.ErrorIs(t, rdb.Ping(t.Context()).Err(), redis.ErrClosed)
}
