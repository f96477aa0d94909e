package redistest

import (
	"fmt"
	"strconv"
)

const (
	migrateBatch   = 100
	migrateTimeout = 5000 // milliseconds
)

// Failover makes the replica of primary take over at once, without asking the
// primary or the others (CLUSTER FAILOVER TAKEOVER): writes that had not reached
// the replica are lost. primary may be down or paused. It returns the new primary
// when all nodes that answer agree; a primary that was paused becomes its replica
// after Resume.
func (c *Cluster) Failover(primary *Server) *Server {
	c.t.Helper()
	heir := c.nodeOf(c.ReplicaOf(primary))
	c.must(heir.admin.Do(c.t.Context(), "cluster", "failover", "takeover").Err())
	await(c.t, "take-over by "+heir.Addr(), func() error {
		text, err := heir.admin.ClusterNodes(c.t.Context()).Result()
		if err != nil {
			return err
		}
		for _, m := range parseMembers(text) {
			if m.id == heir.id && len(m.ranges) > 0 {
				return c.settled()
			}
		}
		return fmt.Errorf("%s has no slots", heir.Addr())
	})
	return heir.Server
}

// MoveSlots moves the slots first to last, which from must own, with their keys
// to another primary, as a resharding does: slot by slot, while clients are
// answered with MOVED, ASK and TRYAGAIN. It returns when all nodes agree.
func (c *Cluster) MoveSlots(from, to *Server, first, last int) {
	c.t.Helper()
	source, target := c.nodeOf(from), c.nodeOf(to)
	for slot := first; slot <= last; slot++ {
		c.moveSlot(source, target, slot)
	}
	await(c.t, "slots do not settle", func() error {
		if owner := c.ownerOf(last); owner != target {
			return fmt.Errorf("slot %d is still with %s", last, owner.Addr())
		}
		return c.settled()
	})
}

func (c *Cluster) moveSlot(source, target *node, slot int) {
	c.t.Helper()
	c.setSlot(target, slot, "importing", source)
	c.setSlot(source, slot, "migrating", target)
	for c.moveKeys(source, target, slot) {
	}
	c.setSlot(target, slot, "node", target)
	c.setSlot(source, slot, "node", target)
}

func (c *Cluster) setSlot(n *node, slot int, state string, other *node) {
	c.t.Helper()
	c.must(n.admin.Do(c.t.Context(), "cluster", "setslot", slot, state, other.id).Err())
}

// moveKeys moves some keys of the slot and reports whether there were any. New
// ones cannot come: the source sends the client on with ASK.
func (c *Cluster) moveKeys(source, target *node, slot int) bool {
	c.t.Helper()
	ctx := c.t.Context()
	keys, err := source.admin.ClusterGetKeysInSlot(ctx, slot, migrateBatch).Result()
	c.must(err)
	if len(keys) == 0 {
		return false
	}
	args := []any{
		"migrate", "127.0.0.1", strconv.Itoa(target.p.Port()), "", 0, migrateTimeout, "keys",
	}
	for _, k := range keys {
		args = append(args, k)
	}
	c.must(source.admin.Do(ctx, args...).Err())
	return true
}
