package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestTaggedArguments(t *testing.T) {
	tests := []struct {
		name     string
		own      []cache.Option // of New
		call     []cache.EntryOption
		problem  string   // of the call; "": none
		tags     []string // of the entry
		refusing bool     // New does
	}{
		{name: "none", call: []cache.EntryOption{cache.Tagged()}},
		{name: "of the call", call: []cache.EntryOption{cache.Tagged("a", "b")}, tags: []string{"a", "b"}},
		{name: "of several options", call: []cache.EntryOption{cache.Tagged("a"), cache.Tagged("b")}, tags: []string{"a", "b"}},
		{name: "of New and of the call", own: []cache.Option{cache.Tagged("own")}, call: []cache.EntryOption{cache.Tagged("a")}, tags: []string{"own", "a"}},
		{name: "of New alone", own: []cache.Option{cache.Tagged("own")}, tags: []string{"own"}},
		{name: "duplicates count once", call: []cache.EntryOption{cache.Tagged("a", "a"), cache.Tagged("a")}, tags: []string{"a"}},
		{name: "the same by New and by the call", own: []cache.Option{cache.Tagged("a")}, call: []cache.EntryOption{cache.Tagged("a")}, tags: []string{"a"}},
		{name: "eight, each twice", call: []cache.EntryOption{cache.Tagged(testkit.TagsOf("t", 8)...), cache.Tagged(testkit.TagsOf("t", 8)...)}, tags: testkit.TagsOf("t", 8)},
		{name: "any bytes", call: []cache.EntryOption{cache.Tagged("\x00{}%!:\xff", strings.Repeat("long", 1000))}, tags: []string{"\x00{}%!:\xff", strings.Repeat("long", 1000)}},
		{name: "nine", call: []cache.EntryOption{cache.Tagged(testkit.TagsOf("t", 9)...)}, problem: "9 tags; an entry has at most 8"},
		{
			name: "nine with those of New", own: []cache.Option{cache.Tagged(testkit.TagsOf("own", 5)...)},
			call: []cache.EntryOption{cache.Tagged(testkit.TagsOf("t", 4)...)}, problem: "9 tags",
		},
		{name: "an empty one", call: []cache.EntryOption{cache.Tagged("a", "")}, problem: "Tagged: a tag is empty"},
		{name: "an empty one in New", own: []cache.Option{cache.Tagged("")}, problem: "a tag is empty", refusing: true},
		{name: "nine in New", own: []cache.Option{cache.Tagged(testkit.TagsOf("t", 9)...)}, problem: "9 tags", refusing: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx := t.Context()
				if test.refusing {
					_, err := cache.New(rdb, "test", cache.Aside[int](), test.own...)
					assert.ErrorContains(t, err, test.problem)
					return
				}
				c := testkit.NewCache[int](t, rdb, test.own...)
				_, err := c.GetOrLoad(ctx, "k", testkit.Value(1), test.call...)
				_, bound := c.ReadThrough(testkit.Value(1), test.call...).Get(ctx, "k")
				set := c.Set(ctx, "k", 1, test.call...)
				many := c.SetMany(ctx, map[string]int{"k": 1}, test.call...)
				for op, err := range map[string]error{"get": errors.Join(err, bound), "set": errors.Join(set, many)} {
					if test.problem == "" {
						require.NoError(t, err)
						continue
					}
					var opErr *cache.OpError
					require.ErrorAs(t, err, &opErr)
					assert.Equal(t, op, opErr.Op)
					assert.ErrorContains(t, err, test.problem)
				}
				for _, tag := range test.tags {
					_, err := c.GetOrLoad(ctx, "k", testkit.Value(1), test.call...)
					require.NoError(t, err)
					_, err = c.Get(ctx, "k")
					require.NoError(t, err)
					require.NoError(t, c.InvalidateTags(ctx, "another", tag))
					testkit.Missing(t, c, "%.20q is one of its tags", tag)
				}
			})
		})
	}
}

