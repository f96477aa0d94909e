package redistest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

const (
	primaries   = 3
	slots       = 16384
	nodeTimeout = 1000 // milliseconds until a node counts as failed
)

// Cluster is a Redis Cluster of three primaries with a replica each. Its methods
// end the test when they fail, so they must be called from the test's goroutine.
type Cluster struct {
	t     testing.TB
	nodes []*node
}

// node is a server of a cluster with the client that gives it orders.
type node struct {
	*Server
	id    string
	admin *redis.Client
}

// StartCluster starts six servers and makes them a cluster, in two to four
// seconds: it returns when all nodes agree on the slots and every replica follows
// its primary. The first three of [Cluster.Nodes] are the primaries. A node that
// does not answer for a second counts as failed. Options are for all nodes.
// Without a redis-server it skips the test.
func StartCluster(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	opts = append([]Option{
		asClusterNode,
		Config("cluster-node-timeout", strconv.Itoa(nodeTimeout)),
		Config("cluster-replica-validity-factor", "0"), // a replica may always take over
		Config("cluster-migration-barrier", "9"),       // and never changes its primary
		Config("repl-diskless-sync-delay", "0"),
	}, opts...)
	for range 2 * primaries {
		s := Single(t, opts...)
		n := &node{Server: s, admin: s.Client(t, setup)}
		id, err := n.admin.Do(t.Context(), "cluster", "myid").Text()
		c.must(err)
		n.id = id
		c.nodes = append(c.nodes, n)
	}
	c.meet()
	c.follow()
	for _, n := range c.nodes {
		n.admin = n.Client(t, admin)
	}
	c.Await()
	return c
}

// For is the cluster for another test than the one that has started it: its methods end t.
func (c *Cluster) For(t testing.TB) *Cluster {
	all := make([]*node, len(c.nodes))
	for i, n := range c.nodes {
		all[i] = &node{Server: n.For(t), id: n.id, admin: n.admin}
	}
	return &Cluster{t: t, nodes: all}
}

// meet gives the primaries their slots and makes the nodes know each other.
func (c *Cluster) meet() {
	c.t.Helper()
	ctx := c.t.Context()
	for i, n := range c.nodes {
		c.must(n.admin.Do(ctx, "cluster", "set-config-epoch", i+1).Err())
		if i < primaries {
			first, last := slots*i/primaries, slots*(i+1)/primaries-1
			c.must(n.admin.ClusterAddSlotsRange(ctx, first, last).Err())
		}
		c.must(n.admin.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(c.nodes[0].p.Port())).Err())
	}
}

// follow attaches the replicas, each as soon as it knows its primary.
func (c *Cluster) follow() {
	c.t.Helper()
	for i, n := range c.nodes[primaries:] {
		await(c.t, "replica "+n.Addr(), func() error {
			return n.admin.ClusterReplicate(c.t.Context(), c.nodes[i].id).Err()
		})
	}
}

// Nodes returns all servers: the three that were the first primaries, then their
// replicas in the same order.
func (c *Cluster) Nodes() []*Server {
	all := make([]*Server, len(c.nodes))
	for i, n := range c.nodes {
		all[i] = n.Server
	}
	return all
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	all := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		all[i] = n.Addr()
	}
	return all
}

// Client returns a client of the cluster that is closed when t ends. It honours
// the deadlines of contexts; everything else is go-redis' default. mutate may
// change the options before the client is made.
func (c *Cluster) Client(t testing.TB, mutate ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	t.Helper()
	o := &redis.ClusterOptions{
		Addrs:                    c.Addrs(),
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: noMaintenance(),
	}
	for _, m := range mutate {
		m(o)
	}
	return closedWith(t, redis.NewClusterClient(o))
}

// Slot returns the slot of key.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	var slot int
	c.must(c.ask(func(n *node) error {
		s, err := n.admin.ClusterKeySlot(c.t.Context(), key).Result()
		slot = int(s)
		return err
	}))
	return slot
}

// Owner returns the primary of key's slot, as the first node that answers sees it.
func (c *Cluster) Owner(key string) *Server {
	c.t.Helper()
	return c.ownerOf(c.Slot(key)).Server
}

