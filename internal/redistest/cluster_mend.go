package redistest

import "slices"

// mend makes the cluster whole and empty again, whatever was done to its servers, and
// puts the primaries first.
func (c *Cluster) mend() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.mend()
	}
	await(c.t, "cluster does not heal", func() error { return c.agreed(len(c.nodes)) })
	c.sort()
	await(c.t, "cluster is not emptied", c.empty)
}

// sort puts the primaries first, and their replicas in the same order.
func (c *Cluster) sort() {
	c.t.Helper()
	var first, second []*node
	members := c.members()
	of := func(id string) string { // whom it follows
		return members[slices.IndexFunc(members, func(m member) bool { return m.id == id })].primary
	}
	for _, n := range c.nodes {
		if of(n.id) != "-" {
			continue
		}
		first = append(first, n)
		for _, r := range c.nodes {
			if of(r.id) == n.id {
				second = append(second, r)
			}
		}
	}
	c.nodes = append(first, second...)
}

// empty takes the keys from the primaries, and the scripts from all.
func (c *Cluster) empty() error {
	for i, n := range c.nodes {
		if i < primaries {
			if err := n.admin.FlushAll(c.t.Context()).Err(); err != nil {
				return err
			}
		}
		if err := n.admin.ScriptFlush(c.t.Context()).Err(); err != nil {
			return err
		}
	}
	return nil
}
