package cache

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

// result is how a call of a loader ended.
type result uint8

const (
	resultOK result = iota
	resultError
	resultAbsent
)

var resultNames = [...]string{"ok", "error", "absent"}

// resultOf is the result of a call that returned err.
func resultOf(err error) result {
	switch {
	case err == nil:
		return resultOK
	case isAbsent(err):
		return resultAbsent
	}
	return resultError
}

// keyGroup counts what concerns the keys of one group.
type keyGroup struct {
	name     string // "": of keys without one
	outcomes [len(outcomeNames)]sharded
	loads    [len(resultNames)]atomic.Int64
	labels   groupLabels
}

// look counts one look-up.
func (g *keyGroup) look(o outcome) { g.outcomes[o].add() }

// used reports whether anything was counted.
func (g *keyGroup) used() bool {
	for i := range g.outcomes {
		if g.outcomes[i].load() != 0 {
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

// keyGroups are the groups of a cache's keys, bounded: what a function of users
// makes of their keys may be anything.
type keyGroups struct {
	of    func(key string) string // WithKeyGroup's; nil: keys have no groups
	none  *keyGroup
	other *keyGroup
	make  func(group string) *keyGroup

	named atomic.Pointer[map[string]*keyGroup] // replaced, never changed
	mu    sync.Mutex                           // held to replace it
}

func newKeyGroups(name string, c *config) *keyGroups {
	made := func(group string) *keyGroup {
		return &keyGroup{name: group, labels: newGroupLabels(name, group)}
	}
	g := &keyGroups{of: unpanicking(c.keyGroup, c.logger), none: made(""), make: made}
	if g.of != nil {
		g.other = made(otherGroup)
		g.named.Store(&map[string]*keyGroup{"": g.none, otherGroup: g.other})
	}
	return g
}

// find returns the group of a key. It allocates only for a group that is new.
func (g *keyGroups) find(key string) *keyGroup {
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
func (g *keyGroups) add(name string) *keyGroup {
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
func (g *keyGroups) all() []*keyGroup {
	if g.of == nil {
		return []*keyGroup{g.none}
	}
	return slices.Collect(maps.Values(*g.named.Load()))
}

// total is how often an outcome was counted in all groups.
func (g *keyGroups) total(o outcome) (sum int64) {
	for _, group := range g.all() {
		sum += group.outcomes[o].load()
	}
	return sum
}

// loaded is how many calls of loaders ended so.
func (g *keyGroups) loaded(r result) (sum int64) {
	for _, group := range g.all() {
		sum += group.loads[r].Load()
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
