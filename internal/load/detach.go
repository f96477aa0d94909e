package load

import "slices"

// This file takes flights out of the way that a change has overtaken.

// Detach takes keys' flights out of the way after a change made through this
// process: nobody joins them any more and they do not commit.
func (g *Group) Detach(keys ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range keys {
		if f := g.current[key]; f != nil {
			f.detached = true
			delete(g.current, key)
		}
	}
}

// Depend notes the ids of the tags that what k stores depends on, before they are
// captured.
func (g *Group) Depend(k *Key, tags []uint64) {
	if len(tags) == 0 && len(k.flight.tags) == 0 { // only this goroutine writes them
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k.flight.tags = tags
}

// DetachTagged detaches the flights that depend on any of the tags with these ids. One
// that begins to do so later captures the new tokens.
func (g *Group) DetachTagged(tags []uint64) {
	changed := make(map[uint64]bool, len(tags))
	for _, id := range tags {
		changed[id] = true
	}
	g.detachIf(func(f *Flight) bool {
		return slices.ContainsFunc(f.tags, func(id uint64) bool { return changed[id] })
	})
}

// DetachAll detaches all flights.
func (g *Group) DetachAll() { g.detachIf(func(*Flight) bool { return true }) }

func (g *Group) detachIf(overtaken func(*Flight) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, f := range g.current {
		if overtaken(f) {
			f.detached = true
			delete(g.current, key)
		}
	}
}
