package telemetry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// spanCase is an operation and the span that it leaves.
type spanCase struct {
	name   string
	class  func(*cache.TTL)
	before func(t *testing.T, c *testkit.Traced) // not recorded
	call   func(ctx context.Context, c *testkit.Traced) error
	fails  error // what call returns

	span   string         // looked at
	has    map[string]any // its attributes, beside those that every span has
	status string         // of an error; "" for no error
	tree   string         // all spans; "": span alone
}

func filled(t *testing.T, c *testkit.Traced) {
	require.NoError(t, c.Set(t.Context(), testkit.RawKey, testkit.Secret))
}

func goneStale(t *testing.T, c *testkit.Traced) {
	filled(t, c)
	time.Sleep(70 * time.Second)
}

func remembered(t *testing.T, c *testkit.Traced) {
	require.ErrorIs(t, c.Ask(t.Context(), testkit.Failing[string](cache.ErrNotFound)), cache.ErrNotFound)
}

func foreign(t *testing.T, c *testkit.Traced) {
	require.NoError(t, c.Rdb.HSet(t.Context(), "test:"+testkit.RawKey, "a", "b").Err())
}

func down(_ *testing.T, c *testkit.Traced) {
	c.Rdb.Fail("LOADING Redis is loading " + testkit.RawKey + " " + testkit.Secret)
}

// found are the attributes of a look-up.
func found(hit bool, outcome string, ttl int64, size ...int64) map[string]any {
	has := map[string]any{"cache.hit": hit, "cache.outcome": outcome, "cache.ttl": ttl}
	if len(size) > 0 {
		has["cache.item_size"] = size[0]
	}
	return has
}

func put(ttl int64, size ...int64) map[string]any {
	has := found(false, "", ttl, size...)
	delete(has, "cache.hit")
	delete(has, "cache.outcome")
	return has
}

func failed(has map[string]any, kind string) map[string]any {
	return with(has, map[string]any{"error.type": kind})
}

func getOrLoad(load cache.Loader[string], opts ...cache.EntryOption) func(context.Context, *testkit.Traced) error {
	return func(ctx context.Context, c *testkit.Traced) error { return c.Ask(ctx, load, opts...) }
}

func readThrough(load cache.Loader[string]) func(context.Context, *testkit.Traced) error {
	return func(ctx context.Context, c *testkit.Traced) error {
		_, err := c.ReadThrough(load).Get(ctx, testkit.RawKey)
		return err
	}
}

func lookOnly(ctx context.Context, c *testkit.Traced) error {
	_, err := c.Get(ctx, testkit.RawKey)
	return err
}

func setValue(ctx context.Context, c *testkit.Traced) error {
	return c.Set(ctx, testkit.RawKey, testkit.Secret)
}

