package load

import (
	"math/rand/v2"
	"time"
)

// waitForOthers waits while other processes load the batch's keys, together. Those whose
// load has ended without a value ask for the lease again. A flight waits once: the second
// time, or when a caller does not want to wait, or when that takes too long, it goes its
// own way.
func (b *Batch) waitForOthers() {
	b.yield()
	w := &wait{batch: b, began: time.Now(), wake: make(chan struct{}, 1)}
	refused := w.begin(b.unfinished())
	if len(w.keys) == 0 {
		b.share(part{refused, (*Batch).contend})
		return
	}
	if len(refused) > 0 {
		b.split(refused, (*Batch).contend)
	}
	w.poll()
}

// yield ends the keys that are refreshed in the background and that nobody has joined,
// since somebody else is at them.
func (b *Batch) yield() {
	if !b.refresh {
		return
	}
	for _, k := range b.unfinished() {
		if !b.group.wanted([]*Key{k}) {
			b.holdOff(k, min(k.Left, max(k.Cost, 10*time.Millisecond)))
			b.finish(k, Abandoned)
		}
	}
}

// wait is a batch's wait for other processes' leases.
type wait struct {
	batch *Batch
	began time.Time
	wake  chan struct{} // a caller of one of the keys does not wait any more
	keys  []*Key        // that are waited for
}

// begin takes keys into the wait, but for those that may not wait, or not once more.
func (w *wait) begin(keys []*Key) (refused []*Key) {
	g := w.batch.group
	for _, k := range keys {
		if k.waited || g.Wait <= 0 || !g.waits(k, w.wake) {
			refused = append(refused, k)
			continue
		}
		k.waited = true
		k.lease, k.runsOut = Lease{}, w.began.Add(k.Left)
		w.keys = append(w.keys, k)
	}
	return refused
}

// waits notes how to wake k's wait. It reports false if a caller of k does not want to
// wait.
func (g *Group) waits(k *Key, wake chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	k.flight.wake = wake
	return !k.flight.impatient
}

// poll reads the keys until each is there, or free to be loaded, or has waited too long.
// What is ready goes on at once, in batches of its own; the last of it here.
func (w *wait) poll() {
	b := w.batch
	ctx, done := b.backend.Waiting(b.ctx, w.keys)
	for len(w.keys) > 0 { // for b.group.Wait at most
		contended := w.pause()
		if len(w.keys) > 0 {
			b.group.prove(w.keys)
			b.backend.Poll(ctx, w.keys)
		}
		served, free, unanswered := w.judge()
		if len(w.keys) == 0 {
			done() // before a flight ends: a caller's span might end first
		}
		for _, k := range served {
			b.finish(k, Found)
		}
		parts := []part{{append(contended, unanswered...), (*Batch).contend}, {free, (*Batch).proceed}}
		if len(w.keys) == 0 {
			b.share(parts...)
			return
		}
		b.splitAll(parts)
	}
}

// pause sleeps until the next poll, and takes those out that do not wait any more.
//
// The pause grows with the time waited, so a waiter is at most an eighth (and a round
// trip) later than the load, and asks at once when a lease runs out.
func (w *wait) pause() (contended []*Key) {
	b := w.batch
	waited := time.Since(w.began)
	over := waited >= b.group.Wait // a last poll was at its end
	next := min(max(waited/8, 2*time.Millisecond), 100*time.Millisecond)
	next = time.Duration(float64(next) * (0.75 + rand.Float64()/2))
	for _, k := range w.keys {
		next = min(next, max(time.Until(k.runsOut), time.Millisecond))
	}
	timer := time.NewTimer(min(next, b.group.Wait-waited))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
	case <-b.ctx.Done():
	}
	over = over || b.ctx.Err() != nil
	return w.take(func(k *Key) bool { return over || k.abandoned.Load() || !b.group.waits(k, w.wake) })
}

// take takes those keys out of the wait for which what is true.
func (w *wait) take(what func(*Key) bool) (taken []*Key) {
	left := w.keys[:0]
	for _, k := range w.keys {
		if what(k) {
			taken = append(taken, k)
		} else {
			left = append(left, k)
		}
	}
	w.keys = left
	return taken
}

// judge takes those out of the wait that need not wait any more, by the last poll.
func (w *wait) judge() (served, free, unanswered []*Key) {
	w.take(func(k *Key) bool {
		switch {
		case k.Answer == Served:
			served = append(served, k)
		case k.Answer == Unanswered:
			unanswered = append(unanswered, k)
		case k.leaseOver():
			free = append(free, k)
		default:
			return false
		}
		return true
	})
	return served, free, unanswered
}

// leaseOver reports whether the lease that k waits for has ended without a value: the
// record is gone, has another token, or nobody renewed it in time.
func (k *Key) leaseOver() bool {
	if k.Answer != Busy {
		k.Barred = k.Barred || k.Answer == Untouchable
		return true
	}
	if k.lease.Until == 0 {
		k.lease = k.Lease
	}
	if k.Lease.ID != k.lease.ID {
		return true
	}
	k.runsOut = k.runsOut.Add(time.Duration(k.Lease.Until-k.lease.Until) * time.Millisecond)
	k.lease = k.Lease
	return !time.Now().Before(k.runsOut)
}

// contend ends the wait for another process that loads for too long. A stale value that
// may be served instead of an error is served first; else the flight loads without a
// lease, as it does for a call in its last round.
func (b *Batch) contend() {
	for _, k := range b.unfinished() {
		if k.Fallback && !b.group.answers(k) {
			b.finish(k, Contended)
		}
	}
	b.loadUnleased()
}
