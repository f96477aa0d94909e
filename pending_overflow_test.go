package cache_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// mintCounter counts how often Redis has replaced the clear token for its client.
type mintCounter struct {
	mu     sync.Mutex // protects following
	minted map[any]bool
}

func (*mintCounter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (m *mintCounter) count(cmds ...redis.Cmder) {
	for _, cmd := range cmds {
		one, args := []redis.Cmder{cmd}, cmd.Args()
		sent := testkit.Mentions(one, "evalsha", testkit.ClearTokenKey) || testkit.Mentions(one, "eval", testkit.ClearTokenKey)
		if sent && cmd.Err() == nil && args[6] == "1" { // replaced, not minted where there is none
			m.mu.Lock()
			m.minted[args[4]] = true // an EVAL after an EVALSHA mints the same one
			m.mu.Unlock()
		}
	}
}

func (m *mintCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		defer func() { m.count(cmd) }()
		return next(ctx, cmd)
	}
}

func (m *mintCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		defer func() { m.count(cmds...) }()
		return next(ctx, cmds)
	}
}

// queueLimit is how many invalidations a cache keeps.
const queueLimit = 100_000

// others are keys of whose invalidations the queue holds so many.
func others(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "other " + strconv.Itoa(i)
	}
	return keys
}

// Scenario 25, second half: more invalidations than the queue holds become a single
// one of everything, and nobody of this process is served what was invalidated.
func TestTooManyInvalidationsWhileRedisIsDownAreOneOfAll(t *testing.T) {
	const keys, room = 50, 7
	server := redistest.Single(t)
	rdb := testkit.TunedClient(t, server)
	c, other := testkit.NewBudgeted[int](t, rdb), testkit.NewCache[int](t, server.Client(t))
	ctx := t.Context()
	for i := range keys {
		_, err := c.GetOrLoad(ctx, strconv.Itoa(i), testkit.Value(0))
		require.NoError(t, err)
	}
	counter := &mintCounter{minted: map[any]bool{}}
	rdb.AddHook(counter)
	server.Pause()
	require.ErrorIs(t, c.Invalidate(ctx, others(queueLimit-room)...), cache.ErrPending)
	for i := range keys {
		require.ErrorIs(t, c.Invalidate(ctx, strconv.Itoa(i)), cache.ErrPending)
		require.LessOrEqual(t, c.Stats().Pending, int64(queueLimit))
		v, err := c.GetOrLoad(ctx, strconv.Itoa(i), testkit.Value(1))
		require.NoError(t, err)
		require.Equal(t, 1, v)
	}
	server.Resume()
	testkit.Eventually(t, func() bool { return c.Stats().Pending == 0 }, "the queue to drain")
	for i := range keys {
		for _, process := range []*cache.Cache[int]{c, other} {
			v, err := process.GetOrLoad(ctx, strconv.Itoa(i), testkit.Value(1))
			require.NoError(t, err)
			require.Equal(t, 1, v, "key %d", i)
		}
	}
	assert.Len(t, counter.minted, 1, "one InvalidateAll")
}

// Scenario 25, second half: a queue that is full becomes one InvalidateAll.
func TestQueueThatIsFullBecomesOneInvalidateAll(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		const room, keys = 10, 50
		ctx, server := t.Context(), rdb.(*cachetest.Server)
		c, other := testkit.TwoFilled(t, rdb)
		for i := range keys {
			_, err := c.GetOrLoad(ctx, strconv.Itoa(i), testkit.Value(1), cache.Tagged("tag "+strconv.Itoa(i)))
			require.NoError(t, err)
		}
		server.Fail("LOADING the database")
		require.ErrorIs(t, c.Invalidate(ctx, others(queueLimit-room)...), cache.ErrPending)
		most := int64(0)
		for i := range keys { // by key, by tag, and within Update
			switch key := strconv.Itoa(i); i % 3 {
			case 0:
				testkit.Queued(t, c.Invalidate(ctx, key), "invalidate")
			case 1:
				testkit.Queued(t, c.InvalidateTags(ctx, "tag "+key), "invalidate tags")
			default:
				testkit.Queued(t, c.Update(ctx, key, func(context.Context) error { return nil }), "update")
			}
			most = max(most, c.Stats().Pending)
		}
		assert.EqualValues(t, queueLimit, most, "it holds no more")
		p := testkit.NewTap(rdb)
		p.FailMints(testkit.ClearTokenKey)
		server.Heal()
		for i := range keys {
			_, err := c.Get(ctx, strconv.Itoa(i))
			assert.ErrorIs(t, err, cache.ErrMiss, "%d is pending", i)
		}
		testkit.Missing(t, c, "everything is")
		n := count(p, testkit.ClearTokenKey)
		testkit.Drained(t, c)
		mints := n.onKey.Load()
		for i := range keys {
			_, err := c.Get(ctx, strconv.Itoa(i))
			assert.ErrorIs(t, err, cache.ErrMiss, "%d was invalidated", i)
		}
		testkit.Missing(t, c)
		t.Logf("%d invalidations queued, at most %d at once; %d clear tokens minted", keys, most, mints)
		assert.EqualValues(t, 1, mints)
		time.Sleep(time.Second)
		testkit.Missing(t, other, "everywhere")
	})
}
