package agree_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// contents is what Redis holds, with what is left of it.
func contents(t *testing.T, rdb redis.UniversalClient) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		all[key] = rdb.Type(t.Context(), key).Val() + rdb.PTTL(t.Context(), key).Val().String() + rdb.Get(t.Context(), key).Val()
	}
	return all
}

func TestExplainReadsOnly(t *testing.T) {
	plotted(t, func(t *testing.T, s explained, p plot) {
		cut := p.cut.On.Swap(false)
		before := contents(t, p.rdb)
		p.cut.On.Store(cut)
		stats, sent := p.c.Stats(), 0
		tap := testkit.NewTap(p.rdb)
		tap.Set(func([]redis.Cmder) error { sent++; return nil }, nil)
		e, _ := p.c.Explain(t.Context(), "k")
		assert.Equal(t, e.Exchanges, sent)
		assert.LessOrEqual(t, sent, 2)
		assert.Equal(t, stats, p.c.Stats(), "it counts nothing")
		assert.Zero(t, p.c.Stats().Loading)
		p.cut.On.Store(false)
		assert.Equal(t, before, contents(t, p.rdb), "it changes nothing")
		again, _ := p.c.Explain(t.Context(), "k")
		if !cut {
			assert.Equal(t, e, again)
		}
	})
}

func TestExplainStartsNoSpan(t *testing.T) {
	recorded := testkit.NewRecorder()
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithTracerProvider(recorded))
	_, err := c.Explain(t.Context(), "k")
	require.NoError(t, err)
	assert.Empty(t, recorded.Spans())
}

// Real time moves, so only what does not depend on it is compared.
func TestExplainOnRealServers(t *testing.T) {
	states := map[string]bool{
		"absent record": true, "fresh": true, "stale within SWR": true, "within SIE only": true, "absence remembered": true,
		"tags valid": true, "tag invalid": true, "clear token invalid": true, "foreign bytes": true, "foreign type": true,
		"damaged": true, "write intents open": true, "dirty elsewhere": true, "leased, lock off": true, "lease expired": true,
	}
	server := redistest.Single(t)
	for _, s := range explainedStates() {
		if !states[s.name] {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			rdb := server.Client(t)
			require.NoError(t, rdb.FlushAll(t.Context()).Err())
			c := testkit.NewCache[int](t, rdb, append([]cache.Option{cache.WithXFetch(0), testkit.Class(windows), cache.Tagged("known")}, s.opts...)...)
			s.plant(t, plot{c: c, rdb: rdb})
			e, err := c.Explain(t.Context(), "k")
			require.NoError(t, err)
			assert.Equal(t, s.action, e.Action, e.Next)
			assert.Equal(t, s.state, e.Record.State)
		})
	}
}

func TestExplainOnACluster(t *testing.T) {
	rdb := redistest.StartCluster(t).Client(t)
	c := testkit.NewCache[int](t, rdb, cache.Tagged("a", "b"))
	for _, key := range []string{"k", "l", "m", "n"} {
		e, err := c.Explain(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, cache.ActionLoad, e.Action)
		_, err = c.GetOrLoad(t.Context(), key, testkit.Value(1))
		require.NoError(t, err)
		e, err = c.Explain(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, cache.ActionHit, e.Action, e)
		assert.Equal(t, "current", e.Record.Clear)
		assert.Equal(t, []cache.ExplainedTag{{Name: "a", Valid: true}, {Name: "b", Valid: true}}, e.Record.Tags)
		assert.Equal(t, 1, e.Exchanges)
	}
}

func TestExplainUnderWriteBehind(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewPutter(t, rdb, testkit.Class(func(*cache.TTL) {}))
		ctx := t.Context()
		require.NoError(t, c.Set(ctx, "k", "v"))
		e, err := c.Explain(ctx, "k")
		require.NoError(t, err)
		assert.Equal(t, cache.ActionHit, e.Action)
		assert.NotZero(t, e.Record.Version)
		e.Record.Version = 1 // a time
		golden(t, "dirty write-behind", e.String())

		require.NoError(t, c.Delete(ctx, "k"))
		e, err = c.Explain(ctx, "k")
		require.NoError(t, err)
		assert.Equal(t, cache.ActionAbsent, e.Action)
		_, err = c.GetOrLoad(ctx, "k", testkit.MustNotLoad[string](t))
		assert.ErrorIs(t, err, cache.ErrNotFound)
		e.Record.Version = 2
		golden(t, "tombstone", e.String())
	})
}

