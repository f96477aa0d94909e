package agree_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// A subscription needs real time, which golden files leave out.
var durations = regexp.MustCompile(`(\d+[hm])*\d+(\.\d+)?(h|m|s|ms|µs|ns)\b`)

func timeless(e cache.Explanation) string {
	e.Refilling = 0 // how much of the first seconds is left varies
	return durations.ReplaceAllString(e.String(), "~")
}

func TestExplainAnL1(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := redistest.Single(t)
	s := testkit.NewStation(t, server, cache.L1Options{TTL: time.Hour})
	tolerant := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.StaleIfError = time.Hour, 2*time.Hour })
	c := testkit.Brisk[int](t, s, tolerant, cache.WithXFetch(0))

	e, err := c.Explain(ctx, "k")
	require.NoError(t, err)
	assert.True(t, e.L1.On && e.L1.Alive && !e.L1.Found, e)
	assert.Equal(t, cache.ActionLoad, e.Action)

	s.Locally(t, func() error { _, err := c.GetOrLoad(ctx, "k", testkit.Value(1)); return err })
	testkit.Eventually(t, func() bool { // the clear token is held for a second at a time
		_, _ = c.GetOrLoad(ctx, "k", testkit.MustNotLoad[int](t))
		e, err = c.Explain(ctx, "k")
		return err == nil && e.Action == cache.ActionHitL1
	}, "a hit in the L1")
	assert.Empty(t, e.L1.Refused)
	e.Record.Size, e.Record.Payload = 100, 1 // the sizes of times vary
	golden(t, "L1 hit", timeless(e))
	before := c.Stats().HitsL1
	s.Locally(t, func() error { _, err := c.GetOrLoad(ctx, "k", testkit.MustNotLoad[int](t)); return err })
	assert.Greater(t, c.Stats().HitsL1, before)

	s.Ear.Cut()
	testkit.Eventually(t, func() bool { return !testkit.Hears(t, c) }, "the subscription to be lost")
	testkit.Eventually(t, func() bool { e, err = c.Explain(ctx, "k"); return err == nil }, "an explanation")
	assert.Equal(t, cache.ActionHit, e.Action, "what may have changed is not served")
	e.Record.Size, e.Record.Payload = 100, 1
	golden(t, "L1 suspect", timeless(e))

	server.Kill()
	e, err = c.Explain(ctx, "k")
	require.ErrorAs(t, err, new(*cache.OpError))
	assert.True(t, e.L1.Found)
	assert.Equal(t, cache.ActionBypass, e.Action)
	assert.Contains(t, e.Next, "if the load fails it returns what this process's memory holds")
	got, err := c.GetOrLoad(ctx, "k", testkit.Failing[int](testkit.ErrSource))
	require.NoError(t, err)
	assert.Equal(t, 1, got)
}
