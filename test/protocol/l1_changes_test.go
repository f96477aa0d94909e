package protocol_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// ownChange is a change that a process makes of "k", tagged "tag", through its cache.
type ownChange struct {
	name   string
	make   func(ctx context.Context, c *cache.Cache[string]) error
	writes bool // strategies differ in how
}

func done(context.Context) error { return nil }

// ownChanges are the methods that change entries, whatever the strategy.
func ownChanges() []ownChange {
	type ctx = context.Context
	type c = *cache.Cache[string]
	return []ownChange{
		{writes: true, name: "Set", make: func(ctx ctx, c c) error { return c.Set(ctx, "k", "new", cache.Tagged("tag")) }},
		{writes: true, name: "SetMany", make: func(ctx ctx, c c) error { return c.SetMany(ctx, map[string]string{"k": "new"}) }},
		{writes: true, name: "Delete", make: func(ctx ctx, c c) error { return c.Delete(ctx, "k") }},
		{name: "Invalidate", make: func(ctx ctx, c c) error { return c.Invalidate(ctx, "k") }},
		{name: "Expire", make: func(ctx ctx, c c) error { return c.Expire(ctx, "k") }},
		{writes: true, name: "Update", make: func(ctx ctx, c c) error { return c.Update(ctx, "k", done) }},
		{name: "InvalidateTags", make: func(ctx ctx, c c) error { return c.InvalidateTags(ctx, "tag") }},
		{name: "InvalidateAll", make: func(ctx ctx, c c) error { return c.InvalidateAll(ctx) }},
	}
}

// What a process changes it sees at once: the message of its own change, which comes
// late here, is not what it waits for.
func TestOwnChangesAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := hearing[string](t, s)
	s.Ear.Delay(20 * time.Millisecond)
	for _, change := range ownChanges() {
		t.Run(change.name, func(t *testing.T) { seenAtOnce(t, s, c, change.make) })
	}
}

func TestOwnChangesAreSeenAtOnceWhileRedisFails(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := testkit.Brisk[string](t, s)
	for _, change := range ownChanges() {
		t.Run(change.name, func(t *testing.T) {
			seenAtOnce(t, s, c, func(ctx context.Context, c *cache.Cache[string]) error {
				s.Link.Cut()
				assert.Error(t, change.make(ctx, c))
				return nil
			})
			require.NoError(t, s.Link.Heal())
		})
	}
}

func TestOwnWritesOfEachStrategyAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	server := testkit.Durable(t)
	for name, strategy := range map[string]cache.Strategy[string]{
		"through": cache.WriteThrough[string](accepting{}),
		"behind": cache.WriteBehind(func(context.Context, []cache.Mutation[string]) error { return nil },
			cache.WriteBehindOptions{Interval: 10 * time.Millisecond}),
	} {
		s := testkit.NewStation(t, server, cache.L1Options{TTL: time.Minute})
		c, err := cache.New(s.Rdb, "own "+name, strategy, testkit.Patient(), cache.WithL1(s.L1))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() }) // some writes may be left
		testkit.InUse(t, c)
		s.Ear.Delay(20 * time.Millisecond)
		for _, change := range ownChanges() {
			if change.writes {
				t.Run(name+", "+change.name, func(t *testing.T) { seenAtOnce(t, s, c, change.make) })
			}
		}
	}
}

// accepting is a system of record that takes everything.
type accepting struct{}

func (accepting) Write(context.Context, string, string) error { return nil }

func (accepting) WriteReturning(_ context.Context, _ string, v string) (string, error) { return v, nil }

func (accepting) Delete(context.Context, string) error { return nil }

// seenAtOnce asserts that nothing from before the change is served after it.
func seenAtOnce(t *testing.T, s *testkit.Station, c *cache.Cache[string], change func(context.Context, *cache.Cache[string]) error) {
	t.Helper()
	ctx := t.Context()
	read := func(load cache.Loader[string]) (string, error) {
		return c.GetOrLoad(ctx, "k", load, cache.Tagged("tag"))
	}
	testkit.Eventually(t, func() bool { // a failure, or a write-behind value, may be in its way
		if c.Stats().Pending > 0 || c.Invalidate(ctx, "k") != nil {
			return false
		}
		_, err := c.Get(ctx, "k")
		return errors.Is(err, cache.ErrMiss)
	}, "the key to be gone")
	s.Locally(t, func() error { _, err := read(testkit.Value("old")); return err })
	require.NoError(t, change(ctx, c))
	got, err := read(testkit.Value("new"))
	if err != nil {
		assert.ErrorIs(t, err, cache.ErrNotFound, "deleted, and not flushed yet")
		return
	}
	assert.Equal(t, "new", got)
}
