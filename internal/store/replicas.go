package store

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

// InvalidateConfirmed is [Store.InvalidateMany], confirmed by replicas. It costs
// a round trip for each key and one for each 50 of a node, which takes as long as the
// replicas do. The errors are aligned with the keys; nil if there is none.
func (s *Store) InvalidateConfirmed(ctx context.Context, keys []string, notice func(i int) Notice, r Replicas) []error {
	calls := make([]*scriptCall, len(keys))
	for i, key := range keys {
		n := noticeOf(notice, i)
		calls[i] = &scriptCall{script: invalidateScript, args: invalidateScript.evalsha(key, []any{n.Channel, n.Message})}
	}
	return s.confirmed(ctx, keys, calls, r)
}

// EndWriteConfirmed is [Store.EndWrite], confirmed by replicas. It costs one round
// trip more, which takes as long as the replicas do.
func (s *Store) EndWriteConfirmed(ctx context.Context, key string, e EndWrite, r Replicas) error {
	c := &scriptCall{script: wendScript, args: wendScript.evalsha(key, endArgs(e))}
	if errs := s.confirmed(ctx, []string{key}, []*scriptCall{c}, r); errs != nil {
		return errs[0]
	}
	return nil
}

// confirmedAtOnce is how many changes of one node are confirmed together, within one
// budget: each costs a round trip.
const confirmedAtOnce = 50

// confirmed runs the calls, those of one node on one connection, for WAIT is about
// the writes of its own connection.
func (s *Store) confirmed(ctx context.Context, keys []string, calls []*scriptCall, r Replicas) []error {
	var groups []*confirmCall
	open := map[string]*confirmCall{} // the last group of each node
	for i, key := range keys {
		owner := s.locate.owner(ctx, key)
		g := open[owner]
		if g == nil || len(g.calls) == confirmedAtOnce {
			g = &confirmCall{store: s, key: key, replicas: r}
			open[owner], groups = g, append(groups, g)
		}
		g.calls, g.index = append(g.calls, calls[i]), append(g.index, i)
	}
	errs, failed := make([]error, len(keys)), false
	for _, g := range groups {
		if err := s.send(ctx, s.scripts+r.Timeout, g); err != nil {
			failed = true
			for _, i := range g.index {
				errs[i] = err
			}
		}
	}
	if !failed {
		return nil
	}
	return errs
}

// confirmCall is the changes of one node, and the wait for its replicas.
type confirmCall struct {
	store    *Store
	key      string // one of the node's
	replicas Replicas
	calls    []*scriptCall
	index    []int
}

func (*confirmCall) name() string { return "confirmed change" }

func (c *confirmCall) keyOf() string { return c.key }

func (c *confirmCall) own() {
	for _, call := range c.calls {
		call.own()
	}
}

// run makes the changes again if the node turns out not to own the key any more,
// once: all of them may be repeated.
func (c *confirmCall) run(ctx context.Context, client redis.UniversalClient) error {
	err := c.runOn(ctx, client)
	if cluster, ok := client.(interface{ ReloadState(context.Context) }); ok &&
		(redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK")) {
		cluster.ReloadState(ctx)
		err = c.runOn(ctx, client)
	}
	return err
}

func (c *confirmCall) runOn(ctx context.Context, client redis.UniversalClient) error {
	node, err := c.store.locate.node(ctx, client, c.key)
	if err != nil {
		return err
	}
	conn := node.Conn()
	defer func() { _ = conn.Close() }() // gives it back to the pool
	for _, call := range c.calls {
		if err := call.runOn(ctx, conn); err != nil {
			return err
		}
		c.store.answerIn(call.reply)
	}
	got, err := conn.Wait(ctx, c.replicas.N, c.replicas.Timeout).Result()
	if err == nil && got < int64(c.replicas.N) {
		err = fmt.Errorf("%w: %d of %d within %v", ErrReplicas, got, c.replicas.N, c.replicas.Timeout)
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
