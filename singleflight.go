package cache

import (
	"context"
	"sync"
	"sync/atomic"
)

// This file decides who shares a load. A flight is one load of one key by this
// process. It runs on a goroutine of its own and belongs to all who wait for
// it; what it found is given to a waiter only if the waiter could have found
// it by itself:
//
//	(a) the command that proves it current (an accepted commit, a poll's read,
//	    an acquire that answered with a record) was sent after the waiter had
//	    joined; or
//	(b) the loader was called after the waiter's own call had begun; or
//	(c) it is an error.
//
// Everybody else starts over with a read of their own. Without the rule, this
// happens (model variant 26b):
//
//  1. R1 loads v1 and sends its commit; Redis accepts it.
//  2. W updates the row to v2 and invalidates it: both done, W returns.
//  3. R2 starts, misses, and joins R1, whose commit is not answered yet.
//  4. R1's reply arrives: accepted. R2 returns v1, older than W's v2.
//
// So a flight is sealed before its commit is sent (26c): R2 finds it sealed,
// waits for its end and reads for itself.

// flight is one load of one key. The group's mutex guards the fields above
// done; result is written before done is closed and only read after.
type flight[T any] struct {
	tags       []tagRef // that what it stores depends on
	waiters    int      // callers that want the result; at 0 the load is cancelled
	attending  int      // callers that have seen it and wait for its end only
	background bool     // a refresh: goes on without waiters
	proofs     int      // proving commands sent so far
	loadSeq    uint64   // when the loader was called; 0: not yet
	leased     bool     // the loader runs under a lease
	returned   bool     // the loader has returned
	hung       bool     // it did not, for a while after its context had ended
	solo       bool     // for a call in its last round: it ends with a value or an error
	batch      bool     // one of several that are loaded together
	sealed     bool     // a commit is on its way: nobody joins
	detached   bool     // overtaken by a change: nobody joins, it does not commit
	landed     bool
	finishes   bool          // it goes on without waiters: the last load of the key was abandoned
	impatient  bool          // a waiter has waited for another process before
	overdue    chan struct{} // closed when the loader returns whose context has ended; nil: it has not
	hurry      chan struct{} // non-nil while the flight waits for another process

	done   chan struct{}
	result landing[T]
	cancel context.CancelFunc
}

// role is what a caller does about a flight.
type role uint8

const (
	lead   role = iota // the flight is the caller's own: run it
	follow             // joined: wait for its result
	attend             // not entitled to its result: wait for its load, then start over
	settle             // sealed: wait for its commit, then start over
)

// group holds the flights of a cache.
type group[T any] struct {
	seq     atomic.Uint64  // loader calls so far: the clock of rule (b)
	running sync.WaitGroup // flights' goroutines

	mu      sync.Mutex // protects following
	current map[string]*flight[T]
	all     map[*flight[T]]struct{} // also those that were detached or replaced
	closed  bool

	// overdue has, by key, the flights whose loader still runs although its context
	// has ended: the key is not loaded again before it returns.
	overdue map[string][]*flight[T]
	// abandoned has keys whose load was cancelled because nobody waited for it any
	// more. The next load of such a key is let finish: else callers that come one
	// after the other, each with less time than a load takes, would begin loads for
	// ever and never have one stored.
	abandoned map[string]struct{}
}

// maxAbandoned is how many keys abandoned holds; one more makes it forget the others.
const maxAbandoned = 1024

func newGroup[T any]() *group[T] {
	return &group[T]{
		current: map[string]*flight[T]{}, all: map[*flight[T]]struct{}{},
		overdue: map[string][]*flight[T]{}, abandoned: map[string]struct{}{},
	}
}

// now is the time on the clock of rule (b): a caller notes it when its call begins.
func (g *group[T]) now() uint64 { return g.seq.Load() }

// boarding is what a call says of itself when it joins a flight.
type boarding struct {
	began  uint64 // when the call began, on the clock of rule (b)
	waited bool   // it has waited for a load once, and does not do so again for one that began before it
	solo   bool   // it is in its last round
	nested bool   // a loader makes it
	batch  bool   // it is about several keys
}

// join finds the flight of key that a caller waits for, or makes one. The
// caller must run a flight it leads. ticket is what entitles wants to know later.
func (g *group[T]) join(key string, b boarding) (f *flight[T], ticket int, as role, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, 0, lead, ErrClosed
	}
	beside := false
	if f = g.current[key]; f != nil {
		beside = b.nested && f.batch
		switch as = f.roleLocked(b); as {
		case settle, attend:
			f.attending++
			return f, 0, as, nil
		case follow:
			f.waiters++
			f.solo = f.solo || b.solo
			f.hurryLocked(b.waited)
			return f, f.proofs, as, nil
		}
	}
	f = g.newFlightLocked(key)
	f.waiters, f.impatient, f.solo, f.batch = 1, b.waited || beside, b.solo, b.batch
	return f, 0, lead, nil
}

// roleLocked is what a caller does about the key's flight. One in its last round
// joins only what it is entitled to however that ends: a loader that was called after
// its call began, or a load that has asked Redis for nothing yet. One made by a loader
// does not wait for a batch: that lands when its loader has returned, and may wait for
// this very call. It loads for itself, without waiting for the batch's lease.
func (f *flight[T]) roleLocked(b boarding) role {
	switch {
	case b.nested && f.batch:
		return lead
	case b.solo && (f.loadSeq > b.began || f.loadSeq == 0 && f.proofs == 0 && !f.background):
		return follow
	case b.solo:
		return lead
	case f.sealed:
		return settle
	case f.loadSeq == 0, f.loadSeq > b.began, f.leased && !b.waited:
		return follow
	case !b.waited:
		return attend
	}
	return lead
}

