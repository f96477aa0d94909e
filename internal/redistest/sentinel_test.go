package redistest_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

func TestSentinel(t *testing.T) {
	s := redistest.StartSentinel(t)
	rdb := s.Client(t)
	require.NoError(t, rdb.Set(t.Context(), "k", "v", 0).Err())
	require.NoError(t, rdb.Wait(t.Context(), 1, patience).Err())
	first := s.Primary()
	assert.Equal(t, s.Nodes()[0], first)
	assert.Len(t, s.Addrs(), 3)
	assert.Len(t, s.Sentinels(), 3)

	second := s.Failover()
	assert.Equal(t, s.Nodes()[1], second)
	require.Eventually(t, func() bool {
		return rdb.Set(t.Context(), "k", "w", 0).Err() == nil
	}, patience, tick, "the client follows")
	// The sentinels would tell it, ten seconds later.
	old := first.Client(t)
	host, port, err := net.SplitHostPort(second.Addr())
	require.NoError(t, err)
	require.NoError(t, old.ReplicaOf(t.Context(), host, port).Err())
	require.Eventually(t, func() bool {
		return old.Get(t.Context(), "k").Val() == "w"
	}, patience, tick, "the old primary follows")

	second.Kill()
	assert.Equal(t, first, s.AwaitFailover(second))
	require.Eventually(t, func() bool { return rdb.Get(t.Context(), "k").Val() == "w" }, patience, tick)
}
