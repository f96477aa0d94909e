package cluster_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// tuned is a cluster client set up as the documentation asks for.
func tuned(t testing.TB, cluster *redistest.Cluster) *redis.ClusterClient {
	universal := redis.UniversalOptions{}
	cache.Tune(&universal)
	o := universal.Cluster()
	return cluster.Client(t, func(c *redis.ClusterOptions) {
		o.Addrs, o.MaintNotificationsConfig = c.Addrs, c.MaintNotificationsConfig
		o.ClusterStateReloadInterval = reloadInterval
		*c = *o
	})
}

// One cluster serves these tests, because it takes seconds to start.
func TestCluster(t *testing.T) {
	cluster := redistest.SharedCluster(t)
	t.Run("the facade serves keys of all nodes", func(t *testing.T) { clusterServes(t, cluster) })
	t.Run("the naive control goes stale", func(t *testing.T) { clusterControl(t, cluster) })
	t.Run("tags whose tokens are on other nodes", func(t *testing.T) {
		testkit.TaggedHistory(t, func() redis.UniversalClient { return tuned(t, cluster) }, testkit.Span(10*time.Second, time.Second))
	})
	t.Run("invalidations of tags on all nodes, confirmed by replicas", func(t *testing.T) { clusterTags(t, cluster) })
	t.Run("one shard frozen", func(t *testing.T) { clusterShardFrozen(t, cluster) })
	t.Run("ClusterPrimaryKill9", func(t *testing.T) {
		testkit.InTime(t, func() []testkit.Figure { return clusterPrimaryKill9(t, cluster) })
	})
}

func clusterServes(t *testing.T, cluster *redistest.Cluster) {
	ctx := t.Context()
	c := testkit.NewCache[int](t, tuned(t, cluster), testkit.Class(func(ttl *cache.TTL) { ttl.StaleWhileRevalidate = time.Minute }))
	other := testkit.NewCache[int](t, tuned(t, cluster)) // another process
	keys, owners := make([]string, 60), map[string]bool{}
	for i := range keys {
		keys[i] = "facade " + strconv.Itoa(i)
		owners[cluster.Owner("test:"+keys[i]).Addr()] = true
		got, err := c.GetOrLoad(ctx, keys[i], testkit.Value(i))
		require.NoError(t, err)
		require.Equal(t, i, got)
		got, err = other.Get(ctx, keys[i])
		require.NoError(t, err, "stored for all processes")
		require.Equal(t, i, got)
	}
	require.Len(t, owners, 3)

	require.NoError(t, c.Invalidate(ctx, keys[:20]...), "of all nodes in one call")
	require.NoError(t, c.Expire(ctx, keys[20:40]...))
	for i, key := range keys {
		_, err := other.Get(ctx, key)
		if i < 40 {
			require.ErrorIs(t, err, cache.ErrMiss, key)
		} else {
			require.NoError(t, err, key)
		}
	}
	for i, key := range keys[20:40] {
		got, err := c.GetOrLoad(ctx, key, testkit.Value(-1))
		require.NoError(t, err)
		require.Equal(t, 20+i, got, "stale while it is refreshed")
		testkit.Eventually(t, func() bool { got, err := other.Get(ctx, key); return err == nil && got == -1 }, "the refresh")
	}
	for i, key := range keys[40:] {
		require.NoError(t, c.Update(ctx, key, func(context.Context) error {
			_, err := other.Get(ctx, key)
			require.ErrorIs(t, err, cache.ErrMiss, "while the write runs nothing is cached")
			return nil
		}))
		got, err := other.GetOrLoad(ctx, key, testkit.Value(100+i))
		require.NoError(t, err)
		require.Equal(t, 100+i, got)
		got, err = c.Get(ctx, key)
		require.NoError(t, err)
		require.Equal(t, 100+i, got)
	}
	assert.Zero(t, c.Stats().RedisErrors+other.Stats().RedisErrors)
}

func clusterControl(t *testing.T, cluster *redistest.Cluster) {
	var h testkit.History
	h.Control(t, h.Naive(tuned(t, cluster)), h.Naive(tuned(t, cluster)))
}

// A shard whose primary and replica are frozen costs its own keys their hits, and no
// others: each node has a breaker of its own.
//
// But for the shard of the clear token, of which a process is certain for one second
// after it has asked. While it cannot ask nothing is served from any shard, since
// somebody may have called InvalidateAll: all calls load.
func clusterShardFrozen(t *testing.T, cluster *redistest.Cluster) {
	cluster.Await()
	clear := cluster.Owner(testkit.ClearTokenKey)
	for _, withClear := range []bool{false, true} {
		t.Run(map[bool]string{false: "another than that of the clear token", true: "that of the clear token"}[withClear], func(t *testing.T) {
			c := testkit.NewBudgeted[int](t, tuned(t, cluster))
			keys := map[*redistest.Server][]string{}
			for i := range 60 {
				key := "shard " + strconv.Itoa(i)
				owner := cluster.Owner("test:" + key)
				keys[owner] = append(keys[owner], key)
				testkit.Eventually(t, func() bool { // more than one round trip on a busy machine
					_, err := c.GetOrLoad(t.Context(), key, testkit.Value(1))
					require.NoError(t, err)
					_, err = c.Get(t.Context(), key)
					return err == nil
				}, "the entry")
			}
			var frozen *redistest.Server
			for owner := range keys {
				if (owner == clear) == withClear {
					frozen = owner
				}
			}
			replica := cluster.ReplicaOf(frozen)
			replica.Pause()
			frozen.Pause()
			defer func() {
				frozen.Resume()
				replica.Resume()
				cluster.Await()
			}()
			hits, calls := map[bool]int{}, map[bool]int{} // whether of the frozen shard
			// Only until the nodes agree that it has failed: then all of them answer
			// CLUSTERDOWN, since a cluster by default serves all slots or none.
			for began := time.Now(); time.Since(began) < nodeTimeout*9/10; {
				for owner, of := range keys {
					before := c.Stats().Hits
					v, err := c.GetOrLoad(t.Context(), of[calls[owner == frozen]%len(of)], testkit.Value(1))
					require.NoError(t, err)
					require.Equal(t, 1, v)
					calls[owner == frozen]++
					hits[owner == frozen] += int(c.Stats().Hits - before)
				}
			}
			t.Logf("of the frozen shard %d calls, %d hits; of the others %d calls, %d hits", calls[true], hits[true], calls[false], hits[false])
			assert.Zero(t, hits[true])
			if !withClear {
				assert.Greater(t, hits[false], calls[false]*9/10)
			}
		})
	}
}

