package cluster_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// TestBatchExchanges counts, between the client and each node, what a batch of 100
// keys costs.
func TestBatchExchanges(t *testing.T) {
	t.Run("standalone", func(t *testing.T) {
		p := redistest.NewProxy(t, redistest.Single(t).Addr())
		countExchanges(t, testkit.ClientThrough(t, p), p)
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.SharedCluster(t)
		rdb, proxies := clusterThrough(t, cluster)
		countExchanges(t, rdb, proxies...)
		t.Run("one node is down", func(t *testing.T) { oneNodeDown(t, rdb, proxies) })
	})
}

// clusterThrough is a client of a cluster that reaches each primary through a proxy.
func clusterThrough(t *testing.T, cluster *redistest.Cluster) (*redis.ClusterClient, []*redistest.Proxy) {
	var proxies []*redistest.Proxy
	through := map[string]string{}
	for _, node := range cluster.Nodes()[:3] {
		p := redistest.NewProxy(t, node.Addr())
		proxies = append(proxies, p)
		through[node.Addr()] = p.Addr()
	}
	return cluster.Client(t, func(o *redis.ClusterOptions) {
		o.DialerRetries = 1 // a node that is down refuses at once
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if proxy, ok := through[addr]; ok {
				addr = proxy
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	}), proxies
}

func countExchanges(t *testing.T, rdb redis.UniversalClient, nodes ...*redistest.Proxy) {
	c := testkit.NewCache[int](t, rdb)
	keys := testkit.Numbers(1000)
	_, err := c.GetOrLoadMany(t.Context(), keys[500:], testkit.NewWarehouse().Load) // teaches each node the scripts
	require.NoError(t, err)
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(keys[500:]...)))
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(keys[50:100]...)))

	exchanges := func(what string, most int64, call func()) {
		began := time.Now()
		for _, p := range nodes {
			p.Reset()
		}
		call()
		for _, p := range nodes {
			assert.Positive(t, p.Exchanges(), what)
			assert.LessOrEqual(t, p.Exchanges(), most, what)
		}
		t.Logf("%s: %d nodes, at most %d exchanges each, %v", what, len(nodes), most, time.Since(began))
	}
	w := testkit.NewWarehouse()
	exchanges("GetOrLoadMany, half of the keys cached", 3, func() {
		got, err := c.GetOrLoadMany(t.Context(), keys[:100], w.Load)
		require.NoError(t, err)
		assert.Equal(t, testkit.Numbered(keys[:100]...), got)
	})
	require.Len(t, w.Calls(), 1, "one call of the loader")
	assert.Len(t, w.Calls()[0], 50)
	exchanges("GetMany", 1, func() {
		got, err := c.GetMany(t.Context(), keys[:100])
		require.NoError(t, err)
		assert.Equal(t, testkit.Numbered(keys[:100]...), got)
	})
	// A clear token that this process has not heard of for a second is asked for in
	// the background of a set.
	for again := true; again; {
		began := time.Now()
		_, err := c.GetMany(t.Context(), keys[:100])
		require.NoError(t, err)
		exchanges("SetMany", 2, func() { require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(keys[:100]...))) })
		if again = time.Since(began) > 500*time.Millisecond; !again {
			for _, p := range nodes {
				assert.EqualValues(t, 1, p.Exchanges())
			}
		}
	}
}

// What the other nodes have is returned, and one error for the node that failed;
// what it should have is loaded without a lease, with the rest in at most two calls.
func oneNodeDown(t *testing.T, rdb *redis.ClusterClient, proxies []*redistest.Proxy) {
	c := testkit.NewCache[int](t, rdb)
	require.NoError(t, c.SetMany(t.Context(), testkit.Numbered(testkit.Numbers(100)...)))
	proxies[2].Cut() // not the one that has the clear token
	defer func() { require.NoError(t, proxies[2].Heal()) }()

	got, err := c.GetMany(t.Context(), testkit.Numbers(100))
	require.Len(t, testkit.OpErrors(err), 1)
	assert.Equal(t, "get", testkit.OpErrors(err)[0].Op)
	assert.Greater(t, len(got), 20)
	assert.Less(t, len(got), 80)
	for key, v := range got {
		assert.Equal(t, testkit.Numbered(key)[key], v)
	}

	var calls, keys atomic.Int64
	all, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(110), testkit.Parsing(&calls, &keys))
	require.NoError(t, err)
	assert.Equal(t, testkit.Numbered(testkit.Numbers(110)...), all)
	assert.LessOrEqual(t, calls.Load(), int64(2))
	assert.EqualValues(t, 110-len(got), keys.Load())
}
