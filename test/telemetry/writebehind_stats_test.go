package telemetry_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestWriteBehindStats(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, bad := testkit.Picky(func() error { return testkit.ErrRefused })
		held, refuse := make(chan struct{}), rows.Before
		rows.Before = func(ctx context.Context, batch []cache.Mutation[string]) error {
			<-held
			return refuse(ctx, batch)
		}
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{MaxAttempts: 1, Interval: time.Second})
		require.NoError(t, c.Set(t.Context(), "good", "good"))
		require.NoError(t, c.Set(t.Context(), "bad", "bad"))
		time.Sleep(5 * time.Second)
		s := c.Stats()
		assert.EqualValues(t, 2, s.Dirty)
		assert.InDelta(t, 5*time.Second, s.Lag, float64(time.Second))
		assert.Zero(t, s.Flushed)
		assert.Zero(t, s.FlushErrors)

		close(held)
		time.Sleep(10 * time.Second) // some samples later, whichever of them comes first in its second
		s = c.Stats()
		assert.Zero(t, s.Dirty)
		assert.Zero(t, s.Lag)
		assert.EqualValues(t, 1, s.Flushed)
		assert.EqualValues(t, 1, s.DeadLetters)
		assert.NotZero(t, s.FlushErrors)

		bad.Store(false)
		require.NoError(t, c.RetryDeadLetter(t.Context(), testkit.Letters(t, c)[0].ID))
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(10 * time.Second)
		s = c.Stats()
		assert.EqualValues(t, 2, s.Flushed)
		assert.Zero(t, s.DeadLetters)
		assert.Zero(t, s.RedisErrors)
	})
}

// A sink that fails for a while is asked again: nothing is given up.
func TestWriteBehindRetriesUntilTheSinkIsBack(t *testing.T) {
	failures := atomic.Int64{}
	rows := testkit.NewLedger()
	rows.Before = func(context.Context, []cache.Mutation[string]) error {
		if failures.Add(1) <= 3 {
			return testkit.ErrDown
		}
		return nil
	}
	c := testkit.NewBehind(t, testkit.Durable(t).Client(t), rows, cache.WriteBehindOptions{})
	want := map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}
	require.NoError(t, c.SetMany(t.Context(), want))
	require.NoError(t, c.Flush(t.Context()))
	assert.Equal(t, want, rows.Values())
	assert.Empty(t, testkit.Letters(t, c))
	assert.GreaterOrEqual(t, c.Stats().FlushErrors, int64(3))
}

func TestWriteBehindSpans(t *testing.T) {
	const key = "k"
	recorded := testkit.NewRecorder()
	rdb := cachetest.Redis(t)
	c := testkit.NewPutter(t, rdb, cache.WithTracerProvider(recorded))
	require.NoError(t, c.Set(t.Context(), key, testkit.Secret))
	put := recorded.Named(t, "cache.put")
	assert.Equal(t, codes.Unset, put.Status.Code)
	attributes := testkit.Attributes(&put)
	assert.Equal(t, "put", attributes["cache.operation"])
	assert.Equal(t, "behind", attributes["cache.name"])
	assert.EqualValues(t, testkit.SecretSize, attributes["cache.item_size"])

	recorded.Memory.Reset()
	require.NoError(t, c.Delete(t.Context(), key))
	recorded.Named(t, "cache.remove")

	recorded.Memory.Reset()
	worker := testkit.NewBehind(t, rdb, testkit.NewLedger(), cache.WriteBehindOptions{}, cache.WithTracerProvider(recorded))
	testkit.Eventually(t, func() bool { return worker.Stats().Flushed == 1 }, "the sink")
	flush := recorded.Named(t, "cache.flush")
	assert.Equal(t, codes.Unset, flush.Status.Code)
	assert.False(t, flush.Parent.IsValid(), "it belongs to no request")

	recorded.Memory.Reset()
	require.NoError(t, c.Flush(t.Context()))
	recorded.Named(t, "cache.flush")
	assert.NotContains(t, testkit.Everything(recorded), testkit.Secret)
}

func TestWriteBehindSpanOfASinkThatFails(t *testing.T) {
	recorded := testkit.NewRecorder()
	rows, _ := testkit.Picky(func() error { return testkit.ErrRefused })
	c := testkit.NewBehind(t, cachetest.Redis(t), rows, testkit.OneTry, cache.WithTracerProvider(recorded))
	require.NoError(t, c.Set(t.Context(), "k", "bad"))
	testkit.Eventually(t, func() bool { return len(testkit.Letters(t, c)) == 1 }, "the dead letter")
	flush := recorded.Named(t, "cache.flush")
	assert.Equal(t, codes.Error, flush.Status.Code)
}
