package cache_test

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

func ExampleTune() {
	o := &redis.UniversalOptions{
		Addrs:       []string{"localhost:6379"},
		ReadTimeout: 80 * time.Millisecond, // What is set stays.
	}
	cache.Tune(o)
	client := redis.NewUniversalClient(o) // It dials with the first command.
	defer client.Close()

	fmt.Println("deadlines are kept:", o.ContextTimeoutEnabled)
	fmt.Println("dial, read, write:", o.DialTimeout, o.ReadTimeout, o.WriteTimeout)
	// Output:
	// deadlines are kept: true
	// dial, read, write: 300ms 80ms 150ms
}

// A cluster's reload interval is not among the universal options: it is set
// where they become a cluster's.
func ExampleTune_cluster() {
	o := &redis.UniversalOptions{Addrs: []string{"node1:6379", "node2:6379"}}
	cache.Tune(o)
	cluster := o.Cluster()
	cluster.ClusterStateReloadInterval = time.Second
	client := redis.NewClusterClient(cluster)
	defer client.Close()

	fmt.Println(cluster.ContextTimeoutEnabled, cluster.ClusterStateReloadInterval)
	// Output: true 1s
}
