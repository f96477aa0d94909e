package protocol_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// panics is a codec that panics with a value that is 13.
type panics struct{}

func (panics) Append(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (panics) Decode(data []byte, v any) error {
	if string(data) == "13" {
		panic("13")
	}
	return json.Unmarshal(data, v)
}

var staleWhile = testkit.Class(func(ttl *cache.TTL) {
	ttl.Fresh, ttl.StaleWhileRevalidate, ttl.StaleIfError, ttl.Jitter = time.Second, time.Hour, time.Hour, -1
})

// A codec panics while a call looks several keys up, one of which it has found to be due
// for a refresh. The panic is the caller's; the refresh is made all the same, and Close
// has nothing to wait for.
func TestACodecPanicsBesideARefresh(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, staleWhile, cache.WithCodec(panics{}))
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"1": 1, "13": 13}))
		time.Sleep(2 * time.Second)
		w := testkit.NewWarehouse()
		assert.PanicsWithValue(t, "13", func() { _, _ = c.GetOrLoadMany(t.Context(), []string{"1", "13"}, w.Load) })
		synctest.Wait()
		assert.Equal(t, map[string]int{"1": 1}, w.Times())
		closed := make(chan struct{})
		go func() { _ = c.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(time.Minute):
			t.Error("Close waits for a flight that nobody runs")
		}
	})
}

// A call of several keys waits for the back-off of one while others are loaded, whatever
// their order: it is over when those are there.
func TestABackoffIsWaitedOutWhileOtherKeysAreLoaded(t *testing.T) {
	t.Parallel()
	for _, backsOff := range []string{"0", "1"} {
		testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
			c := testkit.NewCache[int](t, rdb)
			_, err := c.GetOrLoad(t.Context(), backsOff, func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				return 0, errors.New("no database")
			})
			require.Error(t, err)
			began := time.Now()
			got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(2), func(_ context.Context, keys []string) (map[string]int, error) {
				if keys[0] != backsOff {
					time.Sleep(900 * time.Millisecond)
				}
				return testkit.Numbered(keys...), nil
			})
			require.NoError(t, err)
			assert.Equal(t, testkit.Numbered("0", "1"), got)
			assert.Less(t, time.Since(began), 1100*time.Millisecond)
		})
	}
}

// WithNotFound's function panics: that is the load's error, whoever loads.
func TestThePanicOfWithNotFoundIsTheLoadsError(t *testing.T) {
	t.Parallel()
	var running atomic.Int64
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithNotFound(func(error) bool {
		assert.EqualValues(t, 1, running.Add(1), "it is called for one error at a time")
		defer running.Add(-1)
		time.Sleep(time.Millisecond)
		panic("what is that?")
	}))
	var panicked *cache.PanicError
	load := testkit.Failing[int](errors.New("no database"))
	_, err := c.GetOrLoad(t.Context(), "1", load)
	require.ErrorAs(t, err, &panicked)
	_, err = c.ReadThrough(load).GetMany(t.Context(), []string{"2", "3", "4", "5"})
	require.ErrorAs(t, err, &panicked)
	assert.Equal(t, "what is that?", panicked.Value)
}
