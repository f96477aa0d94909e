package store_test

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

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
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
	t.Run("keys of all nodes are served", func(t *testing.T) { clusterServes(t, cluster) })
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
	s := openWith(t, c, store.Options{
		ReadBudget: 200 * time.Millisecond, ScriptBudget: time.Second, Breaker: func(open bool) { changes <- open },
	})
	store.ForgetNodesAfter(s, 300*time.Millisecond)
	require.Eventually(t, func() bool { _, err := s.Read(ctx, "k"); return err == nil }, patience, 10*time.Millisecond)
	gone := cluster.Owner("k")
	gone.Pause()
	defer gone.Resume()
	require.Eventually(t, func() bool { _, _ = s.Read(ctx, "k"); return s.Open() }, patience, 10*time.Millisecond)
	require.True(t, <-changes)
	cluster.Failover(gone)
	require.Eventually(t, func() bool {
		_, err := s.Read(ctx, "k")
		return err == nil && !s.Open()
	}, patience, 10*time.Millisecond)
	last := true
	for len(changes) > 0 {
		last = <-changes
	}
	assert.False(t, last, "the stores are told")
}

func clusterServes(t *testing.T, cluster *redistest.Cluster) {
	c := cluster.Client(t, forCache)
	s := open(t, c)
	assert.True(t, s.Inline())
	assert.Empty(t, s.Warnings())
	ctx := t.Context()
	all := keys(60)
	for _, k := range all {
		g, err := s.Acquire(ctx, k, lead(alice, envelope.Token{}))
		require.NoError(t, err)
		require.Equal(t, store.Granted, g.Answer)
		v, _, err := s.Commit(ctx, k, fill(alice))
		require.NoError(t, err)
		require.Equal(t, store.Committed, v)
	}
	records, err := s.ReadMany(ctx, all)
	require.NoError(t, err)
	for i := range all {
		assert.Equal(t, clock(record(envelope.Header{Kind: envelope.Value, Fresh: future, CID: alice}, "body")), clock(string(records[i].Data)))
	}
	answers, errs := s.InvalidateMany(ctx, all, nil)
	require.Nil(t, errs)
	for i := range all {
		assert.Equal(t, store.Removed, answers[i], all[i])
	}
}

func clusterForgets(t *testing.T, cluster *redistest.Cluster) {
	s := open(t, cluster.Client(t, forCache))
	ctx := t.Context()
	all := keys(60)
	_, errs := s.InvalidateMany(ctx, all, nil)
	require.Nil(t, errs)
	node := cluster.Owner(all[0]).Client(t)
	require.NoError(t, node.ScriptFlush(ctx).Err())
	require.NoError(t, node.ConfigResetStat(ctx).Err())
	_, errs = s.InvalidateMany(ctx, all, nil)
	require.Nil(t, errs)
	assert.Contains(t, node.Info(ctx, "commandstats").Val(), "cmdstat_eval:calls=1,")
	_, err := s.Invalidate(ctx, all[0], store.Notice{})
	require.NoError(t, err)
}

// To a plain client there is one node, so a batch is one script. The node knows better.
func clusterRefusesMany(t *testing.T, cluster *redistest.Cluster) {
	ctx := t.Context()
	node := cluster.Owner("key0")
	its := slices.DeleteFunc(keys(60), func(key string) bool { return cluster.Owner(key) != node })
	require.Greater(t, len(its), 2)
	require.NotEqual(t, cluster.Slot(its[0]), cluster.Slot(its[1]))
	beside, s := node.Client(t), open(t, node.Client(t))
	require.NoError(t, beside.FlushAll(ctx).Err())
	_, err := s.ReadMany(ctx, its[:1]) // asks whether it is Redis
	require.NoError(t, err)
	_, err = s.Acquire(ctx, its[0], lead(bob, alice)) // by the script, which is taught so
	require.NoError(t, err)
	for _, refused := range []string{"rejected_calls=1,", "rejected_calls=0,"} { // key by key from then on
		require.NoError(t, beside.FlushAll(ctx).Err())
		require.NoError(t, beside.ConfigResetStat(ctx).Err())
		acquireAll(t, s, its)
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
	for _, k := range keys(10) {
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
	s := openWith(t, cluster.Client(t, forCache), store.Options{ReadBudget: time.Second, ScriptBudget: time.Second})
	all := keys(30)
	answers(t, func() error { _, err := s.ReadMany(ctx, all); return err })
	answers(t, func() error { _, errs := s.InvalidateMany(ctx, all, nil); return errors.Join(errs...) })
	victim := cluster.Owner(all[0])
	victim.Pause()
	defer victim.Resume()

	var errs []error
	var g sync.WaitGroup
	g.Go(func() { _, errs = s.InvalidateMany(ctx, all, nil) })
	records, err := s.ReadMany(ctx, all)
	g.Wait()
	var byKey store.KeyErrors
	require.ErrorAs(t, err, &byKey)
	assert.True(t, store.Infrastructure(err))
	require.Len(t, errs, len(all))
	require.Len(t, records, len(all))
	for i, k := range all {
		for _, err := range []error{byKey[i], errs[i]} {
			if cluster.Owner(k).Addr() == victim.Addr() {
				assert.ErrorIs(t, err, store.ErrBudget, k)
			} else {
				assert.NoError(t, err, k)
			}
		}
	}
}

func clusterFailover(t *testing.T, cluster *redistest.Cluster) {
	s := openWith(t, cluster.Client(t, forCache), store.Options{ReadBudget: time.Second, ScriptBudget: time.Second})
	ctx := t.Context()
	answers(t, func() error {
		_, err := s.Replace(ctx, store.TokenKey{Key: "k", TTL: time.Minute}, store.Notice{})
		return err
	})
	cluster.Failover(cluster.Owner("k"))
	require.Eventually(t, func() bool {
		_, err := s.Acquire(ctx, "k"+"{k}", lead(alice, envelope.Token{}))
		return err == nil
	}, patience, 50*time.Millisecond)
	answers, errs := s.InvalidateMany(ctx, []string{"k{k}"}, nil)
	require.Nil(t, errs)
	assert.Equal(t, []store.InvalidateAnswer{store.Removed}, answers)
}
