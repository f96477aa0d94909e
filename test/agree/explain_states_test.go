package agree_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/testkit"
)

// explainedStates are the states of a key, beside those that need an L1 or
// write-behind.
func explainedStates() []explained {
	both := func(first, then func(*testing.T, plot)) func(*testing.T, plot) {
		return func(t *testing.T, p plot) { first(t, p); then(t, p) }
	}
	holder := func(kind envelope.Kind, until time.Duration, token envelope.Token, body string) func(*testing.T, plot) {
		return func(t *testing.T, p plot) { holds(t, p.rdb, kind, until, token, body) }
	}
	lease := func(until time.Duration, token envelope.Token) func(*testing.T, plot) {
		return func(t *testing.T, p plot) { leased(t, p.rdb, until, token) }
	}
	nothing := func(*testing.T, plot) {}
	stale := entryOf(envelope.Value, -2*time.Minute, asIs)
	forError := entryOf(envelope.Value, -10*time.Minute, asIs)
	noLock := []cache.Option{cache.WithLock(cache.Lock{Off: true})}
	briefly := []cache.Option{cache.WithLock(cache.Lock{Wait: time.Second})}
	return []explained{
		{name: "absent record", plant: nothing, action: cache.ActionLoad, state: "none"},
		{name: "fresh", plant: entryOf(envelope.Value, time.Minute, costly), action: cache.ActionHit, state: "fresh"},
		{
			name: "fresh, early refresh likely", opts: []cache.Option{cache.WithXFetch(1)},
			plant: entryOf(envelope.Value, 30*time.Millisecond, costly), action: cache.ActionHit, state: "fresh",
		},
		{name: "stale within SWR", plant: stale, action: cache.ActionStale, state: "stale"},
		{name: "stale, another refreshes", plant: both(stale, lease(2*time.Second, strangers)), action: cache.ActionStale, state: "stale"},
		{name: "stale, refresh backs off", plant: both(stale, lease(500*time.Millisecond, envelope.NoToken)), action: cache.ActionStale, state: "stale"},
		{name: "within SIE only", plant: forError, action: cache.ActionLoad, state: "stale-if-error"},
		{name: "SIE, another loads", plant: both(forError, lease(2*time.Second, strangers)), action: cache.ActionWait, state: "stale-if-error"},
		{name: "SIE, lock off", opts: noLock, plant: both(forError, lease(2*time.Second, strangers)), action: cache.ActionStale, state: "stale-if-error"},
		{name: "SIE, back-off", plant: both(forError, lease(500*time.Millisecond, envelope.NoToken)), action: cache.ActionStale, state: "stale-if-error"},
		{name: "expired", plant: entryOf(envelope.Value, -22*time.Minute, kept), action: cache.ActionLoad, state: "expired"},
		{name: "past MaxAge", plant: entryOf(envelope.Value, -26*time.Minute, kept), action: cache.ActionLoad, state: "invalid"},
		{name: "absence remembered", plant: entryOf(envelope.Value, time.Minute, absent), action: cache.ActionAbsent, state: "fresh"},
		{name: "absence past its time", plant: entryOf(envelope.Value, -time.Minute, absent), action: cache.ActionLoad, state: "expired"},
		{name: "leased by another", plant: holder(envelope.Lease, 2*time.Second, strangers, ""), action: cache.ActionWait, state: "none"},
		{name: "leased by this process", plant: holder(envelope.Lease, 2*time.Second, envelope.NewToken(), ""), action: cache.ActionWait, state: "none"},
		{name: "leased, lock off", opts: noLock, plant: holder(envelope.Lease, 2*time.Second, strangers, ""), action: cache.ActionBypass, state: "none"},
		{name: "lease expired", plant: holder(envelope.Lease, -2*time.Second, strangers, ""), action: cache.ActionLoad, state: "none"},
		{name: "error back-off", plant: holder(envelope.Backoff, 700*time.Millisecond, envelope.NoToken, ""), action: cache.ActionWait, state: "none"},
		{name: "back-off too long", opts: briefly, plant: holder(envelope.Backoff, 2*time.Second, envelope.NoToken, ""), action: cache.ActionBackoff, state: "none"},
		{name: "write intents open", plant: holder(envelope.Intent, 20*time.Second, envelope.NoToken, openWrites(2)), action: cache.ActionBypass, state: "bypassed"},
		{name: "tag invalid", plant: bearing(false), action: cache.ActionLoad, state: "invalid"},
		{name: "tags valid", plant: bearing(true), action: cache.ActionHit, state: "fresh"},
		{name: "clear token invalid", plant: both(entryOf(envelope.Value, time.Minute, asIs), func(t *testing.T, p plot) {
			require.NoError(t, p.rdb.Set(t.Context(), testkit.ClearKey, "0000000000002abc", 0).Err())
		}), action: cache.ActionLoad, state: "invalid"},
		{name: "clear token missing", plant: both(entryOf(envelope.Value, time.Minute, asIs), func(t *testing.T, p plot) {
			require.NoError(t, p.rdb.Del(t.Context(), testkit.ClearKey).Err())
		}), action: cache.ActionLoad, state: "invalid"},
		{name: "foreign bytes", plant: func(t *testing.T, p plot) {
			require.NoError(t, p.rdb.Set(t.Context(), testkit.RedisKey, "somebody else's", 0).Err())
		}, action: cache.ActionBypass, state: "foreign"},
		{name: "foreign type", plant: func(t *testing.T, p plot) {
			require.NoError(t, p.rdb.SAdd(t.Context(), testkit.RedisKey, "a member").Err())
		}, action: cache.ActionBypass, state: "foreign"},
		{name: "truncated", plant: func(t *testing.T, p plot) {
			require.NoError(t, p.rdb.Set(t.Context(), testkit.RedisKey, "K1V000", time.Minute).Err())
		}, action: cache.ActionLoad, state: "invalid"},
		{name: "other codec", plant: entryOf(envelope.Value, time.Minute, func(b *envelope.Body) { b.Codec = 9 }), action: cache.ActionLoad, state: "invalid"},
		{name: "newer schema", plant: entryOf(envelope.Value, time.Minute, func(b *envelope.Body) { b.Schema = 9 }), action: cache.ActionBypass, state: "bypassed"},
		{name: "older schema", opts: []cache.Option{cache.WithSchema(3)}, plant: entryOf(envelope.Value, time.Minute, asIs), action: cache.ActionLoad, state: "invalid"},
		{name: "damaged", plant: both(entryOf(envelope.Value, time.Minute, asIs), func(t *testing.T, p plot) {
			require.NoError(t, p.rdb.SetRange(t.Context(), testkit.RedisKey, p.rdb.StrLen(t.Context(), testkit.RedisKey).Val()-1, "7").Err())
		}), action: cache.ActionLoad, state: "invalid"},
		{name: "undecodable", plant: func(t *testing.T, p plot) {
			testkit.Raw(t, p.rdb, envelope.Value, testkit.Body(asIs), `"text"`)
		}, action: cache.ActionLoad, state: "invalid"},
		{name: "dirty elsewhere", plant: entryOf(envelope.Dirty, 0, asIs), action: cache.ActionHit, state: "fresh"},
		{name: "pending invalidation", plant: func(t *testing.T, p plot) {
			aged(t, p.rdb, envelope.Value, time.Minute, asIs)
			p.cut.On.Store(true)
			require.ErrorIs(t, p.c.Invalidate(t.Context(), "k"), cache.ErrPending)
			p.cut.On.Store(false)
		}, action: cache.ActionBypass, state: "fresh"},
		{name: "breaker open", plant: func(t *testing.T, p plot) {
			p.cut.On.Store(true)
			for range 5 {
				_, _ = p.c.Get(t.Context(), "k")
			}
		}, action: cache.ActionBypass},
		{name: "name of another strategy", plant: func(t *testing.T, p plot) {
			require.NoError(t, p.rdb.Set(t.Context(), "test!m", "K1 writebehind 4", 0).Err())
		}, action: cache.ActionBypass, state: "none"},
	}
}

