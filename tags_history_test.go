package cache_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
)

// sharedTag is the tag of a row: each belongs to two of them.
func sharedTag(row string) string {
	i, _ := strconv.Atoi(row)
	return "tag " + strconv.Itoa(i%2)
}

// tagged is a process whose writers know the tag of what they change, and not its
// keys. Half of its readers leave the tags to the entry.
func (h *history) tagged(c *cache.Cache[int64]) *subject {
	var n atomic.Int64
	return &subject{
		get: func(ctx context.Context, key string) (int64, error) {
			if n.Add(1)%2 == 0 {
				return c.GetOrLoad(ctx, key, h.load, cache.Tagged(sharedTag(key)))
			}
			return c.GetOrLoad(ctx, key, h.load, cache.Tagged(sharedTag(key), "all rows"))
		},
		put: func(ctx context.Context, key string, write func()) error {
			write()
			return c.InvalidateTags(ctx, sharedTag(key))
		},
	}
}

// naiveTags is the control: the same with naiveTagged.
func (h *history) naiveTags(rdb redis.UniversalClient) *subject {
	n := naiveTagged{rdb}
	return &subject{
		get: func(ctx context.Context, key string) (int64, error) {
			return n.get(ctx, key, sharedTag(key), func(ctx context.Context) (int64, error) { return h.load(ctx, key) })
		},
		put: func(ctx context.Context, key string, write func()) error {
			write()
			return n.invalidate(ctx, sharedTag(key))
		},
	}
}

// clearAll changes all rows and invalidates everything, until ctx ends. The rows
// have other writers meanwhile: InvalidateAll takes a second.
func (h *history) clearAll(ctx context.Context, c *cache.Cache[int64]) (times int) {
	for ctx.Err() == nil {
		var wrote [historyRows]int64
		for i := range h.rows {
			row := &h.rows[i]
			row.mu.Lock()
			wrote[i] = row.version.Add(1)
			row.mu.Unlock()
		}
		if err := c.InvalidateAll(context.WithoutCancel(ctx)); err != nil {
			h.fail(err)
			return times
		}
		times++
		for i, v := range wrote {
			h.rows[i].mu.Lock()
			raise(&h.rows[i].floor, v)
			h.rows[i].mu.Unlock()
		}
	}
	return times
}

// evict deletes tokens now and then, as a Redis without memory would.
func evictTokens(ctx context.Context, rdb redis.UniversalClient, keys []string) (times int) {
	for ctx.Err() == nil {
		if rdb.Del(context.WithoutCancel(ctx), keys[rand.IntN(len(keys))]).Err() == nil {
			times++
		}
		_ = pace(ctx, 20*time.Millisecond)
	}
	return times
}

// taggedHistory runs two processes, one that clears everything, and losses of tokens.
func taggedHistory(t *testing.T, connect func() redis.UniversalClient, length time.Duration) {
	var h history
	a, b := newCache[int64](t, connect()), newCache[int64](t, connect())
	rdb := connect()
	keys := slices.Repeat([]string{tokenKey(t, "tag 0"), tokenKey(t, "tag 1"), tokenKey(t, "all rows")}, 10)
	keys = append(keys, clearTokenKey) // seldom: it makes InvalidateAll begin again
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var cleared, evicted int
	var others sync.WaitGroup
	others.Go(func() { cleared = h.clearAll(ctx, newCache[int64](t, rdb)) })
	others.Go(func() { evicted = evictTokens(ctx, rdb, keys) })
	h.run(ctx, length, h.tagged(a), h.tagged(b))
	others.Wait()
	h.log(t, "tags")
	t.Logf("%d times everything was invalidated, %d tokens deleted, %d fills refused", cleared, evicted,
		a.Stats().RefusedFills+b.Stats().RefusedFills)
	require.NoError(t, h.firstFailure())
	assert.Zero(t, h.stale.Load(), "violations")
	assert.Positive(t, cleared)
	assert.Positive(t, evicted)
	assert.Positive(t, h.writes.Load())
	assert.Positive(t, a.Stats().Hits+b.Stats().Hits, "entries were served")

	var control history
	control.control(t, control.naiveTags(rdb), control.naiveTags(rdb))
}

// Scenario 2, with tags in place of keys.
func TestTagHistory(t *testing.T) {
	server := redistest.Single(t)
	taggedHistory(t, func() redis.UniversalClient { return server.Client(t) }, span(2500*time.Millisecond, 1500*time.Millisecond))
}
