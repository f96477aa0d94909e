package load

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

var errOverdue = fmt.Errorf("an earlier call of the loader still runs, although its context has ended: %w", context.DeadlineExceeded)

// awaitOverdue lets keys whose loader still runs although its context has ended wait for
// it, for a load timeout at most: a lease or a place that waited with them would be kept
// from others. In a batch they have a moment to return, and then go on each for itself.
func (b *Batch) awaitOverdue() {
	until := time.Now()
	if b.wanted() {
		until = until.Add(overdue)
	}
	keys := b.unfinished()
	for _, k := range keys {
		switch {
		case b.group.late(k.Name) == nil:
		case len(keys) == 1:
			b.awaitOne(k)
		case b.waitLate(k.Name, time.Until(until)) != nil:
			b.split([]*Key{k}, func(b *Batch) { b.awaitOne(k); b.proceed() })
		}
	}
}

// awaitOne waits for the overdue loader of the batch's only key. A refresh that nobody
// waits for does not wait.
func (b *Batch) awaitOne(k *Key) {
	most := b.group.Timeout
	wanted := b.wanted()
	if !wanted {
		most = 0
	}
	if err := b.waitLate(k.Name, most); err != nil {
		b.holdOff(k, overdue)
		b.finishUnloaded([]*Key{k}, wanted, b.problem(k, err))
	}
}

// waitLate waits until no loader of key runs whose context has ended. The error is that
// of the batch's context, or errOverdue.
func (b *Batch) waitLate(key string, most time.Duration) error {
	late := b.group.late(key)
	if late == nil {
		return nil
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	for ; late != nil; late = b.group.late(key) { // each turn one has returned
		select {
		case <-late:
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-timer.C:
			return errOverdue
		}
	}
	return nil
}

// problem is what the callers of k get for err.
func (b *Batch) problem(k *Key, err error) error {
	if errors.Is(err, errOverdue) {
		return b.group.Problem(k.Name, err)
	}
	return err
}

// late is closed when a loader of key returns whose context has ended; nil: none runs.
func (g *Group) late(key string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if late := g.overdue[key]; len(late) > 0 {
		return late[0].overdue
	}
	return nil
}

// Late reports whether a loader of key runs whose context has ended.
func (g *Group) Late(key string) bool { return g.late(key) != nil }

// overrun notes that the context of k's loader has ended while it runs.
func (g *Group) overrun(k *Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := k.flight; f.loadSeq != 0 && !f.returned && f.overdue == nil {
		f.overdue = make(chan struct{})
		g.overdue[k.Name] = append(g.overdue[k.Name], f)
	}
}

// hang notes that k's loader has been overdue for so long that somebody should be told.
// It reports false if it has returned.
func (g *Group) hang(k *Key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	k.flight.hung = k.flight.overdue != nil && !k.flight.returned
	return k.flight.hung
}

// returned notes that k's loader has returned, however it did, and reports whether it
// had hung.
func (g *Group) returned(k *Key) (hung bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := k.flight
	f.returned = true
	if f.overdue == nil {
		return false
	}
	close(f.overdue)
	late := slices.DeleteFunc(g.overdue[k.Name], func(l *Flight) bool { return l == f })
	if g.overdue[k.Name] = late; len(late) == 0 {
		delete(g.overdue, k.Name)
	}
	return f.hung
}

// Overdue is for how many keys a loader runs whose context has ended.
func (g *Group) Overdue() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, late := range g.overdue {
		n += len(late)
	}
	return n
}
