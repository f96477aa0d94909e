package telemetry

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// maxGroups is how many groups of keys a cache tells apart.
	maxGroups = 32
	// otherGroup is the group of all keys whose groups came later.
	otherGroup = "other"
)

// Group counts what concerns the keys of one group.
type Group struct {
	name     string // "": of keys without one
	outcomes [len(outcomeNames)]Counter
	loads    [len(loadNames)]atomic.Int64
	labels   groupLabels
}

// used reports whether anything was counted.
func (g *Group) used() bool {
	for i := range g.outcomes {
		if g.outcomes[i].Load() != 0 {
			return true
		}
	}
	for i := range g.loads {
		if g.loads[i].Load() != 0 {
			return true
		}
	}
	return false
}

// groups are those of a cache's keys, bounded: what a function of users
// makes of their keys may be anything.
type groups struct {
	of    func(key string) string // WithKeyGroup's; nil: keys have no groups
	none  *Group
	other *Group
	make  func(group string) *Group

	named atomic.Pointer[map[string]*Group] // replaced, never changed
	mu    sync.Mutex                        // held to replace it
}

func newGroups(o *Options) *groups {
	made := func(group string) *Group {
		return &Group{name: group, labels: newGroupLabels(o.Name, group)}
	}
	g := &groups{of: unpanicking(o.KeyGroup, o.Logger), none: made(""), make: made}
	if g.of != nil {
		g.other = made(otherGroup)
		g.named.Store(&map[string]*Group{"": g.none, otherGroup: g.other})
	}
	return g
}

// find returns the group of a key. It allocates only for a group that is new.
func (g *groups) find(key string) *Group {
	if g.of == nil {
		return g.none
	}
	name := g.of(key)
	named := *g.named.Load()
	if known := named[name]; known != nil {
		return known
	}
	if len(named) == maxGroups+2 { // none and other are no groups of their own
		return g.other
	}
	return g.add(name)
}

// add makes a group, if there is room for one more.
func (g *groups) add(name string) *Group {
	name = strings.Clone(name) // it may be part of a long key
	made := g.make(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	named := *g.named.Load()
	if known := named[name]; known != nil {
		return known
	}
	if len(named) == maxGroups+2 {
		return g.other
	}
	next := maps.Clone(named)
	next[name] = made
	g.named.Store(&next)
	return made
}

// all are the groups that there are.
func (g *groups) all() []*Group {
	if g.of == nil {
		return []*Group{g.none}
	}
	return slices.Collect(maps.Values(*g.named.Load()))
}

// total is how often an outcome was counted in all groups.
func (g *groups) total(o Outcome) (sum int64) {
	for _, group := range g.all() {
		sum += group.outcomes[o].Load()
	}
	return sum
}

// loaded is how many calls of loaders ended so.
func (g *groups) loaded(l LoadLabel) (sum int64) {
	for _, group := range g.all() {
		sum += group.loads[l].Load()
	}
	return sum
}

// unpanicking is a user's function of keys that does not panic: a key it panics
// on is not shown.
func unpanicking(f func(string) string, logger *slog.Logger) func(string) string {
	if f == nil {
		return nil
	}
	return func(key string) (shown string) {
		defer func() {
			if recover() != nil {
				logger.Error("a function that shows keys in telemetry panicked; the key is left out")
				shown = ""
			}
		}()
		return f(key)
	}
}