func TestInvalidateTagsOfBadTagsAndOfNone(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb)
		var opErr *cache.OpError
		require.ErrorAs(t, c.InvalidateTags(t.Context(), "a", ""), &opErr)
		assert.Equal(t, "invalidate tags", opErr.Op)
		assert.NoError(t, c.InvalidateTags(t.Context()))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		assert.NoError(t, c.InvalidateTags(ended, "a"), "the change has been made")
		assert.Zero(t, c.Stats().Pending)
	})
}

// A caller that does not know of a tag must not lose it: the tags of what a fill
// replaces stay.
func TestAFillKeepsTheTagsOfWhatItReplaces(t *testing.T) {
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb, testkit.Class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = time.Hour }))
		_, err := c.GetOrLoad(ctx, "k", testkit.Value(1), cache.Tagged("first"))
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		v, err := c.GetOrLoad(ctx, "k", testkit.Value(2), cache.Tagged("second")) // refreshes it
		require.NoError(t, err)
		require.Equal(t, 1, v)
		testkit.Settled(t, c)
		for i, tag := range []string{"first", "second", "first"} {
			v, err := c.Get(ctx, "k")
			require.NoError(t, err)
			require.Equal(t, 2+i, v)
			require.NoError(t, c.InvalidateTags(ctx, tag))
			testkit.Missing(t, c, tag)
			_, err = c.GetOrLoad(ctx, "k", testkit.Value(3+i)) // over the invalid one, which names both
			require.NoError(t, err)
		}
	})
}

// An entry with a replaced token binds nobody: neither its version nor its windows.
func TestInvalidEntriesAreReplacedNeverServed(t *testing.T) {
	tests := []struct {
		name string
		ttl  func(ttl *cache.TTL)
		then func(t *testing.T, c *cache.Cache[testkit.Revision]) // after the fill
	}{
		{"fresh", func(*cache.TTL) {}, nil},
		{"stale while it is refreshed", func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = time.Hour }, sleeping},
		{"stale on errors", func(ttl *cache.TTL) { ttl.StaleIfError = time.Hour }, sleeping},
		{"expired softly", func(ttl *cache.TTL) { ttl.StaleWhileRevalidate, ttl.StaleIfError = time.Hour, time.Hour }, func(t *testing.T, c *cache.Cache[testkit.Revision]) {
			require.NoError(t, c.Expire(t.Context(), "k"))
		}},
		{"slid", func(ttl *cache.TTL) { ttl.Sliding, ttl.MaxAge = true, time.Hour }, func(t *testing.T, c *cache.Cache[testkit.Revision]) {
			time.Sleep(40 * time.Second)
			_, err := c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[testkit.Revision](t))
			require.NoError(t, err, "which slides it")
			testkit.Settled(t, c)
		}},
	}
	for _, test := range tests {
		for way, invalidate := range map[string]func(context.Context, *cache.Cache[testkit.Revision]) error{
			"tags": func(ctx context.Context, c *cache.Cache[testkit.Revision]) error { return c.InvalidateTags(ctx, "x") },
			"all":  func(ctx context.Context, c *cache.Cache[testkit.Revision]) error { return c.InvalidateAll(ctx) },
		} {
			t.Run(test.name+", "+way, func(t *testing.T) {
				testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
					ctx := t.Context()
					c, other := testkit.NewCache[testkit.Revision](t, rdb, testkit.Class(test.ttl)), testkit.NewCache[testkit.Revision](t, rdb)
					read := c.ReadThrough(testkit.Value(testkit.Revision{V: 1, Version: 9}), cache.Tagged("x"))
					_, err := read.Get(ctx, "k")
					require.NoError(t, err)
					if test.then != nil {
						test.then(t, c)
					}
					require.NoError(t, invalidate(ctx, other))
					_, err = c.Get(ctx, "k")
					assert.ErrorIs(t, err, cache.ErrMiss)
					_, err = c.GetOrLoad(ctx, "k", testkit.Failing[testkit.Revision](testkit.ErrFlaky))
					assert.Equal(t, testkit.ErrFlaky, err, "not the old value instead")
					time.Sleep(time.Second) // the back-off
					v, err := c.GetOrLoad(ctx, "k", testkit.Value(testkit.Revision{V: 2, Version: 3}), cache.StoreIf(false))
					require.NoError(t, err)
					assert.EqualValues(t, 2, v.V, "a hit is checked also of calls that do not store")
					v, err = c.GetOrLoad(ctx, "k", testkit.Value(testkit.Revision{V: 2, Version: 3}))
					require.NoError(t, err)
					assert.EqualValues(t, 2, v.V)
					v, err = c.Get(ctx, "k")
					require.NoError(t, err, "stored, although its version is lower: the other one binds nobody")
					assert.EqualValues(t, 2, v.V)
				})
			})
		}
	}
}