// bearing plants an entry with a tag that the cache names and one that only the
// entry knows, whose token is still there or not.
func bearing(valid bool) func(*testing.T, plot) {
	return func(t *testing.T, p plot) {
		token := envelope.Token([]byte("0000000000001tag"))
		require.NoError(t, p.rdb.Set(t.Context(), testkit.TokenKey(t, "known"), token.String(), 0).Err())
		if valid {
			require.NoError(t, p.rdb.Set(t.Context(), testkit.TokenKey(t, "unknown"), token.String(), 0).Err())
		}
		aged(t, p.rdb, envelope.Value, time.Minute, func(b *envelope.Body) {
			for _, tag := range []string{"known", "unknown"} {
				b.Tags = envelope.AppendTag(b.Tags, envelope.Tag{ID: keyspace.TagID(tag), Token: token})
			}
		})
	}
}

// plotted runs f in each state, on a clock that stands still but for what f sleeps.
func plotted(t *testing.T, f func(t *testing.T, s explained, p plot)) {
	for _, s := range explainedStates() {
		t.Run(s.name, func(t *testing.T) {
			b := cachetest.NewBubble(t)
			synctest.Test(t, func(t *testing.T) {
				rdb, cut := b.Redis(t), &testkit.Outage{}
				rdb.AddHook(cut)
				opts := append([]cache.Option{cache.WithXFetch(0), testkit.Class(windows), cache.Tagged("known")}, s.opts...)
				c, err := cache.New(rdb, "test", cache.Aside[int](), testkit.Patient(), cache.Options(opts))
				require.NoError(t, err)
				defer func() { _ = c.Close() }() // one has an invalidation left
				s.plant(t, plot{c: c, rdb: rdb, cut: cut})
				f(t, s, plot{c: c, rdb: rdb, cut: cut})
			})
		})
	}
}

