package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// running is one call of the loader: its context, and who looks after it. One timer starts
// that goroutine, when the call takes so long that its leases must be renewed, or when its
// context ends: mostly there is none.
type running struct {
	nest
	batch  *Batch
	loads  []*Key
	renews bool

	ctx    context.Context //nolint:containedctx // the loader's: it ends with its time, and when nobody waits
	cancel context.CancelFunc
	timer  *time.Timer

	state   atomic.Int32   // untended until the loader has returned, or somebody looks after it
	keepers sync.WaitGroup // those who do
	moment  *time.Timer    // ends what is waited for no longer; nil: the context has not ended
}

// States of a call.
const (
	untended int32 = iota
	tended
	over
)

// begin makes the call of the loader for keys, which must end with returned.
func (b *Batch) begin(keys []*Key, renews bool) *running {
	r := &running{batch: b, loads: keys, renews: renews && b.group.Timeout > leaseRenew}
	r.nest.Context, r.nest.parent, r.nest.group, r.nest.keys = b.base, nestIn(b.base), b.group, make([]string, len(keys))
	for i, k := range keys {
		r.nest.keys[i] = k.Name
	}
	r.ctx, r.cancel = context.WithTimeout(&r.nest, b.group.Timeout)
	r.keepers.Add(1)
	r.timer = time.AfterFunc(min(leaseRenew, b.group.Timeout), r.tend)
	if b.running.Store(r); b.ctx.Err() != nil {
		r.end() // whoever ended it did not see r
	}
	return r
}

// end ends the context, since nobody waits for the loader any more.
func (r *running) end() {
	if r.cancel(); r.state.Load() == untended {
		r.timer.Reset(0)
	}
}

// tend looks after the call: it has the leases renewed, and when the context ends before
// the loader has returned, that is overdue. If it still has not returned a moment later,
// nobody waits for it any longer.
func (r *running) tend() {
	if !r.state.CompareAndSwap(untended, tended) {
		return
	}
	defer r.keepers.Done()
	if r.renews && r.ctx.Err() == nil {
		r.keepers.Go(r.renew)
	}
	<-r.ctx.Done()
	if r.nest.over.Load() {
		return
	}
	for _, k := range r.loads {
		r.group.overrun(k)
	}
	r.moment = time.AfterFunc(overdue, r.giveUp)
}

// renew renews the leases every second until none is held any more, or the context ends.
func (r *running) renew() {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for r.ctx.Err() == nil {
		if !r.batch.backend.Renew(r.ctx, r.loads) {
			return // taken over or invalidated: the commit will be refused
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
		}
	}
}

// giveUp ends the flights of a loader that has not returned a moment after its context had
// ended: with an error if its time was over; else nobody wanted its value, and who has
// waited for its end looks again.
func (r *running) giveUp() {
	g := r.group
	if !g.hang(r.loads[0]) {
		return // it has returned, and the batch finishes them
	}
	g.Hangs(true)
	for _, k := range r.loads {
		end := Result{Outcome: Abandoned}
		if errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
			end = Result{Outcome: Failed, Err: g.Problem(k.Name, context.DeadlineExceeded)}
		}
		g.finish(k.Name, k.flight, end)
	}
}

// returned is called when the loader has, and waits for who looks after it.
func (r *running) returned() {
	r.nest.over.Store(true)
	hung := false
	for _, k := range r.loads {
		hung = r.group.returned(k) || hung
	}
	r.cancel()
	r.timer.Stop()
	if !r.state.CompareAndSwap(untended, over) {
		r.keepers.Wait()
		if r.moment != nil {
			r.moment.Stop()
		}
	}
	if hung {
		r.group.Hangs(false)
	}
}
