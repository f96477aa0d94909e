package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// simpleL1 is an in-process tier the usual way, the control: values from Redis in a
// map, deleted by messages.
type simpleL1 struct {
	rdb redis.UniversalClient

	mu     sync.Mutex // protects following
	values map[string]int64
	heard  int
}

const simpleChannel = "simple!i"

func newSimpleL1(t testing.TB, rdb, ear redis.UniversalClient) *simpleL1 {
	t.Helper()
	s := &simpleL1{rdb: rdb, values: map[string]int64{}}
	sub := ear.Subscribe(t.Context(), simpleChannel)
	_, err := sub.Receive(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = sub.Close() })
	messages := sub.Channel()
	go func() {
		for m := range messages {
			s.drop(m.Payload)
		}
	}()
	return s
}

func (s *simpleL1) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	s.heard++
}

func (s *simpleL1) dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

func (s *simpleL1) get(ctx context.Context, key string, load cache.Loader[int64]) (int64, error) {
	s.mu.Lock()
	v, ok := s.values[key]
	s.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := s.rdb.Get(ctx, "simple:"+key).Int64()
	if err != nil {
		if v, err = load(ctx, key); err != nil {
			return 0, err
		}
		s.rdb.Set(ctx, "simple:"+key, v, time.Minute)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = v
	return v, nil
}

// invalidate is made after a write.
func (s *simpleL1) invalidate(ctx context.Context, key string) error {
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, "simple:"+key)
		p.Publish(ctx, simpleChannel, key)
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	return err
}

// reads matches the GET of a Redis key.
func reads(redisKey string) func([][]byte) bool {
	return func(args [][]byte) bool {
		return bytes.EqualFold(args[0], []byte("get")) && string(args[1]) == redisKey ||
			bytes.EqualFold(args[0], []byte("mget")) && slices.ContainsFunc(args[1:], func(key []byte) bool { return string(key) == redisKey })
	}
}

// Scenario 15 (model variant 90):
//
//  1. R, of process A, reads v1 from Redis. The reply is under way.
//  2. W, of process B, writes v2 and invalidates. W returns.
//  3. A hears of it, and drops the key, which is not there.
//  4. R gets v1, and puts it into the L1: A is served v1 for the L1's TTL.
func TestL1FillRace(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	a := hearing[int64](t, s)
	b := testkit.NewCache[int64](t, s.Server.Client(t))
	const mark = "mark"
	rounds := 0
	race := func(t *testing.T, invalidate func(key string) error) (stale int) {
		rounds++
		key := "race:" + strconv.Itoa(rounds)
		_, err := b.GetOrLoad(ctx, key, testkit.Value[int64](1), cache.Tagged("tag"))
		require.NoError(t, err)
		for !vouched(t, a, mark) {
			_, err := a.GetOrLoad(ctx, mark, testkit.Value[int64](1))
			require.NoError(t, err)
		}
		held := s.Link.Hold(reads("test:" + key))
		read := testkit.Start(func() (int64, error) { return a.GetOrLoad(ctx, key, testkit.Value[int64](2), cache.Tagged("tag")) })
		testkit.Soon(t, held.Reached(), "the read")
		require.NoError(t, invalidate(key))
		for began := time.Now(); vouched(t, a, mark); { // the message comes before that of the mark
			require.Less(t, time.Since(began), testkit.Forever)
		}
		held.Release()
		require.NoError(t, testkit.Soon(t, read, "R").Err)
		for range 3 {
			got, err := a.GetOrLoad(ctx, key, testkit.Value[int64](2), cache.Tagged("tag"))
			require.NoError(t, err)
			if got != 2 {
				stale++
			}
		}
		return stale
	}
	then := func(err error) error { return errors.Join(err, b.Invalidate(ctx, mark)) }
	var all errgroup.Group // InvalidateAll waits for a second; its message, which drops the mark too, does not
	for name, way := range map[string]struct {
		rounds     int
		invalidate func(key string) error
	}{
		"a key":      {testkit.Span(1000, 150), func(key string) error { return then(b.Invalidate(ctx, key)) }},
		"its tag":    {testkit.Span(200, 50), func(string) error { return then(b.InvalidateTags(ctx, "tag")) }},
		"everything": {testkit.Span(3, 1), func(string) error { all.Go(func() error { return b.InvalidateAll(ctx) }); return nil }},
	} {
		stale := 0
		for range way.rounds {
			stale += race(t, way.invalidate)
		}
		t.Logf("%s: %d rounds, %d stale", name, way.rounds, stale)
		assert.Zero(t, stale, name)
	}
	require.NoError(t, all.Wait())
	assert.Positive(t, a.Stats().HitsL1)
	t.Run("naive control", func(t *testing.T) {
		simple := newSimpleL1(t, s.Rdb, s.Server.Client(t))
		far := newSimpleL1(t, s.Server.Client(t), s.Server.Client(t))
		_, err := far.get(ctx, "k", testkit.Value[int64](1))
		require.NoError(t, err)
		held := s.Link.Hold(reads("simple:k"))
		read := testkit.Start(func() (int64, error) { return simple.get(ctx, "k", testkit.Value[int64](2)) })
		testkit.Soon(t, held.Reached(), "the read")
		require.NoError(t, far.invalidate(ctx, "k"))
		testkit.Eventually(t, func() bool { return simple.dropped() > 0 }, "the message")
		held.Release()
		require.NoError(t, testkit.Soon(t, read, "R").Err)
		got, err := simple.get(ctx, "k", testkit.Value[int64](2))
		require.NoError(t, err)
		assert.EqualValues(t, 1, got, "the control must be stale, else the test is blind")
	})
}