// foresee is the role of a caller that would come now.
func (g *group[T]) foresee(key string) role {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.current[key]; f != nil {
		return f.roleLocked(boarding{began: g.now()})
	}
	return lead
}

// begin makes a background flight of key, or returns nil if the key has a
// flight or the group is closed.
func (g *group[T]) begin(key string) *flight[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.current[key] != nil {
		return nil
	}
	f := g.newFlightLocked(key)
	f.background = true
	return f
}

func (g *group[T]) newFlightLocked(key string) *flight[T] {
	f := &flight[T]{done: make(chan struct{})}
	g.current[key] = f
	g.all[f] = struct{}{}
	g.running.Add(1)
	return f
}

// hurryLocked notes that a waiter will not wait for another process any more,
// and ends such a wait if the flight is in one.
func (f *flight[T]) hurryLocked(waited bool) {
	if !waited || f.impatient {
		return
	}
	f.impatient = true
	if f.hurry != nil {
		close(f.hurry)
		f.hurry = nil
	}
}

// await waits for f or for ctx, whichever ends first; a flight that has landed
// by then wins, so its result is not lost to a context that ended meanwhile.
func (g *group[T]) await(ctx context.Context, key string, f *flight[T], as role) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
	}
	if as == lead || as == follow {
		g.leave(key, f)
	} else {
		g.attendNoMore(f)
	}
	select {
	case <-f.done:
		return nil
	default:
		return ctx.Err()
	}
}

// leave takes a waiter off f. When nobody waits any more the load is
// cancelled, and no later caller joins what was cancelled. If the last load of the
// key ended so, too, this one goes on.
func (g *group[T]) leave(key string, f *flight[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.waiters--
	if f.waiters > 0 || f.background || f.landed || f.sealed {
		return
	}
	if f.leased && !f.detached {
		if f.finishes {
			return
		}
		if len(g.abandoned) >= maxAbandoned {
			clear(g.abandoned)
		}
		g.abandoned[key] = struct{}{}
	}
	g.dropLocked(key, f)
	if f.cancel != nil {
		f.cancel()
	}
}

// attendNoMore: a caller does not wait for the end of f any more.
func (g *group[T]) attendNoMore(f *flight[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.attending--
}

// dropLocked takes f out of the way of later callers.
func (g *group[T]) dropLocked(key string, f *flight[T]) {
	if g.current[key] == f {
		delete(g.current, key)
	}
}

// start notes how to cancel f. It reports false if nobody waits for f any more.
func (g *group[T]) start(f *flight[T], cancel context.CancelFunc) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.cancel = cancel
	return !f.landed && (f.background || f.waiters > 0)
}

// wanted reports whether a caller waits for f.
func (g *group[T]) wanted(f *flight[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.waiters > 0
}

// prove numbers the next proving command, which the caller sends at once.
func (g *group[T]) prove(f *flight[T]) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.proofs++
	return f.proofs
}

// load notes that the loader is about to be called for f and returns the time on the
// clock of rule (b). It reports false if an earlier call of it for the key is overdue:
// then it must not be called.
func (g *group[T]) load(key string, f *flight[T], leased bool) (seq uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.overdue[key]) > 0 {
		return 0, false
	}
	f.loadSeq, f.leased = g.seq.Add(1), leased
	if leased {
		_, f.finishes = g.abandoned[key]
		delete(g.abandoned, key)
	}
	return f.loadSeq, true
}

// seal closes f to callers before its commit is sent, and numbers the commit
// as a proof. It reports false if a change overtook the flight: then nothing
// may be committed.
func (g *group[T]) seal(f *flight[T]) (proof int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.sealed = true
	f.proofs++
	return f.proofs, !f.detached
}

// patience begins a wait for another process: the channel is closed when a
// waiter will not wait. It is nil, meaning do not wait, if one would not.
func (g *group[T]) patience(f *flight[T]) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.impatient {
		return nil
	}
	f.hurry = make(chan struct{})
	return f.hurry
}

// land ends f for its waiters, once; later calls do nothing.
func (g *group[T]) land(key string, f *flight[T], result landing[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.landLocked(key, f, result)
}

func (g *group[T]) landLocked(key string, f *flight[T], result landing[T]) {
	if f.landed {
		return
	}
	f.landed, f.result = true, result
	g.dropLocked(key, f)
	close(f.done)
}

// end is the last thing a flight's goroutine does.
func (g *group[T]) end(f *flight[T]) {
	g.mu.Lock()
	delete(g.all, f)
	g.mu.Unlock()
	g.running.Done()
}

// close refuses new flights, gives every waiter ErrClosed, cancels the loads
// and waits for the goroutines. A loader that ignores its context is waited for.
func (g *group[T]) close() {
	g.mu.Lock()
	g.closed = true
	for f := range g.all {
		g.landLocked("", f, landing[T]{outcome: loadFailed, err: ErrClosed})
		if f.cancel != nil {
			f.cancel()
		}
	}
	clear(g.current)
	g.mu.Unlock()
	g.running.Wait()
}
