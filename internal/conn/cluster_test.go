package conn_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

// forCache are the settings that the documentation asks for.
func forCache(o *redis.ClusterOptions) {
	o.ContextTimeoutEnabled = true
	o.ClusterStateReloadInterval = time.Second
}

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.SharedCluster(t)
	t.Run("every primary is asked whether what it has outlives a restart", func(t *testing.T) { clusterIsAskedWhetherItLasts(t, cluster) })
	t.Run("a survey asks each server", func(t *testing.T) { clusterIsSurveyed(t, cluster) })
	t.Run("each node tells its time", func(t *testing.T) { clusterTellsTime(t, cluster) })
	t.Run("scripts lost by one node are sent to it once", func(t *testing.T) { clusterForgets(t, cluster) })
	t.Run("a client of one node is refused scripts on several slots once", func(t *testing.T) { clusterRefusesMany(t, cluster) })
	t.Run("peer is the primary of the key", func(t *testing.T) { clusterPeer(t, cluster) })
	t.Run("a frozen node costs the budget", func(t *testing.T) { clusterFrozen(t, cluster) })
	t.Run("a promoted replica is taught the scripts", func(t *testing.T) { clusterFailover(t, cluster) })
	t.Run("the breaker of a primary that is gone is forgotten", func(t *testing.T) { clusterForgetsPrimary(t, cluster) })
}

// Nobody asks the old address any more, so nothing would ever close its breaker.
func clusterForgetsPrimary(t *testing.T, cluster *redistest.Cluster) {
	ctx := t.Context()
	changes := make(chan bool, 100)
	c := cluster.Client(t, forCache)
	s := openWith(t, c, conn.Options{
		ReadBudget: 200 * time.Millisecond, ScriptBudget: time.Second, Breaker: func(open bool) { changes <- open },
	})
	conn.ForgetNodesAfter(s, 300*time.Millisecond)
	require.Eventually(t, func() bool { _, err := read(ctx, s, "k"); return err == nil }, patience, 10*time.Millisecond)
	gone := cluster.Owner("k")
	gone.Pause()
	defer gone.Resume()
	require.Eventually(t, func() bool { _, _ = read(ctx, s, "k"); return s.Open() }, patience, 10*time.Millisecond)
	require.True(t, <-changes)
	cluster.Failover(gone)
	require.Eventually(t, func() bool {
		_, err := read(ctx, s, "k")
		return err == nil && !s.Open()
	}, patience, 10*time.Millisecond)
	last := true
	for len(changes) > 0 {
		last = <-changes
	}
	assert.False(t, last, "the stores are told")
}

// clusterTellsTime: a client of several nodes sends TIME to any of them, so each is asked
// by a script on a key of its own; from then on its keys are read without PTTLs.
func clusterTellsTime(t *testing.T, cluster *redistest.Cluster) {
	s := open(t, cluster.Client(t, forCache))
	ctx := t.Context()
	all := redistest.Keys(60) // of all nodes
	_, err := readAll(ctx, s, all...)
	require.NoError(t, err)
	for _, key := range all {
		earliest := s.NodeOf(ctx, key).Earliest()
		if earliest == 0 { // more than a second ago
			_, err := readAll(ctx, s, all...)
			require.NoError(t, err)
			earliest = s.NodeOf(ctx, key).Earliest()
		}
		now := cluster.Owner(key).Client(t).Time(ctx).Val().UnixMilli()
		assert.Positive(t, earliest, key)
		assert.LessOrEqual(t, earliest, now, key)
	}
	require.NoError(t, cluster.Client(t).Set(ctx, "k", "value", time.Hour).Err())
	v, err := read(ctx, s, "k")
	require.NoError(t, err)
	assert.NotNil(t, v.Clock, "read by GET")
	assert.EqualValues(t, -1, v.PTTL)
}

func clusterForgets(t *testing.T, cluster *redistest.Cluster) {
	s := open(t, cluster.Client(t, forCache))
	ctx := t.Context()
	all := redistest.Keys(60)
	_, errs := del(ctx, s, all...)
	require.NoError(t, errors.Join(errs...))
	node := cluster.Owner(all[0]).Client(t)
	require.NoError(t, node.ScriptFlush(ctx).Err())
	require.NoError(t, node.ConfigResetStat(ctx).Err())
	_, errs = del(ctx, s, all...)
	require.NoError(t, errors.Join(errs...))
	assert.Contains(t, node.Info(ctx, "commandstats").Val(), "cmdstat_eval:calls=1,")
	_, errs = del(ctx, s, all[0])
	require.NoError(t, errors.Join(errs...))
}

