package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
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

// awaitOverdue waits until no loader of the trip's key runs whose context has ended, for
// at most as long as is said. The error is ctx's, or an *OpError that Is
// context.DeadlineExceeded.
func (t *trip[T]) awaitOverdue(ctx context.Context, most time.Duration) error {
	late := t.cache.flights.late(t.key)
	if late == nil {
		return nil
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	for ; late != nil; late = t.cache.flights.late(t.key) { // each turn one has returned
		select {
		case <-late:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return &OpError{Op: "load", Key: t.key, Err: errOverdue}
		}
	}
	return nil
}

// begin notes that the loader is about to be called. A loader of the key may have become
// overdue since the flight began; it then waits a moment.
func (t *trip[T]) begin(ctx context.Context, leased bool, most time.Duration) error {
	seq, ok := t.cache.flights.load(t.key, t.flight, leased)
	if !ok {
		if err := t.awaitOverdue(ctx, most); err != nil {
			return err
		}
		if seq, ok = t.cache.flights.load(t.key, t.flight, leased); !ok {
			return &OpError{Op: "load", Key: t.key, Err: errOverdue}
		}
	}
	t.loadSeq = seq
	return ctx.Err()
}

// watchLoader watches one call of the loader, which has ctx and here, for the flights of
// trips. When ctx ends before it has returned, it is overdue; if it still has not
// returned a moment later, nobody waits for it any longer. The function that is returned
// is to be called when it has.
func (c *Cache[T]) watchLoader(ctx context.Context, here *loading, trips ...*trip[T]) (returned func()) {
	var moment atomic.Pointer[time.Timer]
	stop := context.AfterFunc(ctx, func() {
		for _, t := range trips {
			c.flights.overrun(t.key, t.flight)
		}
		moment.Store(time.AfterFunc(overdue, func() { c.giveUp(ctx, trips) }))
	})
	return func() {
		here.returned()
		stop()
		hung := c.flights.loaded(trips[0].key, trips[0].flight)
		for _, t := range trips[1:] {
			c.flights.loaded(t.key, t.flight)
		}
		if timer := moment.Load(); timer != nil {
			timer.Stop()
		}
		if hung {
			c.tel.loaderHangs(false)
		}
	}
}

// giveUp lands the flights of a loader that has not returned a moment after ctx had
// ended: with an error if its time was over; else nobody wanted its value, and who has
// waited for its end looks again.
func (c *Cache[T]) giveUp(ctx context.Context, trips []*trip[T]) {
	if !c.flights.hang(trips[0].flight) {
		return // it has returned, and lands itself
	}
	c.tel.loaderHangs(true)
	for _, t := range trips {
		result := landing[T]{outcome: loadAbandoned}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			result = landing[T]{outcome: loadFailed, err: &OpError{Op: "load", Key: t.key, Err: context.DeadlineExceeded}}
		}
		c.flights.land(t.key, t.flight, result)
	}
}

// late is closed when a loader of key returns whose context has ended; nil: none runs.
func (g *group[T]) late(key string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if late := g.overdue[key]; len(late) > 0 {
		return late[0].overdue
	}
	return nil
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

// countOverdue is how many loaders run whose context has ended.
func (g *group[T]) countOverdue() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, late := range g.overdue {
		n += len(late)
	}
	return n
}
