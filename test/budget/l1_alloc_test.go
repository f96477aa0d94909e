package budget_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
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

// An L1 counts what is encoded, so what it keeps must not be many times as large.
func TestMapsThatTheL1KeepsHaveNoRoomToSpare(t *testing.T) {
	type labelled struct {
		Labels map[string]string
		More   []struct{ Any any }
	}
	v := labelled{Labels: map[string]string{"lang": "en"}}
	v.More = append(v.More, struct{ Any any }{map[string]any{"a": "b"}})
	for name, codec := range map[string]cache.Codec{"bare": cache.JSON, "compressed": cache.Compressed(cache.JSON, cache.CompressOptions{})} {
		t.Run(name, func(t *testing.T) {
			ctx, rdb := t.Context(), redistest.Single(t).Client(t)
			c := testkit.NewCache[labelled](t, rdb, cache.WithCodec(codec), cache.WithL1(testkit.NewL1(t, rdb, cache.L1Options{TTL: time.Hour})))
			testkit.InUse(t, c)
			other := testkit.NewCache[labelled](t, rdb, cache.WithCodec(codec))
			const keys = 200
			for i := range keys {
				require.NoError(t, other.Set(ctx, fmt.Sprint(i), v))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i := range keys {
				got, err := c.Get(ctx, fmt.Sprint(i))
				require.NoError(t, err)
				require.Equal(t, v, got)
			}
			runtime.ReadMemStats(&after)
			each := (after.TotalAlloc - before.TotalAlloc) / keys
			t.Log("bytes a read that is kept:", each)
			assert.Less(t, each, uint64(4_500), "with room for 64 entries each it is 6,400")
		})
	}
}
