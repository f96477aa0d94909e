package conn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Replicas asks for a change to be confirmed by replicas before it counts as
// made. The zero value asks for nothing.
//
// It turns a change that a failover could undo into an error. It holds only if
// the replica that is promoted is one of those that confirmed, and says nothing
// about a primary that restarts from its disk.
type Replicas struct {
	// N is how many replicas must have it, Timeout how long to wait for them.
	N       int
	Timeout time.Duration
}

// ErrReplicas says that a change was made on the primary and that fewer replicas
// than asked for have confirmed it in time. It may still be lost in a failover.
var ErrReplicas = errors.New("not confirmed by enough replicas")

// confirmedAtOnce is how many changes of one node are confirmed together, within one
// budget: each costs a round trip.
const confirmedAtOnce = 50

// Confirm makes the changes of o, those of one node on one connection, for WAIT is about
// the writes of its own connection. It costs a round trip for each op, and one for each
// 50 of a node, which takes as long as the replicas do.
func (c *Client) Confirm(ctx context.Context, o *Ops, r Replicas) {
	var groups []*confirmCall
	open := map[string]*confirmCall{} // the last group of each node
	for i := range o.list {
		owner := c.locate.owner(ctx, o.list[i].key())
		g := open[owner]
		if g == nil || len(g.index) == confirmedAtOnce {
			g = &confirmCall{client: c, replicas: r}
			open[owner], groups = g, append(groups, g)
		}
		g.ops, g.index = append(g.ops, &o.list[i]), append(g.index, i)
	}
	for _, g := range groups {
		if err := c.send(ctx, c.scripts+r.Timeout, g); err != nil {
			for _, i := range g.index {
				o.fail(i, 1, err)
			}
		}
	}
}

// confirmCall is the changes of one node, and the wait for its replicas.
type confirmCall struct {
	client   *Client
	replicas Replicas
	ops      []*Op
	index    []int
}

func (*confirmCall) name() string { return "confirmed change" }

func (g *confirmCall) key() string { return g.ops[0].key() }

func (g *confirmCall) own() {
	for _, o := range g.ops {
		o.own()
	}
}

// run makes the changes again if the node turns out not to own the key any more,
// once: all of them may be repeated.
func (g *confirmCall) run(ctx context.Context, client redis.UniversalClient) error {
	err := g.runOn(ctx, client)
	if cluster, ok := client.(interface{ ReloadState(context.Context) }); ok &&
		(redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK")) {
		cluster.ReloadState(ctx)
		err = g.runOn(ctx, client)
	}
	return err
}

func (g *confirmCall) runOn(ctx context.Context, client redis.UniversalClient) error {
	node, err := g.client.locate.node(ctx, client, g.key())
	if err != nil {
		return err
	}
	conn := node.Conn()
	defer func() { _ = conn.Close() }() // gives it back to the pool
	for _, o := range g.ops {
		if err := o.alone(ctx, conn); err != nil {
			return err
		}
	}
	got, err := conn.Wait(ctx, g.replicas.N, g.replicas.Timeout).Result()
	if err == nil && got < int64(g.replicas.N) {
		err = fmt.Errorf("%w: %d of %d within %v", ErrReplicas, got, g.replicas.N, g.replicas.Timeout)
	}
	return err
}

// connected is a client of one node.
type connected interface{ Conn() *redis.Conn }

// node returns the client of the node that serves key.
func (l *locator) node(ctx context.Context, client redis.UniversalClient, key string) (connected, error) {
	switch {
	case l.cluster != nil:
		return l.cluster.MasterForKey(ctx, key)
	case l.ring != nil:
		return l.ring.GetShardClientForKey(key)
	}
	if one, ok := client.(connected); ok {
		return one, nil
	}
	return nil, fmt.Errorf("a client of type %T cannot wait for replicas", client)
}
