package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file is about loaders that run although their context has ended. Their callers
// do not wait for them, and their keys are not loaded again in this process before they
// return: else a loader that hangs would run once more for each load timeout.

// overdue is how much longer than the load timeout waiters wait for a loader
// that does not look at its context.
const overdue = 100 * time.Millisecond

// errOverdue is why a key is not loaded whose last load should have ended long ago.
var errOverdue = fmt.Errorf("an earlier call of the loader still runs, although its context has ended: %w", context.DeadlineExceeded)

// watchLoader watches one call of the loader, for the flights of trips. When ctx, the
// loader's, ends before it has returned, it is overdue; and if that was because its time
// is over the flights fail a moment later, whether it returns or not. The function that
// is returned is to be called when it has.
func (c *Cache[T]) watchLoader(ctx context.Context, trips ...*trip[T]) (returned func()) {
	stop := context.AfterFunc(ctx, func() {
		for _, t := range trips {
			c.flights.overrun(t.key, t.flight)
		}
		time.AfterFunc(overdue, func() {
			if c.flights.hang(trips[0].flight) {
				c.tel.loaderHangs(true)
			}
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return
			}
			for _, t := range trips {
				c.flights.land(t.key, t.flight, landing[T]{
					outcome: loadFailed, err: &OpError{Op: "load", Key: t.key, Err: context.DeadlineExceeded},
				})
			}
		})
	})
	return func() {
		stop()
		hung := c.flights.loaded(trips[0].key, trips[0].flight)
		for _, t := range trips[1:] {
			c.flights.loaded(t.key, t.flight)
		}
		if hung {
			c.tel.loaderHangs(false)
		}
	}
}

// overrun notes that the context of f's loader has ended while it runs.
func (g *group[T]) overrun(key string, f *flight[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.loadSeq != 0 && !f.returned && f.overdue == nil {
		f.overdue = make(chan struct{})
		g.overdue[key] = append(g.overdue[key], f)
	}
}

// hang notes that f's loader has been overdue for so long that somebody should be told.
// It reports false if it has returned.
func (g *group[T]) hang(f *flight[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.hung = f.overdue != nil && !f.returned
	return f.hung
}

// loaded notes that f's loader has returned, however it did, and whether it had hung.
func (g *group[T]) loaded(key string, f *flight[T]) (hung bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.returned = true
	if f.overdue == nil {
		return false
	}
	close(f.overdue)
	late := slices.DeleteFunc(g.overdue[key], func(l *flight[T]) bool { return l == f })
	if g.overdue[key] = late; len(late) == 0 {
		delete(g.overdue, key)
	}
	return f.hung
}

// isOverdue reports whether a loader of key runs whose context has ended.
func (g *group[T]) isOverdue(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.overdue[key]) > 0
}

// countOverdue is how many loaders run whose context has ended.
func (g *group[T]) countOverdue() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, late := range g.overdue {
		n += len(late)
	}
	return n
}
