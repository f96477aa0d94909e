package redistest

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"
)

// Mini starts a miniredis that ends with the test.
func Mini(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	if strconv.IntSize == 32 {
		t.Skip("miniredis cuts the times in replies of scripts to an int")
	}
	m := miniredis.NewMiniRedis()
	require.NoError(t, m.Start())
	t.Cleanup(m.Close)
	return m
}

// Dial returns a client of the server at addr that is closed with the test.
func Dial(t testing.TB, addr string, mutate ...func(*redis.Options)) *redis.Client {
	t.Helper()
	o := &redis.Options{
		Addr:                     addr,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	for _, m := range mutate {
		m(o)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// OnEach runs f on a miniredis that mini starts, and on a real server.
func OnEach(t *testing.T, mini func(testing.TB) *miniredis.Miniredis, f func(t *testing.T, c *redis.Client)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) { f(t, Dial(t, mini(t).Addr())) })
	t.Run("redis", func(t *testing.T) { f(t, Single(t).Client(t)) })
}

// Through puts a proxy in front of m: a client through it, and one beside it.
func Through(t *testing.T, m *miniredis.Miniredis) (*Proxy, *redis.Client, *redis.Client) {
	t.Helper()
	p := NewProxy(t, m.Addr())
	return p, Dial(t, p.Addr()), Dial(t, m.Addr())
}

// Keys returns n keys.
func Keys(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("key", i)
	}
	return all
}
