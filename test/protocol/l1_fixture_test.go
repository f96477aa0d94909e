package protocol_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// hearing is a cache of the station whose L1 is in use.
func hearing[T any](t testing.TB, s *testkit.Station, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	c := testkit.NewCache[T](t, s.Rdb, append(opts, cache.WithL1(s.L1))...)
	testkit.InUse(t, c)
	return c
}

// hits calls get until it does not return v, for d at most, and returns how often
// it did.
func hits[T comparable](t testing.TB, d time.Duration, v T, get func() (T, error)) (n int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		got, err := get()
		require.NoError(t, err)
		if got != v {
			break
		}
	}
	return n
}