// ReplicaOf returns the replica of a primary, as the first node that answers
// sees it.
func (c *Cluster) ReplicaOf(primary *Server) *Server {
	c.t.Helper()
	id := c.nodeOf(primary).id
	for _, m := range c.members() {
		if m.primary == id {
			return c.byID(m.id).Server
		}
	}
	c.t.Fatalf("redistest: %s has no replica", primary.Addr())
	return nil
}

// Settle makes a primary take no changes for the next ten seconds, and returns when its
// replica has all that it took before: what is lost if it dies then was acknowledged to
// nobody. Nor does one that was paused acknowledge anything when it goes on, before it has
// heard that it is none any more. What Settle returns ends that; a restart does, too.
func (c *Cluster) Settle(primary *Server) (end func()) {
	c.t.Helper()
	replica := c.nodeOf(c.ReplicaOf(primary))
	admin := c.nodeOf(primary).admin
	c.must(admin.Do(c.t.Context(), "client", "pause", 10_000, "write").Err())
	await(c.t, "the replica does not catch up", func() error {
		has, err := Offset(c.t.Context(), replica.admin, "slave_repl_offset")
		if err != nil {
			return err
		}
		sent, err := Offset(c.t.Context(), admin, "master_repl_offset")
		if err == nil && has < sent {
			err = fmt.Errorf("it has %d of %d", has, sent)
		}
		return err
	})
	return func() { c.must(admin.Do(c.t.Context(), "client", "unpause").Err()) }
}

// Offset is a position in the stream of changes, by its name in a server's INFO.
func Offset(ctx context.Context, rdb *redis.Client, name string) (int64, error) {
	info, err := rdb.Info(ctx, "replication").Result()
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(info, "\n"+name+":")
	if !found {
		return 0, fmt.Errorf("INFO has no %s", name)
	}
	text, _, _ := strings.Cut(rest, "\r")
	return strconv.ParseInt(text, 10, 64)
}

// Await waits until every node that runs sees a healthy cluster, all see the same
// owners, and every running replica follows its primary. Nodes that are down or
// paused are not asked, but slots must not be theirs.
func (c *Cluster) Await() {
	c.t.Helper()
	await(c.t, "cluster does not settle", c.settled)
}

// settled checks that those who answer agree.
func (c *Cluster) settled() error { return c.agreed(1) }

// agreed checks that at least so many answer, and agree. It asks all nodes at once, so
// that paused ones cost their timeout once.
func (c *Cluster) agreed(atLeast int) error {
	views, errs := make([]string, len(c.nodes)), make([]error, len(c.nodes))
	var g sync.WaitGroup
	for i, n := range c.nodes {
		g.Go(func() { views[i], errs[i] = n.view(c.t.Context()) })
	}
	g.Wait()
	seen, answered := "", 0
	for i, v := range views {
		answered++
		switch {
		case errors.Is(errs[i], errSilent):
			answered--
		case errs[i] != nil:
			return fmt.Errorf("%s: %w", c.nodes[i].Addr(), errs[i])
		case seen == "":
			seen = v
		case v != seen:
			return fmt.Errorf("%s sees\n%s\nothers see\n%s", c.nodes[i].Addr(), v, seen)
		}
	}
	if answered < atLeast {
		return errSilent
	}
	return nil
}

// ask calls f with one node after the other until one answers.
func (c *Cluster) ask(f func(*node) error) error {
	var errs []error
	for _, n := range c.nodes {
		err := f(n)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// members returns the cluster as the first node that answers sees it.
func (c *Cluster) members() []member {
	c.t.Helper()
	var all []member
	c.must(c.ask(func(n *node) error {
		text, err := n.admin.ClusterNodes(c.t.Context()).Result()
		all = parseMembers(text)
		return err
	}))
	return all
}

func (c *Cluster) ownerOf(slot int) *node {
	c.t.Helper()
	for _, m := range c.members() {
		if m.owns(slot) {
			return c.byID(m.id)
		}
	}
	c.t.Fatalf("redistest: nobody owns slot %d", slot)
	return nil
}

func (c *Cluster) byID(id string) *node {
	c.t.Helper()
	for _, n := range c.nodes {
		if strings.EqualFold(n.id, id) {
			return n
		}
	}
	c.t.Fatalf("redistest: no node %s", id)
	return nil
}

func (c *Cluster) nodeOf(s *Server) *node {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.Server == s {
			return n
		}
	}
	c.t.Fatalf("redistest: %s is not of this cluster", s.Addr())
	return nil
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("redistest: cluster: %v", err)
	}
}
