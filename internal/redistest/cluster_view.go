package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// errSilent says that a server is down or does not answer.
var errSilent = errors.New("no answer")

// member is one line of CLUSTER NODES.
type member struct {
	id      string
	flags   string
	primary string // "-" for a primary
	ranges  [][2]int
	raw     []string // the ranges as they were written
}

// parseMembers reads the answer to CLUSTER NODES: id, address, flags, primary,
// ping, pong, epoch, link state, then slots; those that are moving have brackets.
func parseMembers(text string) []member {
	var all []member
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		m := member{id: f[0], flags: f[2], primary: f[3]}
		for _, s := range f[8:] {
			if strings.HasPrefix(s, "[") {
				continue
			}
			first, last, ok := strings.Cut(s, "-")
			if !ok {
				last = first
			}
			from, err1 := strconv.Atoi(first)
			to, err2 := strconv.Atoi(last)
			if errors.Join(err1, err2) == nil {
				m.ranges = append(m.ranges, [2]int{from, to})
				m.raw = append(m.raw, s)
			}
		}
		all = append(all, m)
	}
	return all
}

func (m member) owns(slot int) bool {
	return slices.ContainsFunc(m.ranges, func(r [2]int) bool { return r[0] <= slot && slot <= r[1] })
}

// view returns what the node thinks of who has which slots and who follows whom,
// in a form that can be compared. Errors: errSilent, or what is not yet in order.
// Nodes that have failed are left out of the view.
func (n *node) view(ctx context.Context) (string, error) {
	if n.Pid() == 0 {
		return "", errSilent
	}
	info, err := n.admin.ClusterInfo(ctx).Result()
	if err != nil {
		return "", errSilent
	}
	if !strings.Contains(info, "cluster_state:ok") {
		return "", errors.New("cluster_state is not ok")
	}
	text, err := n.admin.ClusterNodes(ctx).Result()
	if err != nil {
		return "", errSilent
	}
	var lines []string
	for _, m := range parseMembers(text) {
		if strings.Contains(m.flags, "handshake") {
			return "", errors.New("still meeting others")
		}
		if strings.Contains(m.flags, "fail") {
			continue
		}
		lines = append(lines, fmt.Sprint(m.id, " follows ", m.primary, " has ", m.raw))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), n.following(ctx)
}

// following checks that a replica has its link to the primary.
func (n *node) following(ctx context.Context) error {
	leads, linked, err := n.role(ctx)
	if err == nil && !leads && !linked {
		err = errors.New("replica without its primary")
	}
	return err
}

// leads checks that the node is a primary by its own opinion.
func (n *node) leads(ctx context.Context) error {
	leads, _, err := n.role(ctx)
	if err == nil && !leads {
		err = fmt.Errorf("%s is still a replica", n.Addr())
	}
	return err
}

// follows checks that the node is a replica that has its link to the primary.
func (n *node) follows(ctx context.Context) error {
	leads, linked, err := n.role(ctx)
	if err == nil && (leads || !linked) {
		err = fmt.Errorf("%s does not follow yet", n.Addr())
	}
	return err
}

// role tells whether the node is a primary, and whether a replica has its link to one.
// The error is errSilent.
func (n *node) role(ctx context.Context) (leads, linked bool, err error) {
	info, err := n.admin.Info(ctx, "replication").Result()
	if err != nil {
		return false, false, errSilent
	}
	return strings.Contains(info, "role:master"), strings.Contains(info, "master_link_status:up"), nil
}