// silence is for how long hits are served after the last sign of life, which is
// before the link became a black hole.
const silence = 2 * time.Second

// Scenario 16: nobody is told that the link has become a black hole.
func TestL1BlackHole(t *testing.T) {
	t.Parallel()
	for name, both := range map[string]bool{"of its messages": false, "of everything": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blackHole(t, both)
		})
	}
}

func blackHole(t *testing.T, both bool) {
	t.Helper()
	ctx := t.Context()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := testkit.Brisk[int64](t, s)
	other := testkit.NewCache[int64](t, s.Server.Client(t))
	var row atomic.Int64
	load := func(context.Context, string) (int64, error) { return row.Load(), nil }
	s.Locally(t, func() error { _, err := c.GetOrLoad(ctx, "k", load); return err })

	s.Ear.Swallow()
	if both {
		s.Link.Swallow()
	}
	silent := time.Now()
	row.Store(1)
	require.NoError(t, other.Invalidate(ctx, "k"))
	changed := time.Now()
	near := c.Stats().HitsL1
	var oldest, last time.Duration
	for time.Since(silent) < silence+500*time.Millisecond {
		asked := time.Now()
		got, err := c.GetOrLoad(ctx, "k", load)
		require.NoError(t, err)
		if got == 0 {
			oldest, last = asked.Sub(changed), asked.Sub(silent)
		}
	}
	t.Logf("%d hits after the change, the oldest %v; bypassed %v after the link became a black hole", c.Stats().HitsL1-near, oldest, last)
	assert.LessOrEqual(t, last, silence)
	assert.LessOrEqual(t, oldest, silence)
	if !both {
		assert.Positive(t, oldest, "the change was not seen at once: the link was a black hole")
	}

	require.NoError(t, s.Ear.Heal())
	require.NoError(t, s.Link.Heal())
	testkit.InUse(t, c)
	s.Locally(t, func() error { _, err := c.GetOrLoad(ctx, "k", load); return err })
	row.Store(2)
	require.NoError(t, other.Invalidate(ctx, "k"))
	testkit.Eventually(t, func() bool { got, err := c.GetOrLoad(ctx, "k", load); return err == nil && got == 2 }, "messages to arrive again")
}

// A subscription that is lost ends the use of what it stood for; one that is back
// serves again.
func TestL1LostSubscription(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	admin := s.Server.Client(t)
	c := testkit.Brisk[int64](t, s)
	for _, loss := range []struct {
		name string
		lose func()
	}{
		{"CLIENT KILL", func() {
			require.NoError(t, admin.Do(t.Context(), "client", "kill", "type", "pubsub").Err())
		}},
		{"the server is killed, and starts again", func() { s.Server.Kill(); s.Server.Restart() }},
		{"the connection is closed", s.Ear.CloseConns},
	} {
		t.Run(loss.name, func(t *testing.T) { lost(t, c, testkit.NewCache[int64](t, s.Server.Client(t)), loss.lose) })
	}
}

