package conn

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// slowReload is the reload interval from which a cluster client is warned about:
// so long it may go on dialling a primary that is gone.
const slowReload = 10 * time.Second

// Clients are told by the options they show, so that a type that embeds one of
// go-redis' is known too.
type (
	singleNode  interface{ Options() *redis.Options }
	clusterNode interface{ Options() *redis.ClusterOptions }
	ringNode    interface{ Options() *redis.RingOptions }
)

// settings is what the clients' options have in common.
type settings struct {
	known         bool
	contexts      bool
	read, write   time.Duration // below zero: no socket deadlines at all
	reload        time.Duration
	readsReplicas bool
	pool          int // connections for each node
}

func settingsOf(client redis.UniversalClient) settings {
	switch c := client.(type) {
	case singleNode:
		o := c.Options()
		return settings{known: true, contexts: o.ContextTimeoutEnabled, read: o.ReadTimeout, write: o.WriteTimeout, pool: o.PoolSize}
	case clusterNode:
		o := c.Options()
		return settings{
			known: true, contexts: o.ContextTimeoutEnabled, read: o.ReadTimeout, write: o.WriteTimeout,
			reload: o.ClusterStateReloadInterval, readsReplicas: o.ReadOnly, pool: o.PoolSize,
		}
	case ringNode:
		o := c.Options()
		return settings{known: true, contexts: o.ContextTimeoutEnabled, read: o.ReadTimeout, write: o.WriteTimeout, pool: o.PoolSize}
	}
	return settings{}
}

// honoursDeadlines reports whether a command ends with its context's deadline.
// Without socket deadlines go-redis does not set the context's either.
func honoursDeadlines(client redis.UniversalClient) bool {
	o := settingsOf(client)
	return o.contexts && o.read >= 0 && o.write >= 0
}

// ReadsReplicas reports whether the client is set up to read from replicas.
func ReadsReplicas(client redis.UniversalClient) bool { return settingsOf(client).readsReplicas }

// warningsOf lists what is wrong with the client's settings.
func warningsOf(client redis.UniversalClient) (w []string) {
	o := settingsOf(client)
	switch {
	case !o.known:
		w = append(w, fmt.Sprintf("the client (%T) is not known to honour deadlines: "+
			"each command costs a goroutine, and a frozen Redis holds them for as long as the client does", client))
	case o.read < 0 || o.write < 0:
		w = append(w, "the client sets no deadline on its sockets (ReadTimeout or WriteTimeout -2): "+
			"each command costs a goroutine, and a frozen Redis holds them without end")
	case !o.contexts:
		w = append(w, "ContextTimeoutEnabled is false: each command costs a goroutine, "+
			"and a frozen Redis holds it for the client's ReadTimeout; set ContextTimeoutEnabled")
	}
	if o.reload > slowReload {
		w = append(w, fmt.Sprintf("ClusterStateReloadInterval is %v: after a failover the client may use "+
			"the lost primary for so long; set it to 1 or 2 seconds", o.reload))
	}
	if o.readsReplicas {
		w = append(w, "the client reads from replicas (ReadOnly, RouteByLatency or RouteRandomly): "+
			"a value may be served after its invalidation, for as long as the replica lags")
	}
	return w
}
