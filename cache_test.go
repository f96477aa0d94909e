package cache_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

type user struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
}

// refusing is a codec that cannot encode anything.
type refusing struct{ cache.Codec }

func (refusing) Append(dst []byte, _ any) ([]byte, error) { return dst, errors.New("no way") }

func TestNewReportsAllProblemsAtOnce(t *testing.T) {
	_, err := cache.New(nil, "", cache.Strategy[int](nil),
		cache.WithCodec(nil),
		cache.WithXFetch(-1),
		cache.WithLock(cache.Lock{Wait: -time.Second}),
		cache.WithLoadTimeout(0),
		cache.WithBudgets(-1, -1),
		cache.WithLoadLimit(0),
		cache.WithNotFound(nil),
		cache.WithLogger(nil),
		cache.WithTracerProvider(nil),
		cache.WithKeyAttribute(nil),
		cache.Expires(nil),
		cache.Expires(&cache.TTL{Fresh: time.Microsecond}),
		cache.StoreIf(true),
		cache.EntryOption{},
		cache.Options{nil},
	)
	var opErr *cache.OpError
	require.ErrorAs(t, err, &opErr)
	assert.Equal(t, "new", opErr.Op)
	for _, field := range []string{
		"client", "name", "strategy", "WithCodec", "WithXFetch", "WithLock", "WithLoadTimeout", "WithBudgets: read", "WithBudgets: script", "WithLoadLimit",
		"WithNotFound", "WithLogger", "WithTracerProvider", "WithKeyAttribute", "Expires", "TTL.Fresh", "StoreIf",
		"EntryOption", "Options",
	} {
		assert.ErrorContains(t, err, field)
	}
}

func TestNewRefuses(t *testing.T) {
	rdb := cachetest.Redis(t)
	tests := []struct {
		name string
		make func() error
		want string
	}{
		{"a typed nil client", func() error {
			_, err := cache.New((*redis.Client)(nil), "n", cache.Aside[int]())
			return err
		}, "client"},
		{"a name of 65 bytes", func() error {
			_, err := cache.New(rdb, strings.Repeat("n", 65), cache.Aside[int]())
			return err
		}, "name"},
		{"a codec that cannot encode T's zero value", func() error {
			_, err := cache.New(rdb, "n", cache.Aside[int](), cache.WithCodec(refusing{cache.JSON}))
			return err
		}, "codec cannot encode int"},
		{"a T that JSON cannot encode", func() error {
			_, err := cache.New(rdb, "n", cache.Aside[chan int]())
			return err
		}, "codec cannot encode"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.ErrorContains(t, test.make(), test.want) })
	}
}

func TestMapLikeSurface(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[user](t, rdb)

		_, err := c.Get(ctx, "1")
		assert.True(t, err == cache.ErrMiss, "a miss is ErrMiss, bare") //nolint:errorlint // the identity is the promise

		require.NoError(t, c.Set(ctx, "1", user{"Ada", 36}))
		got, err := c.Get(ctx, "1")
		require.NoError(t, err)
		assert.Equal(t, user{"Ada", 36}, got)

		require.NoError(t, c.Delete(ctx, "1", "2"))
		_, err = c.Get(ctx, "1")
		assert.ErrorIs(t, err, cache.ErrMiss)

		got, err = c.GetOrLoad(ctx, "1", testkit.Value(user{"Grace", 85}))
		require.NoError(t, err)
		assert.Equal(t, user{"Grace", 85}, got)
		got, err = c.GetOrLoad(ctx, "1", testkit.MustNotLoad[user](t))
		require.NoError(t, err)
		assert.Equal(t, user{"Grace", 85}, got)

		require.NoError(t, c.Invalidate(ctx))
		require.NoError(t, c.Invalidate(ctx, "1"))
		_, err = c.Get(ctx, "1")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
}