func TestSpans(t *testing.T) {
	loads, never := testkit.Value(testkit.Secret), testkit.MustNotLoad[string](t)
	missing := testkit.Failing[string](fmt.Errorf("%w: %w", cache.ErrNotFound, testkit.ErrLoader))
	miss, hit := found(false, "miss", 60, testkit.SecretSize), found(true, "hit", 60, testkit.SecretSize)
	noValue := found(false, "miss", 60)
	const filledTree = "cache.get(cache.load cache.put)"
	tests := []spanCase{
		{name: "GetOrLoad, a miss", call: getOrLoad(loads), span: "cache.get", has: miss, tree: filledTree},
		{name: "the put of a fill", call: getOrLoad(loads), span: "cache.put", has: put(60, testkit.SecretSize), tree: filledTree},
		{name: "GetOrLoad, a hit", before: filled, call: getOrLoad(never), span: "cache.get", has: hit},
		{name: "ReadThrough, a miss", call: readThrough(loads), span: "cache.get", has: miss, tree: filledTree},
		{name: "ReadThrough, a hit", before: filled, call: readThrough(never), span: "cache.get", has: hit},
		{name: "Get, a hit", before: filled, call: lookOnly, span: "cache.get", has: hit},
		{name: "Get, a miss", call: lookOnly, fails: cache.ErrMiss, span: "cache.get", has: noValue},
		{
			name: "Get, a stale entry", class: staleWhileRevalidate, before: goneStale,
			call: lookOnly, fails: cache.ErrMiss, span: "cache.get", has: noValue,
		},
		{
			name: "a loader that finds nothing", call: getOrLoad(missing), fails: cache.ErrNotFound,
			span: "cache.get", has: noValue, tree: filledTree,
		},
		{
			name: "the load that finds nothing", call: getOrLoad(missing), fails: cache.ErrNotFound,
			span: "cache.load", tree: filledTree,
		},
		{
			name: "the put of an absence", call: getOrLoad(missing), fails: cache.ErrNotFound,
			span: "cache.put", has: put(10), tree: filledTree,
		},
		{
			name: "GetOrLoad, a remembered absence", before: remembered, call: getOrLoad(never), fails: cache.ErrNotFound,
			span: "cache.get", has: found(true, "absent", 10),
		},
		{
			name: "Get, a remembered absence", before: remembered, call: lookOnly, fails: cache.ErrNotFound,
			span: "cache.get", has: found(true, "absent", 10),
		},
		{
			name: "stale while it is refreshed", class: staleWhileRevalidate, before: goneStale, call: getOrLoad(loads),
			span: "cache.get", has: found(true, "stale", 0, testkit.SecretSize), tree: "cache.get cache.refresh(cache.load cache.put)",
		},
		{
			name: "stale because the load failed", class: staleIfError, before: goneStale, call: getOrLoad(testkit.Failing[string](testkit.ErrLoader)),
			span: "cache.get", has: found(true, "stale", 0, testkit.SecretSize), tree: "cache.get(cache.load)",
		},
		{
			name: "the loader's error", call: getOrLoad(testkit.Failing[string](testkit.ErrLoader)), fails: testkit.ErrLoader,
			span: "cache.get", has: failed(noValue, "*errors.errorString"), status: "the loader or writer failed",
			tree: "cache.get(cache.load)",
		},
		{
			name: "the load that fails", call: getOrLoad(testkit.Failing[string](testkit.ErrLoader)), fails: testkit.ErrLoader, span: "cache.load",
			has: failed(nil, "*errors.errorString"), status: "the loader or writer failed", tree: "cache.get(cache.load)",
		},
		{
			name: "a value that is not to be stored", call: getOrLoad(loads, cache.StoreIf(false)),
			span: "cache.get", has: miss, tree: "cache.get(cache.load)",
		},
		{
			name: "a foreign record is bypassed", before: foreign, call: getOrLoad(loads),
			span: "cache.get", has: miss, tree: "cache.get(cache.load)",
		},
		{
			name: "GetOrLoad while Redis is down", before: down, call: getOrLoad(loads),
			span: "cache.get", has: miss, tree: "cache.get(cache.load)",
		},
		{
			name: "Get while Redis is down", before: down, call: lookOnly, fails: new(cache.OpError),
			span: "cache.get", has: failed(noValue, "*cache.OpError"), status: "redis answered LOADING",
		},
		{
			name: "the put of a fill while Redis is down", span: "cache.put",
			call: func(ctx context.Context, c *testkit.Traced) error {
				return c.Ask(ctx, func(context.Context, string) (string, error) { down(t, c); return testkit.Secret, nil })
			},
			has: failed(put(60, testkit.SecretSize), "*fmt.wrapError"), tree: filledTree,
		},
		{name: "Set", call: setValue, span: "cache.put", has: put(60, testkit.SecretSize)},
		{
			name: "Set while Redis is down", before: down, call: setValue, fails: new(cache.OpError),
			span: "cache.put", has: failed(put(60, testkit.SecretSize), "*cache.OpError"), status: "redis answered LOADING",
		},
		{
			name: "Delete", call: func(ctx context.Context, c *testkit.Traced) error { return c.Delete(ctx, testkit.RawKey) },
			span: "cache.remove",
		},
		{
			name: "Invalidate of several keys",
			call: func(ctx context.Context, c *testkit.Traced) error { return c.Invalidate(ctx, testkit.RawKey, "other") },
			span: "cache.remove", has: map[string]any{"cache.key": []string{testkit.RawKey, "other"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { testkit.InTrace(t, test.class, test.run) })
	}
}

// run makes the call and looks at its span: every attribute that it must have,
// with its type, and no other.
func (test *spanCase) run(t *testing.T, c *testkit.Traced) {
	if test.before != nil {
		test.before(t, c)
		c.Spans.Memory.Reset()
	}
	err := test.call(t.Context(), c)
	switch want := test.fails.(type) { //nolint:errorlint // the wanted error itself
	case nil:
		require.NoError(t, err)
	case *cache.OpError:
		require.ErrorAs(t, err, &want)
	default:
		require.ErrorIs(t, err, want)
	}
	testkit.Settled(t, c.Cache)
	c.Rdb.Heal()

	span := c.Spans.Named(t, test.span)
	want := map[string]any{
		"sentry.op": test.span, "cache.operation": strings.TrimPrefix(test.span, "cache."), "cache.name": "test",
	}
	if test.span != "cache.load" {
		want = with(with(want, map[string]any{"cache.key": []string{testkit.RawKey}}), c.Peer(t))
	}
	assert.Equal(t, with(want, test.has), testkit.Attributes(&span))
	if test.status == "" {
		assert.Equal(t, codes.Unset, span.Status.Code, span.Status.Description)
	} else {
		assert.Equal(t, sdktrace.Status{Code: codes.Error, Description: test.status}, span.Status)
	}
	tree := test.tree
	if tree == "" {
		tree = test.span
	}
	assert.Equal(t, tree, c.Spans.Tree())
	assert.NotContains(t, testkit.Everything(c.Spans), testkit.Secret, "a value or an error's text")
}
