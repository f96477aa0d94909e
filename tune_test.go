package cache_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

const tunedTimeout = time.Millisecond

func TestTune(t *testing.T) {
	tunedTimeout := redis.UniversalOptions{
		ContextTimeoutEnabled: true,
		DialTimeout:           300 * tunedTimeout,
		DialerRetries:         1,
		ReadTimeout:           150 * tunedTimeout,
		WriteTimeout:          150 * tunedTimeout,
		PoolTimeout:           150 * tunedTimeout,
		MaxRetries:            1,
		MinRetryBackoff:       5 * tunedTimeout,
		MaxRetryBackoff:       20 * tunedTimeout,
	}
	chosen := redis.UniversalOptions{
		ContextTimeoutEnabled: true,
		DialTimeout:           time.Second,
		DialerRetries:         7,
		ReadTimeout:           -1,
		WriteTimeout:          -2,
		PoolTimeout:           3 * time.Second,
		MaxRetries:            -1,
		MinRetryBackoff:       -1,
		MaxRetryBackoff:       time.Minute,
	}
	tests := []struct {
		name     string
		in, want redis.UniversalOptions
	}{
		{"what is not set is set", redis.UniversalOptions{}, tunedTimeout},
		{"what is set stays, go-redis's -1 too", chosen, chosen},
		{
			"each field for itself",
			redis.UniversalOptions{ReadTimeout: time.Second, MaxRetries: -1},
			func() redis.UniversalOptions {
				o := tunedTimeout
				o.ReadTimeout, o.MaxRetries = time.Second, -1
				return o
			}(),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.in
			cache.Tune(&o)
			assert.Equal(t, tt.want, o)
			cache.Tune(&o)
			assert.Equal(t, tt.want, o, "a second time")
		})
	}
}

func TestTuneTouchesNothingElse(t *testing.T) {
	o := redis.UniversalOptions{
		Addrs: []string{"a:1", "b:2"}, DB: 3, Username: "u", Password: "p", PoolSize: 5, MinIdleConns: 2,
		ReadOnly: true, RouteByLatency: true, MasterName: "m", MaxRedirects: 4, Protocol: 2,
	}
	before := o
	cache.Tune(&o)
	assert.NotEqual(t, before, o)
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = false, 0, 0
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = 0, 0, 0, 0
	o.MinRetryBackoff, o.MaxRetryBackoff = 0, 0
	assert.Equal(t, before, o)
}

func TestTuneIgnoresNil(t *testing.T) {
	assert.NotPanics(t, func() { cache.Tune(nil) })
}

// What is tunedTimeout must arrive at each kind of client that NewUniversalClient
// makes: go-redis copies the fields one by one.
func TestTuneReachesEveryKindOfClient(t *testing.T) {
	check := func(t *testing.T, got *redis.Options) {
		t.Helper()
		assert.True(t, got.ContextTimeoutEnabled)
		assert.Equal(t, 300*tunedTimeout, got.DialTimeout)
		assert.Equal(t, 1, got.DialerRetries)
		assert.Equal(t, 150*tunedTimeout, got.ReadTimeout)
		assert.Equal(t, 150*tunedTimeout, got.WriteTimeout)
		assert.Equal(t, 150*tunedTimeout, got.PoolTimeout)
		assert.Equal(t, 1, got.MaxRetries)
		assert.Equal(t, 5*tunedTimeout, got.MinRetryBackoff)
		assert.Equal(t, 20*tunedTimeout, got.MaxRetryBackoff)
	}
	tests := []struct {
		name string
		o    redis.UniversalOptions
	}{
		{"single node", redis.UniversalOptions{}},
		{"sentinel", redis.UniversalOptions{MasterName: "m"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cache.Tune(&tt.o)
			client, ok := redis.NewUniversalClient(&tt.o).(*redis.Client)
			require.True(t, ok)
			defer client.Close()
			check(t, client.Options())
		})
	}
	t.Run("cluster", func(t *testing.T) {
		o := redis.UniversalOptions{IsClusterMode: true}
		cache.Tune(&o)
		client, ok := redis.NewUniversalClient(&o).(*redis.ClusterClient)
		require.True(t, ok)
		defer client.Close()
		got := client.Options()
		check(t, &redis.Options{
			ContextTimeoutEnabled: got.ContextTimeoutEnabled, DialTimeout: got.DialTimeout, DialerRetries: got.DialerRetries,
			ReadTimeout: got.ReadTimeout, WriteTimeout: got.WriteTimeout, PoolTimeout: got.PoolTimeout,
			MaxRetries: got.MaxRetries, MinRetryBackoff: got.MinRetryBackoff, MaxRetryBackoff: got.MaxRetryBackoff,
		})
	})
}

// A Redis that accepts and never answers: with go-redis's defaults a command
// takes 10 s to fail, whatever deadline its context has.
func TestTunedClientGivesUpOnAFrozenServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // Nobody accepts: the kernel does.
	require.NoError(t, err)
	defer l.Close()
	o := redis.UniversalOptions{Addrs: []string{l.Addr().String()}}
	cache.Tune(&o)
	client := redis.NewUniversalClient(&o)
	defer client.Close()

	testkit.InTime(t, func() []testkit.Figure {
		start := time.Now()
		require.Error(t, client.Get(t.Context(), "key").Err())
		without := time.Since(start)

		ctx, cancel := context.WithTimeout(t.Context(), 50*tunedTimeout)
		defer cancel()
		start = time.Now()
		require.Error(t, client.Get(ctx, "key").Err())
		return []testkit.Figure{{What: "without a deadline", Took: without, Bound: 3 * time.Second}, {What: "with one", Took: time.Since(start), Bound: time.Second}}
	})
}
