package redistest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

// Whatever a test does to the shared servers, the next one finds them whole and empty.
func TestSharedClusterIsWholeAndEmptyForEachTest(t *testing.T) {
	redistest.Require(t)
	var pids []int
	t.Run("one breaks it", func(t *testing.T) {
		c := redistest.SharedCluster(t)
		for _, n := range c.Nodes() {
			pids = append(pids, n.Pid())
		}
		rdb := c.Client(t)
		require.NoError(t, rdb.Set(t.Context(), "k", "v", 0).Err())
		require.NoError(t, rdb.ScriptLoad(t.Context(), "return 1").Err())
		paused := c.Owner("k")
		paused.Pause()
		c.Failover(paused)
		c.ReplicaOf(c.Nodes()[otherThan(c.Nodes()[:3], paused)]).Kill()
	})
	t.Run("another has it", func(t *testing.T) {
		c := redistest.SharedCluster(t)
		rdb := c.Client(t)
		alive := 0
		for i, n := range c.Nodes() {
			for _, pid := range pids {
				if pid == n.Pid() {
					alive++
				}
			}
			role, err := n.Client(t).Do(t.Context(), "role").Slice()
			require.NoError(t, err)
			assert.Equal(t, i < 3, role[0] == "master", "the primaries come first")
			if i < 3 {
				assert.Equal(t, c.Nodes()[i+3], c.ReplicaOf(n), "their replicas in the same order")
			}
		}
		assert.Equal(t, 5, alive, "they are the same servers, but for the one that was killed")
		keys, err := rdb.DBSize(t.Context()).Result()
		require.NoError(t, err)
		assert.Zero(t, keys)
		for i := range 50 {
			require.NoError(t, rdb.Set(t.Context(), fmt.Sprint("key:", i), i, 0).Err())
		}
	})
}

// otherThan is the index of a server that is not s.
func otherThan(all []*redistest.Server, s *redistest.Server) int {
	for i := range all {
		if all[i] != s {
			return i
		}
	}
	return -1
}

func TestSharedServersAreOneTestsAtATime(t *testing.T) {
	redistest.Require(t)
	const n = 3
	ended := make(chan int, n)
	t.Run("all", func(t *testing.T) {
		for i := range n {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				rdb := redistest.SharedCluster(t).Client(t)
				require.NoError(t, rdb.Incr(t.Context(), "k").Err())
				assert.EqualValues(t, 1, rdb.Get(t.Context(), "k").Val()[0]-'0', "nobody else is here")
				ended <- i
			})
		}
	})
	assert.Len(t, ended, n)
}
