package redistest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

func TestSentinel(t *testing.T) {
	t.Parallel()
	s := redistest.SharedSentinel(t)
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
	old := first.Client(t)
	require.Eventually(t, func() bool {
		return old.Get(t.Context(), "k").Val() == "w"
	}, patience, tick, "the old primary follows")

	second.Kill()
	assert.Equal(t, first, s.AwaitFailover(second))
	require.Eventually(t, func() bool { return rdb.Get(t.Context(), "k").Val() == "w" }, patience, tick)
}

func TestSharedSentinelIsWholeAndEmptyForEachTest(t *testing.T) {
	redistest.Require(t)
	var broken *redistest.Server
	t.Run("one breaks it", func(t *testing.T) {
		s := redistest.SharedSentinel(t)
		require.NoError(t, s.Client(t).Set(t.Context(), "k", "v", 0).Err())
		s.Sentinels()[1].Kill()
		broken = s.Primary()
		broken.Pause()
	})
	t.Run("another has it", func(t *testing.T) {
		s := redistest.SharedSentinel(t)
		assert.Equal(t, s.Nodes()[0], s.Primary(), "the primary comes first")
		for _, n := range append(s.Nodes(), s.Sentinels()...) {
			require.NoError(t, n.Client(t).Ping(t.Context()).Err())
		}
		keys, err := s.Client(t).DBSize(t.Context()).Result()
		require.NoError(t, err)
		assert.Zero(t, keys)
	})
	assert.NotZero(t, broken.Pid())
}