func sleeping(*testing.T, *cache.Cache[testkit.Revision]) { time.Sleep(2 * time.Minute) }

// Round trips as a proxy counts them.
func TestRoundTripsOfTags(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	c := testkit.NewCache[int](t, testkit.ClientThrough(t, proxy), cache.WithXFetch(0))
	ctx, tags := t.Context(), cache.Tagged("a", "b", "c")
	require.NoError(t, c.InvalidateTags(ctx, "a"))
	get := func(opts ...cache.EntryOption) func() error {
		return func() error { _, err := c.GetOrLoad(ctx, "k", testkit.Value(1), opts...); return err }
	}
	set := func(opts ...cache.EntryOption) func() error {
		return func() error { return c.Set(ctx, "k", 1, opts...) }
	}
	all := map[string]int{"k": 1, "l": 1}
	for _, warm := range []func() error{
		get(tags), set(tags), set(), func() error { return c.SetMany(ctx, all) }, func() error { return c.Invalidate(ctx, "k") },
	} {
		require.NoError(t, warm(), "loads the scripts")
	}
	// Each may also renew the lease of the clear token: it is young, or the read that
	// does so travels with others; but for Set, which does it in the background.
	for _, op := range []struct {
		name  string
		trips int64
		f     func() error
	}{
		{"miss that loads, tagged", 3, get(tags)},
		{"hit that names the tags", 1, get(tags)},
		{"hit that names one of them", 2, get(cache.Tagged("a"))},
		{"hit, only the entry names them", 2, get()},
		{"Get, which names none", 2, func() error { _, err := c.Get(ctx, "k"); return err }},
		{"hit that names one more", 1, get(cache.Tagged("a", "b", "c", "d"))},
		{"InvalidateTags of one", 1, func() error { return c.InvalidateTags(ctx, "a") }},
		{"load over an invalid entry", 3, get(tags)},
		{"InvalidateTags of three", 1, func() error { return c.InvalidateTags(ctx, "a", "b", "c") }},
		{"InvalidateTags of none", 0, func() error { return c.InvalidateTags(ctx) }},
		{"Set with tags, which are captured first", 2, set(tags)},
		{"Set", 1, set()},
		{"SetMany", 1, func() error { return c.SetMany(ctx, all) }},
		{"InvalidateAll", 2, func() error { return c.InvalidateAll(ctx) }},
	} {
		renewed(t, c)
		proxy.Reset()
		require.NoError(t, op.f(), op.name)
		t.Logf("%s: %d", op.name, proxy.Exchanges())
		assert.Equal(t, op.trips, proxy.Exchanges(), op.name)
	}
}

// renewed makes c hold the clear token under a new lease.
func renewed(t *testing.T, c *cache.Cache[int]) {
	t.Helper()
	cache.DropClear(c)
	_, err := c.Get(t.Context(), "no such key")
	require.ErrorIs(t, err, cache.ErrMiss)
}
