package outage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// due is a context whose deadline passes and whose timer never fires: what one
// is for a moment, and on a busy machine for a long one.
//
//  1. The deadline passes. The socket's timer fires: the command fails.
//  2. The caller asks ctx.Err(), which is nil still.
//  3. The context's timer fires.
//
// In step 2 the failure must not be taken for one of Redis.
type due struct {
	context.Context
	at time.Time
}

func dueIn(t *testing.T, d time.Duration) due { return due{t.Context(), time.Now().Add(d)} }

func (d due) Deadline() (time.Time, bool) { return d.at, true }

func TestADeadlineWhoseTimerIsLateIsTheCallersAndNoFailureOfRedis(t *testing.T) {
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewPutter(t, rdb)
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		err := c.Flush(dueIn(t, 50*time.Millisecond))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		dirtyLeft(t, err, 1)
		var opErr *cache.OpError
		assert.NotErrorAs(t, err, &opErr, "Flush")
		unchanged := c.Set(dueIn(t, 0), "k", "w")
		assert.True(t, unchanged == context.DeadlineExceeded, "Set: %v", unchanged) //nolint:errorlint // bare
		assert.Zero(t, c.Stats().RedisErrors)
	})
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		_, err := c.Get(dueIn(t, 0), "k")
		assert.True(t, err == context.DeadlineExceeded, "Get: %v", err) //nolint:errorlint // bare
		_, err = c.GetOrLoad(dueIn(t, 0), "k", testkit.MustNotLoad[int](t))
		assert.True(t, err == context.DeadlineExceeded, "GetOrLoad: %v", err) //nolint:errorlint // bare
		err = c.Update(dueIn(t, 0), "k", func(context.Context) error { return errors.New("the write was called") })
		assert.True(t, err == context.DeadlineExceeded, "Update: %v", err) //nolint:errorlint // bare
		assert.Zero(t, c.Stats().RedisErrors)
	})
}