func TestExplainNamesADeadLetter(t *testing.T) {
	rows, _ := testkit.Picky(func() error { return testkit.ErrRefused })
	c := testkit.NewBehind(t, cachetest.Redis(t), rows, testkit.OneTry)
	require.NoError(t, c.Set(t.Context(), "k", "bad"))
	require.NoError(t, c.Flush(t.Context()))
	require.Len(t, testkit.Letters(t, c), 1)
	e, err := c.Explain(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, testkit.Letters(t, c)[0].Version, e.Record.DeadLetter)
	assert.Equal(t, cache.ActionLoad, e.Action)
}

func TestExplainSeesALoadOfThisProcess(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	g := testkit.NewGated(testkit.Always(1))
	done := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", g.Load) })
	testkit.Soon(t, g.Entered, "the load")
	e, err := c.Explain(t.Context(), "k")
	require.NoError(t, err)
	assert.True(t, e.Loading)
	assert.Equal(t, cache.ActionWait, e.Action)
	assert.Equal(t, "this process", e.Lease.Holder)
	assert.Positive(t, e.Lease.Left)
	assert.Contains(t, e.String(), "waits for the load that runs in this process")
	close(g.Release)
	require.NoError(t, testkit.Soon(t, done, "the value").Err)
	e, err = c.Explain(t.Context(), "k")
	require.NoError(t, err)
	assert.False(t, e.Loading)
	assert.Equal(t, cache.ActionHit, e.Action)
}

// An entry of a tag whose invalidation is queued is not used, whoever names the tag.
func TestExplainSeesAPendingTag(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		cut := &testkit.Outage{}
		rdb.AddHook(cut)
		c, err := cache.New(rdb, "test", cache.Aside[int](), testkit.Patient())
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		_, err = c.GetOrLoad(t.Context(), "k", testkit.Value(1), cache.Tagged("tag"))
		require.NoError(t, err)
		cut.On.Store(true)
		require.ErrorIs(t, c.InvalidateTags(t.Context(), "tag"), cache.ErrPending)
		cut.On.Store(false)
		e, err := c.Explain(t.Context(), "k")
		require.NoError(t, err)
		assert.True(t, e.Pending)
		assert.Equal(t, cache.ActionBypass, e.Action)
		before := c.Stats().Loads
		_, err = c.GetOrLoad(t.Context(), "k", testkit.Value(2))
		require.NoError(t, err)
		assert.Equal(t, before+1, c.Stats().Loads)
	})
}

func TestExplainErrors(t *testing.T) {
	rdb := cachetest.Redis(t)
	c, err := cache.New(rdb, "test", cache.Aside[int](), testkit.Patient())
	require.NoError(t, err)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	e, err := c.Explain(over, "k")
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, cache.Explanation{Cache: "test", Key: "k", RedisKey: "test:k"}, e)
	rdb.Fail("ERR broken")
	var failed *cache.OpError
	e, err = c.Explain(t.Context(), "k")
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, cache.ActionBypass, e.Action)
	assert.False(t, e.Record.Asked)
	require.NoError(t, c.Close())
	_, err = c.Explain(t.Context(), "k")
	assert.ErrorIs(t, err, cache.ErrClosed)
}

// The value is nowhere, and the token of a lease neither.
func TestExplainKeepsTheValueToItself(t *testing.T) {
	rdb := cachetest.Redis(t)
	c := testkit.NewCache[string](t, rdb)
	require.NoError(t, c.Set(t.Context(), "k", "a secret"))
	leased(t, rdb, time.Minute, envelope.Token([]byte("zzzz-a-token----")))
	e, err := c.Explain(t.Context(), "k")
	require.NoError(t, err)
	assert.NotContains(t, e.String(), "secret")
	assert.NotContains(t, e.String(), "zzzz")
}
