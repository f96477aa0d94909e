package cachetest_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/cachetest"
)

// inBubble runs test in a bubble with a Redis.
func inBubble(t *testing.T, test func(t *testing.T, rdb *cachetest.Server)) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) { test(t, b.Redis(t)) })
}

func TestSleepingInABubbleExpiresKeys(t *testing.T) {
	real0 := time.Now()
	inBubble(t, func(t *testing.T, rdb *cachetest.Server) {
		ctx := t.Context()
		require.NoError(t, rdb.Set(ctx, "short", "v", time.Hour).Err())
		require.NoError(t, rdb.Set(ctx, "long", "v", 2*time.Hour).Err())
		time.Sleep(time.Hour - time.Millisecond)
		assert.Equal(t, time.Millisecond, rdb.PTTL(ctx, "short").Val())
		time.Sleep(time.Millisecond)
		assert.ErrorIs(t, rdb.Get(ctx, "short").Err(), redis.Nil)
		assert.Equal(t, time.Hour, rdb.PTTL(ctx, "long").Val())
	})
	assert.Less(t, time.Since(real0), time.Minute)
}

func TestClocksInABubbleAgree(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb *cachetest.Server) {
		for range 3 {
			assert.True(t, time.Now().Equal(rdb.Time(t.Context()).Val()), "TIME")
			assert.Equal(t, time.Now().Unix(), luaTime(t, rdb), "TIME in scripts")
			assert.True(t, time.Now().Equal(rdb.Now()))
			rdb.Advance(90 * time.Minute)
		}
	})
}

// The deadline of a socket runs in real time, in which Redis needs longer than
// a nanosecond.
func TestTimeoutsInABubbleDoNotStrike(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb *cachetest.Server) {
		clone := rdb.WithTimeout(time.Nanosecond)
		require.NoError(t, clone.Set(t.Context(), "k", "v", 0).Err())
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		assert.Equal(t, "v", rdb.Get(ctx, "k").Val())
		assert.Zero(t, ctx.Err(), "no time passes while Redis answers")
		<-ctx.Done()
		assert.ErrorIs(t, rdb.Get(ctx, "k").Err(), context.DeadlineExceeded)
	})
}

func TestManyGoroutinesAndPipelinesInABubble(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb *cachetest.Server) {
		var g sync.WaitGroup
		for range 20 {
			g.Go(func() {
				for range 20 {
					_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
						for range 50 {
							p.Incr(t.Context(), "n")
						}
						return nil
					})
					assert.NoError(t, err)
					time.Sleep(time.Second)
				}
			})
		}
		began := time.Now()
		g.Wait()
		assert.Equal(t, 20*time.Second, time.Since(began))
		assert.Equal(t, "20000", rdb.Get(t.Context(), "n").Val())
	})
}

func TestFaultsInABubble(t *testing.T) {
	inBubble(t, func(t *testing.T, rdb *cachetest.Server) {
		ctx := t.Context()
		require.NoError(t, rdb.Set(ctx, "k", "v", 0).Err())
		rdb.Fail("LOADING Redis is loading the dataset in memory")
		assert.True(t, redis.IsLoadingError(rdb.Get(ctx, "k").Err()))
		rdb.Heal()
		rdb.Stop()
		assert.Error(t, rdb.Get(ctx, "k").Err())
		time.Sleep(time.Hour)
		rdb.Restart()
		assert.Equal(t, "v", rdb.Get(ctx, "k").Val())
	})
}

func TestClientsOfOneBubbleShareTheServer(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		one, two := b.Redis(t), b.Redis(t)
		require.NoError(t, one.Set(t.Context(), "k", "v", time.Minute).Err())
		assert.Equal(t, "v", two.Get(t.Context(), "k").Val())
		two.Advance(time.Minute)
		assert.ErrorIs(t, one.Get(t.Context(), "k").Err(), redis.Nil)
	})
}