const (
	nodeTimeout    = time.Second // of the test's cluster
	reloadInterval = time.Second // of the test's clients
)

// Scenario 11. A primary is killed under load, when its replica has all that it has
// acknowledged. The replica takes over, and the client finds it in time. Nobody is served
// what was invalidated before. Reads do not fail meanwhile: they load.
func clusterPrimaryKill9(t *testing.T, cluster *redistest.Cluster) []testkit.Figure {
	cluster.Await()
	var h testkit.History
	var caches []*cache.Cache[int64]
	var processes []*testkit.Subject
	for range 2 {
		c := testkit.NewBudgeted[int64](t, tuned(t, cluster))
		caches, processes = append(caches, c), append(processes, h.Cached(c))
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() { h.Run(ctx, 2*testkit.Forever, processes...) })
	defer load.Wait()
	defer stop()
	testkit.Eventually(t, func() bool { return h.Writes.Load() >= 20 }, "the load to run")

	victim := cluster.Owner("test:0")
	heir := cluster.ReplicaOf(victim)
	key := keyOf(cluster, victim)
	before := h.Writes.Load()
	_ = cluster.Settle(victim) // it ends with the process
	victim.Kill()
	killed := time.Now()
	down := watchOutage(t, caches, key, killed)
	took := awaitPrimary(t, heir, killed)
	testkit.Eventually(t, func() bool { return down.quiet() > time.Second }, "the clients to find the heir")
	usable := time.Duration(down.last.Load())
	lost := h.Pending.Load()

	victim.Restart()
	cluster.Await()
	testkit.Eventually(t, func() bool { return caches[0].Invalidate(t.Context(), key) == nil }, "invalidations to be acknowledged")
	down.stop()
	stop()
	load.Wait()
	for _, c := range caches {
		require.NoError(t, c.Shutdown(t.Context()), "what was pending has landed")
	}
	h.Log(t, "primary killed")
	t.Logf("%d look-ups failed; the heir took over after %v, the last look-up failed %v after the kill; "+
		"%d writes pending by then (the old primary restarted after more than a second of quiet)",
		down.failed.Load(), took.Round(time.Millisecond), usable.Round(time.Millisecond), lost)
	assert.Zero(t, h.Stale.Load(), "violations")
	assert.NoError(t, h.FirstFailure(), "reads load meanwhile")
	assert.Greater(t, h.Writes.Load(), before, "writes go on")
	assert.Positive(t, down.failed.Load(), "the outage was seen, else the run shows nothing")
	// On a machine on which the servers themselves were not in time, soon after them.
	return []testkit.Figure{{What: "the outage", Took: usable, Bound: max(nodeTimeout+3*time.Second, took+reloadInterval+time.Second)}}
}

// awaitPrimary waits until s says that it is a primary, and returns how long
// after since that was.
func awaitPrimary(t *testing.T, s *redistest.Server, since time.Time) time.Duration {
	rdb := s.Client(t)
	testkit.Eventually(t, func() bool {
		role, err := rdb.Do(t.Context(), "role").Slice()
		return err == nil && role[0] == "master"
	}, "the replica to take over")
	return time.Since(since)
}

// keyOf is a key of the node that no other part of the test uses.
func keyOf(cluster *redistest.Cluster, node *redistest.Server) string {
	for i := 0; ; i++ {
		if key := "probe " + strconv.Itoa(i); cluster.Owner("test:"+key) == node {
			return key
		}
	}
}

// outageWatch looks one key up all the time.
type outageWatch struct {
	since  time.Time
	failed atomic.Int64
	last   atomic.Int64 // failure, in nanoseconds after since
	halt   context.CancelFunc
	done   sync.WaitGroup
}

func watchOutage[T any](t *testing.T, caches []*cache.Cache[T], key string, since time.Time) *outageWatch {
	ctx, cancel := context.WithCancel(t.Context())
	w := &outageWatch{since: since, halt: cancel}
	for _, c := range caches {
		w.done.Go(func() {
			for ctx.Err() == nil {
				_, err := c.Get(context.WithoutCancel(ctx), key)
				var opErr *cache.OpError
				if errors.As(err, &opErr) {
					w.failed.Add(1)
					testkit.Raise(&w.last, int64(time.Since(since)))
				}
				_ = testkit.Pace(ctx, 10*time.Millisecond)
			}
		})
	}
	return w
}

// quiet is for how long no look-up has failed.
func (w *outageWatch) quiet() time.Duration {
	return time.Since(w.since) - time.Duration(w.last.Load())
}

func (w *outageWatch) stop() {
	w.halt()
	w.done.Wait()
}