// To a plain client there is one node, so a batch is one script. The node knows better.
func clusterRefusesMany(t *testing.T, cluster *redistest.Cluster) {
	ctx := t.Context()
	node := cluster.Owner("key0")
	its := slices.DeleteFunc(redistest.Keys(60), func(key string) bool { return cluster.Owner(key) != node })
	require.Greater(t, len(its), 2)
	require.NotEqual(t, cluster.Slot(its[0]), cluster.Slot(its[1]))
	beside, s := node.Client(t), open(t, node.Client(t))
	require.NoError(t, beside.FlushAll(ctx).Err())
	_, err := readAll(ctx, s, its[:1]...) // asks whether it is Redis
	require.NoError(t, err)
	require.NoError(t, put(ctx, s, its[0], nil))                                 // the server learns the script
	for _, refused := range []string{"rejected_calls=1,", "rejected_calls=0,"} { // key by key from then on
		require.NoError(t, beside.FlushAll(ctx).Err())
		require.NoError(t, beside.ConfigResetStat(ctx).Err())
		require.NoError(t, errors.Join(putAll(ctx, s, nil, its...)...))
		stats := beside.Info(ctx, "commandstats").Val()
		at := strings.Index(stats, "cmdstat_evalsha:")
		require.GreaterOrEqual(t, at, 0)
		line, _, _ := strings.Cut(stats[at:], "\n")
		assert.Contains(t, line, fmt.Sprintf("calls=%d,", len(its)))
		assert.Contains(t, line, refused)
	}
}

func clusterPeer(t *testing.T, cluster *redistest.Cluster) {
	s := open(t, cluster.Client(t, forCache))
	for _, k := range redistest.Keys(10) {
		host, port := s.Peer(t.Context(), k)
		assert.Equal(t, cluster.Owner(k).Addr(), fmt.Sprint(host, ":", port))
	}
}

func clusterFrozen(t *testing.T, cluster *redistest.Cluster) {
	victim := cluster.Owner("k")
	t.Run("whatever the client", func(t *testing.T) {
		frozen(t, func() map[string]redis.UniversalClient {
			return map[string]redis.UniversalClient{
				"inline": cluster.Client(t, forCache),
				"not inline": cluster.Client(t, func(o *redis.ClusterOptions) {
					o.ReadTimeout, o.ContextTimeoutEnabled = time.Second, false
				}),
			}
		}, victim.Pause, victim.Resume)
	})
	t.Run("the other nodes' records are there", func(t *testing.T) { clusterPartly(t, cluster) })
}

// clusterPartly freezes one node and expects the answers of the others.
func clusterPartly(t *testing.T, cluster *redistest.Cluster) {
	ctx := t.Context()
	// Long enough for the nodes that answer, on any machine.
	s := openWith(t, cluster.Client(t, forCache), conn.Options{ReadBudget: time.Second, ScriptBudget: time.Second})
	all := redistest.Keys(30)
	answers(t, func() error { _, err := readAll(ctx, s, all...); return err })
	answers(t, func() error { _, errs := del(ctx, s, all...); return errors.Join(errs...) })
	victim := cluster.Owner(all[0])
	victim.Pause()
	defer victim.Resume()

	var errs []error
	var g sync.WaitGroup
	g.Go(func() { _, errs = del(ctx, s, all...) })
	records, err := readAll(ctx, s, all...)
	g.Wait()
	assert.True(t, conn.Infrastructure(err))
	require.Len(t, errs, len(all))
	require.Len(t, records, len(all))
	for i, k := range all {
		for _, err := range []error{records[i].Err, errs[i]} {
			if cluster.Owner(k).Addr() == victim.Addr() {
				assert.ErrorIs(t, err, conn.ErrBudget, k)
			} else {
				assert.NoError(t, err, k)
			}
		}
	}
}

func clusterFailover(t *testing.T, cluster *redistest.Cluster) {
	s := openWith(t, cluster.Client(t, forCache), conn.Options{ReadBudget: time.Second, ScriptBudget: time.Second})
	ctx := t.Context()
	answers(t, func() error { return put(ctx, s, "k", nil) })
	cluster.Failover(cluster.Owner("k"))
	require.Eventually(t, func() bool { return put(ctx, s, "k{k}", nil) == nil }, patience, 50*time.Millisecond)
	there, errs := del(ctx, s, "k{k}")
	require.NoError(t, errors.Join(errs...))
	assert.Equal(t, []any{int64(1)}, there)
}
