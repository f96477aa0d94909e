package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// through returns a store whose traffic goes through a proxy in front of a
// miniredis, and a client beside the proxy.
func through(t *testing.T) (*store.Store, *redistest.Proxy, *redis.Client) {
	t.Helper()
	p, front, beside := redistest.Through(t, mini(t))
	return open(t, front), p, beside
}

// lead is an acquire by t.
func lead(t, seen envelope.Token) store.Acquire {
	return store.Acquire{Token: t, Lease: time.Minute, Retain: time.Hour, Seen: seen}
}

// fill is a commit by t.
func fill(t envelope.Token) store.Commit {
	return store.Commit{Token: t, TTL: time.Minute, Record: room("body")}
}

// operations are all that the store can do with a key, in an order in which each
// has something to do.
func operations(t *testing.T, s *store.Store, each func(name string, run func() error)) {
	t.Helper()
	ctx := t.Context()
	e := store.Entry{TTL: time.Minute, CID: bob, Version: 2, Record: room("body")}
	each("acquire", func() error { _, err := acquire(ctx, s, "k", lead(alice, envelope.Token{})); return err })
	each("renew", func() error { _, err := renew(ctx, s, "k", alice, time.Minute, time.Hour); return err })
	each("commit", func() error { _, _, err := commit(ctx, s, "k", fill(alice)); return err })
	each("slide", func() error {
		_, err := slide(ctx, s, store.Slide{Key: "k", CID: alice, Soft: time.Minute, TTL: time.Minute})
		return err
	})
	each("release", func() error { _, err := release(ctx, s, "k", alice, 0); return err })
	each("set", func() error { _, err := set(ctx, s, "k", e); return err })
	each("expire", func() error { _, err := expire(ctx, s, "k", time.Minute, store.Notice{}); return err })
	each("invalidate", func() error { _, err := invalidate(ctx, s, "k", store.Notice{}); return err })
	each("wbegin", func() error { _, _, err := beginWrite(ctx, s, "k", alice, time.Minute, store.Notice{}); return err })
	each("wend", func() error { _, err := endWrite(ctx, s, "k", store.EndWrite{Token: alice}); return err })
	each("mint", func() error { _, err := replace(ctx, s, tagKey, store.Notice{}); return err })
}

// tagged are operations that take tokens along, in a pipeline.
func tagged(t *testing.T, s *store.Store, each func(name string, run func() error)) {
	t.Helper()
	ctx := t.Context()
	each("capture", func() error { _, err := s.Capture(ctx, []store.TokenKey{tagKey}); return err })
	each("tagged acquire", func() error {
		_, _, err := acquireTagged(ctx, s, "other", lead(bob, envelope.Token{}), tagKey)
		return err
	})
	each("tagged commit", func() error {
		_, _, err := commit(ctx, s, "other", fill(bob), tagKey.Key)
		return err
	})
	each("tagged wbegin", func() error {
		_, _, err := beginWrite(ctx, s, "k", alice, time.Minute, store.Notice{}, tagKey)
		return err
	})
}

func TestEachOperationIsOneRoundTrip(t *testing.T) {
	s, p, _ := through(t)
	ctx := t.Context()
	operations(t, s, func(name string, run func() error) {
		require.NoError(t, run(), name) // teaches the server the script
	})
	tagged(t, s, func(name string, run func() error) { require.NoError(t, run(), name) })
	_, err := invalidateAll(ctx, s, redistest.Keys(2)...)
	require.NoError(t, err)
	trips := func(name string, run func() error) {
		p.Reset()
		require.NoError(t, run(), name)
		assert.EqualValues(t, 1, p.Exchanges(), name)
	}
	operations(t, s, trips)
	tagged(t, s, trips)
	trips("read", func() error { _, err := read(ctx, s, "k"); return err })
	trips("read many", func() error { _, err := readAll(ctx, s, redistest.Keys(50)...); return err })
	trips("read tokens", func() error { _, err := s.ReadTokens(ctx, redistest.Keys(50)); return err })
	trips("invalidate many", func() error { _, err := invalidateAll(ctx, s, redistest.Keys(50)...); return err })
}

