package load

import (
	"context"
)

// This file decides who shares a load. A flight is one load of one key by this
// process. It belongs to all who wait for it; what it found is given to a waiter only
// if the waiter could have found it by itself:
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

// Flight is one load of one key. The group's mutex guards the fields above done;
// result is written before done is closed and only read after.
type Flight struct {
	tags       []uint64 // ids of the tags that what it stores depends on
	waiters    int      // callers that want the result; at 0 the load is abandoned
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
	finished   bool
	completes  bool          // it goes on without waiters: the last load of the key was abandoned
	impatient  bool          // a waiter has waited for another process before
	overdue    chan struct{} // closed when the loader returns whose context has ended; nil: it has not
	wake       chan struct{} // wakes the batch that waits for another process; nil: it does not

	key    *Key // that is loaded; nil before the batch has started
	done   chan struct{}
	result Result
}

// Role is what a caller does about a flight.
type Role uint8

const (
	Lead       Role = iota // the flight is the caller's own: run it
	Share                  // wait for its result
	WaitLoad               // not entitled to its result: wait for its load, then start over
	WaitCommit             // sealed: wait for its commit, then start over
)

// Caller is what a call says of itself when it joins a flight.
type Caller struct {
	Began  uint64 // when the call began, by [Group.Now]
	Waited bool   // it has waited for a load once, and does not do so again for one that began before it
	Solo   bool   // it is in its last round
	Nested bool   // a loader makes it
	Batch  bool   // it is about several keys
}

// Seat is a caller's place at a flight.
type Seat struct {
	Role   Role
	flight *Flight
	key    string
	joined int    // how many proofs had been sent by then
	began  uint64 // of the call
}

// Join finds the flight of key that a caller waits for, or makes one, which the caller
// must run if it leads it. The error is [ErrClosed].
func (g *Group) Join(key string, c Caller) (Seat, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Seat{key: key, began: c.Began}
	if g.closed {
		return s, ErrClosed
	}
	beside := false
	if f := g.current[key]; f != nil {
		s.flight, s.Role = f, f.roleLocked(c)
		beside = c.Nested && f.batch
		switch s.Role {
		case WaitCommit, WaitLoad:
			f.attending++
			return s, nil
		case Share:
			f.waiters++
			f.solo = f.solo || c.Solo
			f.stopWaitingLocked(c.Waited)
			s.joined = f.proofs
			return s, nil
		}
	}
	f := g.newFlightLocked(key)
	f.waiters, f.impatient, f.solo, f.batch = 1, c.Waited || beside, c.Solo, c.Batch
	s.flight, s.Role = f, Lead
	return s, nil
}

// roleLocked is what a caller does about the key's flight. One in its last round
// joins only what it is entitled to however that ends: a loader that was called after
// its call began, or a load that has asked Redis for nothing yet. One made by a loader
// does not wait for a batch: that lands when its loader has returned, and may wait for
// this very call. It loads for itself, without waiting for the batch's lease.
func (f *Flight) roleLocked(c Caller) Role {
	switch {
	case c.Nested && f.batch:
		return Lead
	case c.Solo && (f.loadSeq > c.Began || f.loadSeq == 0 && f.proofs == 0 && !f.background):
		return Share
	case c.Solo:
		return Lead
	case f.sealed:
		return WaitCommit
	case f.loadSeq == 0, f.loadSeq > c.Began, f.leased && !c.Waited:
		return Share
	case !c.Waited:
		return WaitLoad
	}
	return Lead
}

// stopWaitingLocked notes that a waiter will not wait for another process any more,
// and wakes the batch if it does.
func (f *Flight) stopWaitingLocked(waited bool) {
	if !waited || f.impatient {
		return
	}
	f.impatient = true
	if f.wake != nil {
		select {
		case f.wake <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// Await waits for the end of the flight or of ctx, whose error it then returns. A
// flight that has finished by then wins, so its result is not lost to a context that
// ended meanwhile.
func (g *Group) Await(ctx context.Context, s Seat) error {
	select {
	case <-s.flight.done:
		return nil
	case <-ctx.Done():
	}
	g.leave(s)
	select {
	case <-s.flight.done:
		return nil
	default:
		return ctx.Err()
	}
}

// Result is what the flight found, and whether the caller may have it, by rules (a)
// and (b). Call it after [Group.Await] has returned nil.
func (s *Seat) Result() (r *Result, entitled bool) {
	r = &s.flight.result
	return r, r.proof > s.joined || r.loadSeq > s.began
}

// leave takes a caller off its flight. When nobody waits any more the load is abandoned,
// and no later caller joins it. If the last load of the key ended so, too, this one
// goes on.
func (g *Group) leave(s Seat) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := s.flight
	if s.Role == WaitLoad || s.Role == WaitCommit {
		f.attending--
		return
	}
	f.waiters--
	if f.waiters > 0 || f.background || f.finished || f.sealed {
		return
	}
	if f.leased && !f.detached {
		if f.completes {
			return
		}
		if len(g.abandoned) >= maxAbandoned {
			clear(g.abandoned)
		}
		g.abandoned[s.key] = struct{}{}
	}
	g.dropLocked(s.key, f)
	f.abandonLocked()
}

// abandonLocked tells the batch that nobody waits for the flight.
func (f *Flight) abandonLocked() {
	if f.key != nil {
		f.key.leave()
	}
}

// dropLocked takes f out of the way of later callers.
func (g *Group) dropLocked(key string, f *Flight) {
	if g.current[key] == f {
		delete(g.current, key)
	}
}

// start notes who loads. It reports false if nobody waits for the flight any more.
func (g *Group) start(k *Key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	k.flight.key = k
	return !k.flight.finished && (k.flight.background || k.flight.waiters > 0)
}

// wanted reports whether a caller waits for one of keys.
func (g *Group) wanted(keys []*Key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range keys {
		if k.flight.waiters > 0 {
			return true
		}
	}
	return false
}

// prove numbers the next proving command of each of keys, which the caller sends at once.
func (g *Group) prove(keys []*Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range keys {
		k.flight.proofs++
		k.proof = k.flight.proofs
	}
}

// call notes that the loader is about to be called for k. It reports false if an earlier
// call of it for the key is overdue: then it must not be called.
func (g *Group) call(k *Key, leased bool) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.overdue[k.Name]) > 0 {
		return false
	}
	f := k.flight
	f.loadSeq, f.leased = g.seq.Add(1), leased
	if leased {
		_, f.completes = g.abandoned[k.Name]
		delete(g.abandoned, k.Name)
	}
	k.loadSeq = f.loadSeq
	return true
}

// seal closes the flight to callers before its commit is sent, and numbers the commit
// as a proof. It reports false if a change overtook the flight: then nothing may be
// committed.
func (g *Group) seal(k *Key) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k.flight.sealed = true
	k.flight.proofs++
	k.proof = k.flight.proofs
	return !k.flight.detached
}

// answers reports whether the flight must end with a value or an error, since a call in
// its last round waits for it.
func (g *Group) answers(k *Key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return k.flight.solo
}

// finish ends a flight for its waiters, once; later calls do nothing.
func (g *Group) finish(key string, f *Flight, r Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finishLocked(key, f, r)
}

func (g *Group) finishLocked(key string, f *Flight, r Result) {
	if f.finished {
		return
	}
	f.finished, f.result = true, r
	g.dropLocked(key, f)
	close(f.done)
}

// end is the last thing that a batch does about a flight.
func (g *Group) end(f *Flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, f)
	g.endsLocked()
}
