package redistest_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	c := redistest.SharedCluster(t)
	t.Run("keys have owners", func(t *testing.T) { clusterOwners(t, c) })
	t.Run("slots move under load", func(t *testing.T) { clusterMove(t, c) })
	t.Run("a replica takes over from a paused primary", func(t *testing.T) { clusterPaused(t, c) })
	t.Run("a replica takes over by itself", func(t *testing.T) { clusterKilled(t, c) })
}

func clusterOwners(t *testing.T, c *redistest.Cluster) {
	assert.Len(t, c.Addrs(), 6)
	rdb := c.Client(t)
	owners := map[string]bool{}
	for i := range 50 {
		key := fmt.Sprint("key:", i)
		require.NoError(t, rdb.Set(t.Context(), key, i, 0).Err())
		owner := c.Owner(key)
		owners[owner.Addr()] = true
		got, err := owner.Client(t).Get(t.Context(), key).Int()
		require.NoError(t, err, "the owner has the key itself")
		assert.Equal(t, i, got)
		assert.NotEqual(t, owner, c.ReplicaOf(owner))
	}
	assert.Len(t, owners, 3)
}

func clusterMove(t *testing.T, c *redistest.Cluster) {
	slot := c.Slot("{moving}")
	from := c.Owner("{moving}")
	to := otherPrimary(c, from)
	first, last := slot, slot+3
	if c.Slot("{moving}") > 16000 {
		first, last = slot-3, slot
	}
	stop := load(t, c, "{moving}")
	c.MoveSlots(from, to, first, last)
	assert.Equal(t, to, c.Owner("{moving}"))
	assert.Positive(t, stop(), "the load went on")
	rdb := c.Client(t)
	for i := range 500 {
		require.NoError(t, rdb.Get(t.Context(), fmt.Sprint("{moving}", i)).Err(), "no key was lost")
	}
	c.MoveSlots(to, from, first, last)
	assert.Equal(t, from, c.Owner("{moving}"))
}

// otherPrimary returns a primary that is not s.
func otherPrimary(c *redistest.Cluster, s *redistest.Server) *redistest.Server {
	for i := range 100 {
		if o := c.Owner(fmt.Sprint(i)); o != s {
			return o
		}
	}
	return nil
}

// load fills 500 keys of one slot and goes on to write them until stop, which
// returns the number of later writes and fails the test for each that failed.
func load(t *testing.T, c *redistest.Cluster, tag string) (stop func() int64) {
	rdb := c.Client(t)
	for i := range 500 {
		require.NoError(t, rdb.Set(t.Context(), fmt.Sprint(tag, i), 0, 0).Err())
	}
	var g sync.WaitGroup
	var writes atomic.Int64
	ended := make(chan struct{})
	g.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			default:
				err := rdb.Incr(context.Background(), fmt.Sprint(tag, i%500)).Err()
				assert.NoError(t, err)
				writes.Add(1)
			}
		}
	})
	return func() int64 {
		close(ended)
		g.Wait()
		return writes.Load()
	}
}

func clusterPaused(t *testing.T, c *redistest.Cluster) {
	old := c.Owner("k")
	old.Pause()
	heir := c.Failover(old)
	assert.NotEqual(t, old, heir)
	assert.Equal(t, heir, c.Owner("k"))
	assert.NoError(t, heir.Client(t).Set(t.Context(), "k", "v", 0).Err())
	old.Resume()
	c.Await()
	becomesReplica(t, old)
	c.Await()
	assert.Equal(t, old, c.ReplicaOf(heir))
}

// becomesReplica waits until s says that it is a replica.
func becomesReplica(t *testing.T, s *redistest.Server) {
	t.Helper()
	rdb := s.Client(t)
	require.Eventually(t, func() bool {
		role, err := rdb.Do(t.Context(), "role").Slice()
		return err == nil && role[0] == "slave"
	}, patience, tick)
}

func clusterKilled(t *testing.T, c *redistest.Cluster) {
	old := c.Owner("k")
	heir := c.ReplicaOf(old)
	old.Kill()
	require.Eventually(t, func() bool { return c.Owner("k") == heir }, patience, tick)
	c.Await()
	rdb := c.Client(t)
	require.NoError(t, rdb.Set(t.Context(), "k", "w", 0).Err())
	old.Restart()
	becomesReplica(t, old)
	c.Await()
}