// vouched reports whether the L1 of c has an entry of key of which it may be told of
// every change.
func vouched[T any](t testing.TB, c *cache.Cache[T], key string) bool {
	t.Helper()
	e, _ := c.Explain(t.Context(), key) // where Redis fails it says what this process knows
	return e.L1.Found && e.L1.Refused != "its messages may be missing"
}

// lost asserts that changes of other are seen by c, before the loss, across it, and
// after it.
func lost(t *testing.T, c, other *cache.Cache[int64], lose func()) {
	t.Helper()
	ctx, key := t.Context(), t.Name()
	var row atomic.Int64
	load := func(context.Context, string) (int64, error) { return row.Load(), nil }
	look := func() int64 {
		got, err := c.GetOrLoad(ctx, key, load)
		require.NoError(t, err)
		return got
	}
	change := func() {
		row.Add(1)
		testkit.Eventually(t, func() bool {
			return other.Invalidate(ctx, key) == nil
		}, "the change to be made")
	}
	nearAgain := func() {
		testkit.Eventually(t, func() bool {
			before := c.Stats().HitsL1
			return look() == row.Load() && c.Stats().HitsL1 > before
		}, "a hit in the L1")
	}
	nearAgain()
	require.True(t, vouched(t, c, key), "the L1 serves the key, or would with a clear token")
	lose()
	change()
	testkit.Eventually(t, func() bool { return !vouched(t, c, key) }, "the loss, or the change, to be noticed")
	assert.Equal(t, row.Load(), look())
	nearAgain()
	change()
	testkit.Eventually(t, func() bool { return look() == row.Load() }, "the message")
}

func TestL1SentinelFailover(t *testing.T) {
	t.Parallel()
	sentinel := redistest.SharedSentinel(t)
	l := testkit.NewL1(t, sentinel.Client(t), cache.L1Options{TTL: time.Minute})
	c := testkit.NewBudgeted[int64](t, sentinel.Client(t), cache.WithL1(l))
	other := testkit.NewBudgeted[int64](t, sentinel.Client(t))
	testkit.InUse(t, c)
	lost(t, c, other, func() {
		from := sentinel.Primary()
		from.Kill()
		sentinel.AwaitFailover(from)
	})
}

// On a cluster messages come from all nodes; one that is lost costs the L1's TTL.
func TestL1OnACluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const ttl = time.Second
	nodes := redistest.SharedCluster(t)
	l := testkit.NewL1(t, nodes.Client(t), cache.L1Options{TTL: ttl})
	c := testkit.NewCache[int64](t, nodes.Client(t), cache.WithL1(l))
	raw := nodes.Client(t)
	other := testkit.NewCache[int64](t, raw)
	testkit.InUse(t, c)
	var row atomic.Int64
	load := func(context.Context, string) (int64, error) { return row.Load(), nil }
	owners := map[string]bool{}
	for _, key := range testkit.Numbers(12) {
		owners[nodes.Owner("test:"+key).Addr()] = true
		testkit.Nearby(t, c, key, load)
		row.Add(1)
		require.NoError(t, other.Invalidate(ctx, key))
		testkit.Eventually(t, func() bool { got, err := c.GetOrLoad(ctx, key, load); return err == nil && got == row.Load() }, "the message")
	}
	assert.Len(t, owners, 3)

	testkit.Nearby(t, c, "k", load)
	was := row.Add(1) - 1
	require.NoError(t, raw.Del(ctx, "test:k").Err()) // without a message
	changed := time.Now()
	var oldest time.Duration
	for time.Since(changed) < 2*ttl {
		asked := time.Since(changed)
		got, err := c.GetOrLoad(ctx, "k", load)
		require.NoError(t, err)
		if got <= was {
			oldest = asked
		}
	}
	t.Logf("the message was lost: hits until %v after the change", oldest)
	assert.LessOrEqual(t, oldest, ttl)
	assert.Positive(t, oldest)
}

// A cache that joins an L1 hears messages at once, where others are subscribed.
func TestACacheMayJoinAnL1WhileMessagesCome(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	hearing[int](t, s)
	other := testkit.NewCache[int](t, s.Server.Client(t))
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range 4 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					assert.NoError(t, other.Invalidate(context.Background(), "k"))
				}
			}
		})
	}
	for range 300 {
		c, err := cache.New(s.Rdb, "test", cache.Aside[int](), cache.WithL1(s.L1))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	close(stop)
	flood.Wait()
}
