package load

import (
	"context"
	"errors"
	"time"
)

// loadLeased calls the loader for the batch's keys under their leases and stores what it
// returns, for those whose lease's token is still in the record by then: a change that
// overlapped the load has removed it, and the value, which may be older than the change,
// is not stored.
func (b *Batch) loadLeased() {
	keys := b.unfinished()
	wanted := b.wanted()
	leave, err := b.enter(leased, wanted)
	if err != nil {
		b.release(keys, 0)
		for _, k := range keys {
			b.holdOff(k, overdue) // else each hit of a stale entry would ask for a lease
		}
		b.finishUnloaded(keys, wanted, err)
		return
	}
	defer leave()
	keys = b.mayCall(keys, true)
	b.call(keys, leased, true)
	b.store(keys)
}

// loadUnleased calls the loader without leases. What it returns is stored nowhere,
// and shared by rule (b) of flight.go only. Where the records are why, rather than
// Redis, the load counts as one under a lease: that all entries are a newer program's
// is no outage, and nobody is refused for it.
func (b *Batch) loadUnleased() {
	b.dropUnwanted()
	keys := b.unfinished()
	if len(keys) == 0 {
		return
	}
	bound := leased
	for _, k := range keys {
		if !k.Barred {
			bound = unleased
		}
	}
	leave, err := b.enter(bound, true)
	if err != nil {
		b.finishUnloaded(keys, true, err)
		return
	}
	defer leave()
	keys = b.mayCall(keys, false)
	b.call(keys, bound, false)
	for _, k := range keys {
		b.finish(k, k.loaded())
	}
}

// dropUnwanted ends the flights that nobody waits for: without a lease a load is for those
// who wait alone, and a batch may still have others.
func (b *Batch) dropUnwanted() {
	for _, k := range b.unfinished() {
		if k.abandoned.Load() || b.refresh && !b.group.wanted([]*Key{k}) {
			b.finish(k, Abandoned)
		}
	}
}

// loaded is how a load ends whose value is stored nowhere.
func (k *Key) loaded() Outcome {
	if k.failed() {
		return Failed
	}
	return Loaded
}

// failed reports whether the loader's error is no answer.
func (k *Key) failed() bool { return k.Err != nil && !k.Absent }

// enter takes a place for a load, which leave gives back. A load that another one of
// this cache waits for has that one's place.
func (b *Batch) enter(bound bound, wait bool) (leave func(), err error) {
	if nestIn(b.ctx).of(b.group) {
		return func() {}, nil
	}
	if err := b.group.Places.enter(b.ctx, bound, wait); err != nil {
		return nil, err
	}
	return func() { b.group.Places.leave(bound) }, nil
}

// mayCall notes that the loader is about to be called for keys, and returns those for
// which it may be: an earlier call of it may have become overdue since the batch began,
// and has a moment to return. The others have finished.
func (b *Batch) mayCall(keys []*Key, leased bool) (ready []*Key) {
	until := time.Now().Add(overdue)
	var refused []*Key
	ready = keys[:0]
	for _, k := range keys {
		if k.Err = b.mayCallOne(k, leased, until); k.Err != nil {
			refused = append(refused, k)
		} else {
			ready = append(ready, k)
		}
	}
	if leased {
		b.release(refused, 0)
	}
	for _, k := range refused {
		k.Err = b.problem(k, k.Err)
		b.finish(k, Failed)
	}
	return ready
}

func (b *Batch) mayCallOne(k *Key, leased bool, until time.Time) error {
	if b.group.call(k, leased) {
		return b.ctx.Err()
	}
	if err := b.waitLate(k.Name, time.Until(until)); err != nil {
		return err
	}
	if !b.group.call(k, leased) {
		return errOverdue
	}
	return b.ctx.Err()
}

// call calls the loader for keys, for as long as the load timeout at most, and renews
// their leases meanwhile.
func (b *Batch) call(keys []*Key, bound bound, renews bool) {
	if len(keys) == 0 {
		return
	}
	began := time.Now()
	for _, k := range keys {
		k.Began = began
		k.Err = ErrGoexit // until it has returned
	}
	r := b.begin(keys, renews)
	defer r.returned()
	defer func() {
		took := time.Since(began)
		for _, k := range keys {
			k.Took = took
		}
	}()
	b.backend.Load(r.ctx, keys, b.group.Places.spare(bound))
}

// store stores what was loaded under leases, and ends the flights. A value that cannot
// be stored is returned all the same.
func (b *Batch) store(keys []*Key) {
	cancelled := errors.Is(b.ctx.Err(), context.Canceled) // nobody waits any more, or Close: no failure of the loader
	var ready, failed, given []*Key
	for _, k := range keys {
		switch {
		case k.failed() && cancelled:
			given = append(given, k)
		case k.failed() || !b.backend.Encode(k):
			failed = append(failed, k)
		case !b.group.seal(k):
			b.backend.Overtaken(k)
			given = append(given, k)
		default:
			ready = append(ready, k)
		}
	}
	b.releaseFailed(failed)
	b.release(given, 0)
	for _, k := range append(failed, given...) {
		b.finish(k, k.loaded())
	}
	if len(ready) > 0 {
		b.commit(ready)
	}
}

// commit sends the entries. Only an accepted commit proves a value to those who joined
// the flight, and only if the tokens that it depends on are still there behind the seal
// (model variant 34):
//
//  1. R1 loads v1 with T1, the token of its tag.
//  2. W updates the row to v2 and invalidates the tag: T2. W returns.
//  3. R2 starts, misses, and joins R1.
//  4. R1 commits v1 with T1: accepted, for nobody touched the record. It is
//     invalid to all readers, but R2 would be served v1.
func (b *Batch) commit(keys []*Key) {
	b.backend.Commit(b.base, keys)
	for _, k := range keys {
		k.Held = k.Verdict == Unknown // perhaps
		switch k.Verdict {
		case Committed:
			b.finish(k, Stored)
		case Older:
			b.finish(k, Outdated)
		default:
			b.finish(k, Loaded)
		}
	}
}
