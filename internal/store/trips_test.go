package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// through returns a store whose traffic goes through a proxy in front of a
// miniredis, and a client beside the proxy.
func through(t *testing.T) (*store.Store, *redistest.Proxy, *redis.Client) {
	t.Helper()
	m := mini(t)
	p := redistest.NewProxy(t, m.Addr())
	return open(t, dial(t, p.Addr())), p, dial(t, m.Addr())
}

// keys returns n keys.
func keys(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("key", i)
	}
	return all
}

// lead is an acquire by t.
func lead(t, seen envelope.Token) store.Acquire {
	return store.Acquire{Token: t, Lease: time.Minute, Retain: time.Hour, Seen: seen}
}

// fill is a commit by t.
func fill(t envelope.Token) store.Commit {
	return store.Commit{Token: t, TTL: time.Minute, Body: []byte("body")}
}

// operations are all that the store can do with a key, in an order in which each
// has something to do.
func operations(t *testing.T, s *store.Store, each func(name string, run func() error)) {
	t.Helper()
	ctx := t.Context()
	e := store.Entry{TTL: time.Minute, CID: bob, Version: 2, Body: []byte("body")}
	each("acquire", func() error { _, err := s.Acquire(ctx, "k", lead(alice, envelope.Token{})); return err })
	each("renew", func() error { _, err := s.Renew(ctx, "k", alice, time.Minute, time.Hour); return err })
	each("commit", func() error { _, _, err := s.Commit(ctx, "k", fill(alice)); return err })
	each("slide", func() error { _, err := s.Slide(ctx, "k", alice, time.Minute, time.Minute, 0); return err })
	each("release", func() error { _, err := s.Release(ctx, "k", alice, 0); return err })
	each("set", func() error { _, err := s.Set(ctx, "k", e); return err })
	each("setv", func() error { _, err := s.SetVersioned(ctx, "k", e); return err })
	each("expire", func() error { _, err := s.Expire(ctx, "k", time.Minute, store.Notice{}); return err })
	each("invalidate", func() error { _, err := s.Invalidate(ctx, "k", store.Notice{}); return err })
	each("wbegin", func() error { _, _, err := s.BeginWrite(ctx, "k", alice, time.Minute, store.Notice{}); return err })
	each("wend", func() error { _, err := s.EndWrite(ctx, "k", store.EndWrite{Token: alice}); return err })
	each("mint", func() error { _, err := s.Replace(ctx, tagKey, store.Notice{}); return err })
}

// tagged are operations that take tokens along, in a pipeline.
func tagged(t *testing.T, s *store.Store, each func(name string, run func() error)) {
	t.Helper()
	ctx := t.Context()
	each("capture", func() error { _, err := s.Capture(ctx, []store.TokenKey{tagKey}); return err })
	each("tagged acquire", func() error {
		a := lead(bob, envelope.Token{})
		a.Capture = []store.TokenKey{tagKey}
		_, err := s.Acquire(ctx, "other", a)
		return err
	})
	each("tagged commit", func() error {
		c := fill(bob)
		c.Reread = []string{tagKey.Key}
		_, _, err := s.Commit(ctx, "other", c)
		return err
	})
	each("tagged wbegin", func() error {
		_, _, err := s.BeginWrite(ctx, "k", alice, time.Minute, store.Notice{}, tagKey)
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
	_, errs := s.InvalidateMany(ctx, keys(2), nil)
	require.Nil(t, errs)
	trips := func(name string, run func() error) {
		p.Reset()
		require.NoError(t, run(), name)
		assert.EqualValues(t, 1, p.Exchanges(), name)
	}
	operations(t, s, trips)
	tagged(t, s, trips)
	trips("read", func() error { _, err := s.Read(ctx, "k"); return err })
	trips("read many", func() error { _, err := s.ReadMany(ctx, keys(50)); return err })
	trips("invalidate many", func() error {
		_, errs := s.InvalidateMany(ctx, keys(50), nil)
		assert.Nil(t, errs)
		return nil
	})
}

func TestBatchesOfNothingAreNotSent(t *testing.T) {
	s, p, _ := through(t)
	records, err := s.ReadMany(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, records)
	answers, errs := s.InvalidateMany(t.Context(), nil, nil)
	assert.Empty(t, answers)
	assert.Empty(t, errs)
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
	store.TakeForRedis(s)
	ctx := t.Context()
	all := keys(130)
	for _, k := range all {
		require.NoError(t, beside.Set(ctx, k, "foreign", 0).Err())
	}
	answers, errs := s.InvalidateMany(ctx, all, nil)
	require.Nil(t, errs)
	for i := range all {
		assert.Equal(t, store.Removed, answers[i])
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
