package telemetry_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// W11: nobody sees what waits if only workers tell, and none runs or all hang.
func TestAProcessThatOnlyPutsMeasuresWhatWaits(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows, _ := testkit.Picky(func() error { return testkit.ErrRefused })
		worker := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{})
		require.NoError(t, worker.Set(t.Context(), "bad", "bad"))
		require.NoError(t, worker.Flush(t.Context()))
		require.NoError(t, worker.Close())

		m := testkit.NewMeters(t)
		putter := testkit.NewPutter(t, rdb, cache.WithMeterProvider(m))
		require.NoError(t, putter.Set(t.Context(), "k", "v"))
		time.Sleep(5 * time.Second)
		s := agree(t, m, "behind", putter.Stats)
		assert.EqualValues(t, 1, s.Dirty)
		assert.EqualValues(t, 1, s.DeadLetters)
		assert.GreaterOrEqual(t, s.Lag, 3*time.Second)
		assert.Len(t, m.Collect(t)["cache.write_behind.sink.calls"], 1, "none is a figure")
	})
}

func TestPutsThatWaitForRoomAreMeasured(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := testkit.NewMeters(t)
		c := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{Partitions: 1, MaxDirty: 1}, cache.WithMeterProvider(m))
		require.NoError(t, c.Set(t.Context(), "a", "1"))
		ctx, leave := context.WithCancel(t.Context())
		set := testkit.Start(func() (struct{}, error) { return struct{}{}, c.Set(ctx, "b", "2") })
		time.Sleep(time.Second)
		assert.EqualValues(t, 1, agree(t, m, "behind", c.Stats).WaitingPuts)
		leave()
		require.ErrorIs(t, (<-set).Err, cache.ErrBackpressure)
		assert.Zero(t, agree(t, m, "behind", c.Stats).WaitingPuts)
	})
}

func TestCallsOfTheSinkAreMeasured(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := testkit.NewMeters(t)
		rows, entered, release := testkit.Stuck()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 1, Workers: 1, Interval: 500 * time.Millisecond}, cache.WithMeterProvider(m))
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		<-entered
		time.Sleep(5 * time.Second)
		assert.EqualValues(t, 1, agree(t, m, "behind", c.Stats).SinkCalls)
		assert.Empty(t, m.Collect(t)["cache.write_behind.sink.duration"], "it has not returned")
		close(release)
		require.NoError(t, c.Flush(t.Context()))
		assert.Zero(t, agree(t, m, "behind", c.Stats).SinkCalls)
		got := m.Collect(t)
		assert.Equal(t, 1, got.Count("cache.write_behind.sink.duration", "cache.name", "behind"))
		assert.GreaterOrEqual(t, got.Sum("cache.write_behind.sink.duration"), 5.0)
	})
}

// A value that the sink refuses while it takes others is tried again, and counts.
func TestValuesThatAreTriedAgainAreMeasured(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := testkit.NewMeters(t)
		rows, bad := testkit.Picky(func() error { return testkit.ErrDown })
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 1, MaxAttempts: 1000, Interval: 500 * time.Millisecond}, cache.WithMeterProvider(m))
		require.NoError(t, c.Set(t.Context(), "bad", "bad"))
		for range 10 {
			require.NoError(t, c.Set(t.Context(), "good", "good"))
			time.Sleep(time.Second)
		}
		s := agree(t, m, "behind", c.Stats)
		assert.EqualValues(t, 1, s.Retrying)
		assert.InDelta(t, 10*time.Second, s.OldestRetry, float64(3*time.Second))
		bad.Store(false)
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(2 * time.Second)
		s = agree(t, m, "behind", c.Stats)
		assert.Zero(t, s.Retrying)
		assert.Zero(t, s.OldestRetry)
	})
}

// Figures that stand still while Redis does not answer look as if all were well.
func TestASampleIsNotMeasuredForLong(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		outage, m := &testkit.Outage{}, testkit.NewMeters(t)
		rdb.AddHook(outage)
		c := testkit.NewPutter(t, rdb, cache.WithMeterProvider(m))
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		time.Sleep(5 * time.Second)
		require.Len(t, m.Collect(t)["cache.write_behind.lag"], 1)
		outage.On.Store(true)
		time.Sleep(50 * time.Second)
		assert.Len(t, m.Collect(t)["cache.write_behind.lag"], 1)
		time.Sleep(20 * time.Second)
		assert.Empty(t, m.Collect(t)["cache.write_behind.lag"])
		outage.On.Store(false)
		time.Sleep(time.Minute)
		assert.Len(t, m.Collect(t)["cache.write_behind.lag"], 1)
	})
}