func TestBadCallsGiveAClearError(t *testing.T) {
	ctx := t.Context()
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	bad := cache.Expires(&cache.TTL{Name: "bad"})
	tests := []struct {
		name, want string
		call       func() error
	}{
		{"GetOrLoad with a nil loader", "loader is nil", func() error { _, err := c.GetOrLoad(ctx, "k", nil); return err }},
		{"ReadThrough with a nil loader", "loader is nil", func() error { _, err := c.ReadThrough(nil).Get(ctx, "k"); return err }},
		{"GetOrLoad with a bad class", "TTL.Fresh", func() error { _, err := c.GetOrLoad(ctx, "k", testkit.Value(1), bad); return err }},
		{"ReadThrough with a bad class", "TTL.Fresh", func() error { _, err := c.ReadThrough(testkit.Value(1), bad).Get(ctx, "k"); return err }},
		{"Set with a bad class", "TTL.Fresh", func() error { return c.Set(ctx, "k", 1, bad) }},
		{"Set with a nil class", "Expires", func() error { return c.Set(ctx, "k", 1, cache.Expires(nil)) }},
		{"an option that is none", "EntryOption", func() error { return c.Set(ctx, "k", 1, cache.EntryOption{}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call()
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr)
			assert.ErrorContains(t, err, test.want)
			assert.Equal(t, "k", opErr.Key)
		})
	}
}

func TestAClosedCacheRefusesEveryCall(t *testing.T) {
	ctx := t.Context()
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	through := c.ReadThrough(testkit.Value(1))
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "a second Close is no error")
	for name, call := range map[string]func() error{
		"Get":         func() error { _, err := c.Get(ctx, "k"); return err },
		"GetOrLoad":   func() error { _, err := c.GetOrLoad(ctx, "k", testkit.Value(1)); return err },
		"ReadThrough": func() error { _, err := through.Get(ctx, "k"); return err },
		"Set":         func() error { return c.Set(ctx, "k", 1) },
		"Delete":      func() error { return c.Delete(ctx, "k") },
		"Invalidate":  func() error { return c.Invalidate(ctx, "k") },
	} {
		assert.ErrorIs(t, call(), cache.ErrClosed, name)
	}
}

func TestNothingIsStartedForAContextThatHasEnded(t *testing.T) {
	c := testkit.NewCache[int](t, cachetest.Redis(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.GetOrLoad(ctx, "k", testkit.MustNotLoad[int](t))
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, c.Set(ctx, "k", 1), context.Canceled)
	assert.NoError(t, c.Invalidate(ctx, "k"), "the change has been made")
}

func TestKeysOfAnyKind(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewCache[int](t, rdb)
		keys := []string{"", "*", "{a}b", "{", "}", "a\nb\r\n", "\xff\xfe\x00", "!c", "%3A", strings.Repeat("k", 10<<10)}
		for i, key := range keys {
			got, err := c.GetOrLoad(ctx, key, testkit.Value(i))
			require.NoError(t, err)
			require.Equal(t, i, got)
		}
		for i, key := range keys {
			got, err := c.Get(ctx, key)
			require.NoError(t, err, "%q", key)
			assert.Equal(t, i, got)
		}
	})
}

// roundTrip stores v by Set and by a load and reads both back.
func roundTrip[T any](name string, values ...T) func(*testing.T) {
	return func(t *testing.T) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			c := testkit.NewCache[T](t, cachetest.Redis(t))
			for _, v := range values {
				require.NoError(t, c.Set(ctx, "set", v))
				got, err := c.Get(ctx, "set")
				require.NoError(t, err)
				assert.Equal(t, v, got)

				require.NoError(t, c.Invalidate(ctx, "load"))
				_, err = c.GetOrLoad(ctx, "load", testkit.Value(v))
				require.NoError(t, err)
				got, err = c.GetOrLoad(ctx, "load", testkit.MustNotLoad[T](t))
				require.NoError(t, err)
				assert.Equal(t, v, got)
			}
		})
	}
}

// In-band sentinels of other libraries are ordinary values here.
func TestValuesThatLookLikeNothingRoundTripExactly(t *testing.T) {
	roundTrip("strings", "", "*", "null", "<nil>", "K1V", "\x00")(t)
	roundTrip("numbers", 0, -1, math.MaxInt)(t)
	roundTrip("booleans", false, true)(t)
	roundTrip("structs", user{}, user{"x", 1})(t)
	roundTrip("pointers", nil, &user{}, &user{"x", 1})(t)
	roundTrip("slices", nil, []string{}, []string{""}, []string{"a"})(t)
	roundTrip("maps", nil, map[string]int{}, map[string]int{"": 0})(t)
	roundTrip[any]("interfaces", nil, "null", 1.5, false)(t)
	roundTrip("times", time.Time{}, time.Date(2026, 11, 21, 1, 2, 3, 4, time.UTC))(t)
}
