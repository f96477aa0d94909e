package cache

import "slices"

// This file takes flights out of the way that a change has overtaken.

// detach takes keys' flights out of the way after a change made through this
// process: nobody joins them any more and they do not commit.
func (g *group[T]) detach(keys ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range keys {
		if f := g.current[key]; f != nil {
			f.detached = true
			delete(g.current, key)
		}
	}
}

// depend notes the tags that what f stores depends on, before they are captured.
func (g *group[T]) depend(f *flight[T], tags []tagRef) {
	if len(tags) == 0 && len(f.tags) == 0 { // only this goroutine writes them
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	f.tags = tags
}

// detachTagged detaches the flights that depend on any of tags. One that begins to
// do so later captures the new tokens.
func (g *group[T]) detachTagged(tags []tagRef) {
	changed := make(map[uint64]bool, len(tags))
	for _, t := range tags {
		changed[t.id] = true
	}
	g.detachIf(func(f *flight[T]) bool {
		return slices.ContainsFunc(f.tags, func(t tagRef) bool { return changed[t.id] })
	})
}

// detachAll detaches all flights.
func (g *group[T]) detachAll() { g.detachIf(func(*flight[T]) bool { return true }) }

func (g *group[T]) detachIf(concerned func(*flight[T]) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, f := range g.current {
		if concerned(f) {
			f.detached = true
			delete(g.current, key)
		}
	}
}
