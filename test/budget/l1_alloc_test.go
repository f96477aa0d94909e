package budget_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestAHitInTheL1AllocatesNothing(t *testing.T) {
	t.Run("a struct", func(t *testing.T) { nearHitAllocates(t, newArticle()) })
	t.Run("a string", func(t *testing.T) { nearHitAllocates(t, "value") })
	t.Run("a pointer", func(t *testing.T) { a := newArticle(); nearHitAllocates(t, &a) })
}

func nearHitAllocates[T any](t *testing.T, v T) {
	t.Helper()
	ctx := t.Context()
	rdb := cachetest.Redis(t)
	c := testkit.NewCache[T](t, rdb, cache.WithL1(testkit.NewL1(t, rdb, cache.L1Options{TTL: time.Hour})),
		testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.Absent = time.Hour, time.Hour }))
	testkit.InUse(t, c)
	load, none := testkit.Value(v), testkit.Failing[T](cache.ErrNotFound)
	through, nothing := c.ReadThrough(load), c.ReadThrough(none)
	absent := func(err error) error {
		if err == cache.ErrNotFound { //nolint:errorlint // the identity is the promise
			return nil
		}
		return errors.Join(err, errors.New("is there"))
	}
	testkit.Nearby(t, c, "k", load)
	_, _ = nothing.Get(ctx, "none")
	for name, hit := range map[string]func() error{
		"GetOrLoad":               func() error { _, err := c.GetOrLoad(ctx, "k", load); return err },
		"ReadThrough.Get":         func() error { _, err := through.Get(ctx, "k"); return err },
		"Get":                     func() error { _, err := c.Get(ctx, "k"); return err },
		"ReadThrough.Get, absent": func() error { _, err := nothing.Get(ctx, "none"); return absent(err) },
		"Get, absent":             func() error { _, err := c.Get(ctx, "none"); return absent(err) },
	} {
		testkit.Eventually(t, func() bool { // the clear token is renewed meanwhile, by others
			assert.NoError(t, hit())
			return testing.AllocsPerRun(testkit.AllocRuns, func() { _ = hit() }) == 0
		}, name+" without allocations")
	}
}