func TestExplainInWords(t *testing.T) {
	plotted(t, func(t *testing.T, s explained, p plot) {
		got, err := p.c.Explain(t.Context(), "k")
		if p.cut.On.Load() {
			var failed *cache.OpError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, "explain", failed.Op)
			assert.Equal(t, "k", failed.Key)
		} else {
			require.NoError(t, err)
		}
		golden(t, s.name, got.String())
	})
}

// What Explain says is what GetOrLoad then does.
func TestExplainAgreesWithGetOrLoad(t *testing.T) {
	seen := map[cache.Action]bool{}
	plotted(t, func(t *testing.T, s explained, p plot) {
		e, err := p.c.Explain(t.Context(), "k")
		require.Equal(t, p.cut.On.Load(), err != nil, "%v", err)
		assert.Equal(t, s.action, e.Action, e.Next)
		assert.Equal(t, s.state, e.Record.State)
		seen[e.Action] = true
		does(t, e, p)
	})
	for _, a := range []cache.Action{
		cache.ActionHit, cache.ActionAbsent, cache.ActionStale, cache.ActionBackoff,
		cache.ActionWait, cache.ActionLoad, cache.ActionBypass,
	} {
		assert.True(t, seen[a], "no state for %s", a)
	}
}

// does makes the call that e is about, and compares.
func does(t *testing.T, e cache.Explanation, p plot) {
	t.Helper()
	before, stored, began := p.c.Stats(), p.rdb.Get(t.Context(), testkit.RedisKey).Val(), time.Now()
	loaded := time.Time{}
	got, err := p.c.GetOrLoad(t.Context(), "k", func(context.Context, string) (int, error) {
		if loaded.IsZero() {
			loaded = time.Now()
		}
		return 2, nil
	})
	after := p.c.Stats()
	waited := time.Since(began) > 0
	assert.Equal(t, e.Action == cache.ActionHit, after.Hits > before.Hits, "a hit")
	assert.Equal(t, e.Action == cache.ActionStale, after.Stale > before.Stale, "stale")
	assert.Equal(t, e.Action == cache.ActionAbsent, after.Absent > before.Absent, "absent")
	assert.Equal(t, e.Action == cache.ActionWait, waited, "it waits")
	testkit.Settled(t, p.c)
	replaced := stored != p.rdb.Get(t.Context(), testkit.RedisKey).Val()
	switch e.Action {
	case cache.ActionHit, cache.ActionStale:
		require.NoError(t, err)
		assert.Equal(t, 1, got)
	case cache.ActionAbsent:
		assert.ErrorIs(t, err, cache.ErrNotFound)
	case cache.ActionFail:
		assert.ErrorAs(t, err, new(*cache.OpError))
	case cache.ActionBackoff:
		assert.ErrorIs(t, err, cache.ErrBackoff)
	default:
		require.NoError(t, err)
		assert.Equal(t, 2, got)
		assert.Equal(t, before.Loads+1, after.Loads)
	}
	switch e.Action {
	case cache.ActionLoad:
		assert.True(t, replaced, "the load is stored")
	case cache.ActionBypass:
		assert.False(t, replaced && !p.cut.On.Load() && !e.Pending, "the load is stored nowhere")
	case cache.ActionWait:
		assert.False(t, loaded.Before(began.Add(e.Lease.Left)), "not before the lease or the back-off ends")
	default:
		switch e.Refresh {
		case 0:
			assert.True(t, loaded.IsZero(), "no refresh")
		case 1:
			assert.False(t, loaded.IsZero(), "a refresh")
		}
	}
}