func TestBatchesOfNothingAreNotSent(t *testing.T) {
	s, p, _ := through(t)
	assert.Empty(t, s.Read(t.Context(), nil, nil))
	tokens, err := s.ReadTokens(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, tokens)
	tokens, err = s.Capture(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, tokens)
	s.Invalidate(t.Context(), nil)
	s.EndWrite(t.Context(), nil)
	assert.Zero(t, p.Exchanges())
}

func TestForgottenScriptsAreSentInFullOnce(t *testing.T) {
	s, p, beside := through(t)
	operations(t, s, func(name string, run func() error) {
		require.NoError(t, beside.ScriptFlush(t.Context()).Err())
		p.Reset()
		require.NoError(t, run(), name)
		assert.EqualValues(t, 1, p.CommandsNamed("evalsha"), name)
		assert.EqualValues(t, 1, p.CommandsNamed("eval"), name)
		p.Reset()
		require.NoError(t, run(), name)
		assert.EqualValues(t, 1, p.CommandsNamed("evalsha"), name)
		assert.Zero(t, p.CommandsNamed("eval"), name)
	})
}

func TestForgottenScriptInABatchIsSentInFullOnceForAll(t *testing.T) {
	s, p, beside := through(t)
	store.Learn(s, conn.IsRedis)
	ctx := t.Context()
	all := redistest.Keys(130)
	for _, k := range all {
		require.NoError(t, beside.Set(ctx, k, "foreign", 0).Err())
	}
	answers, err := invalidateAll(ctx, s, all...)
	require.NoError(t, err)
	for i := range all {
		assert.Equal(t, store.ChangeMade, answers[i])
	}
	assert.EqualValues(t, 1, p.CommandsNamed("eval"))
	assert.EqualValues(t, 3+2, p.CommandsNamed("evalsha"))
	assert.EqualValues(t, 2, p.Exchanges())
}

// acquire and wbegin are named by their token, set brings a value: a late first
// copy of them would undo an invalidation that came between.
func TestScriptIsSentOnceMoreAfterALostReplyExceptWhereALateCopyHurts(t *testing.T) {
	once := map[string]bool{"acquire": true, "set": true, "wbegin": true}
	s, p, _ := through(t)
	operations(t, s, func(name string, run func() error) {
		require.NoError(t, run(), name)
	})
	operations(t, s, func(name string, run func() error) {
		p.Reset()
		p.DropReplyTo(func(args [][]byte) bool { return strings.EqualFold(string(args[0]), "evalsha") })
		err := run()
		if once[name] {
			require.Error(t, err)
			assert.True(t, store.Infrastructure(err), err)
			assert.EqualValues(t, 1, p.CommandsNamed("evalsha"), name)
			return
		}
		require.NoError(t, err, name)
		assert.EqualValues(t, 2, p.CommandsNamed("evalsha"), name)
	})
}

// A pipeline that holds such a script is not sent again either.
func TestScriptThatIsSentOnceKeepsItsPipelineFromBeingRepeated(t *testing.T) {
	s, p, _ := through(t)
	tagged(t, s, func(name string, run func() error) { require.NoError(t, run(), name) })
	tagged(t, s, func(name string, run func() error) {
		p.Reset()
		p.DropReplyTo(func(args [][]byte) bool { return strings.EqualFold(string(args[0]), "evalsha") })
		err := run()
		if name == "capture" || name == "tagged commit" {
			require.NoError(t, err)
			assert.EqualValues(t, 2, p.CommandsNamed("evalsha"), "%s: sent twice", name)
			return
		}
		require.Error(t, err)
		assert.EqualValues(t, 2, p.CommandsNamed("evalsha"), "%s: itself and the mint, once", name)
	})
}
