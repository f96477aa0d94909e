package load

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrGoexit is why a key has no value whose loader called runtime.Goexit.
var ErrGoexit = errors.New("runtime.Goexit was called")

// Batch is keys on their way from missing to a result together, on one goroutine.
// Those that somebody else is at, or that may have no lease, leave it for a batch of
// their own.
type Batch struct {
	group   *Group
	backend Backend
	refresh bool   // in the background: gives way to whoever is loading
	keys    []*Key // that this goroutine must finish

	base    context.Context //nolint:containedctx // ends with nothing
	ctx     context.Context //nolint:containedctx // ends when nobody waits for any of the keys
	cancel  context.CancelFunc
	left    atomic.Int64            // keys that somebody waits for
	running atomic.Pointer[running] // the call of the loader; nil: none yet
}

// Lead makes k the key that the leader at the seat loads: Run is to be called with it. Item
// is the backend's own.
func (s *Seat) Lead(k *Key, item any) {
	k.Name, k.Item, k.Size, k.flight = s.key, item, -1, s.flight
}

// Run takes keys, whose flights the caller leads, to their results. Call it on a
// goroutine of its own: it uses ctx's values and does not end with it. refresh says that
// nobody need wait: it gives way to whoever is loading.
func (g *Group) Run(ctx context.Context, backend Backend, refresh bool, keys []*Key) {
	b := g.newBatch(ctx, backend, refresh, keys)
	defer b.cleanUp()
	b.start()
	b.awaitOverdue()
	b.proceed()
}

func (g *Group) newBatch(ctx context.Context, backend Backend, refresh bool, keys []*Key) *Batch {
	b := &Batch{group: g, backend: backend, refresh: refresh, keys: keys}
	if b.base = ctx; ctx.Done() != nil {
		b.base = context.WithoutCancel(ctx)
	}
	b.ctx, b.cancel = context.WithCancel(b.base)
	b.left.Store(int64(len(keys)))
	for _, k := range keys {
		if k.batch.Store(b); k.abandoned.Load() {
			b.lose(k)
		}
	}
	return b
}

// lose takes k off those that somebody waits for, once, by whoever takes the batch out
// of its place. Who abandons a key sets the mark and then looks whether there is a batch;
// the batch is there before it looks for the mark.
func (b *Batch) lose(k *Key) {
	if !k.batch.CompareAndSwap(b, nil) || b.left.Add(-1) != 0 {
		return
	}
	b.cancel()
	if r := b.running.Load(); r != nil {
		r.end()
	}
}

// start finishes the keys that nobody waits for any more.
func (b *Batch) start() {
	for _, k := range b.keys {
		if !b.group.start(k) {
			b.finish(k, Abandoned)
		}
	}
}

// proceed goes on with the keys that have not finished: it asks for their leases, and
// does what the answers say. Those that were granted are loaded together, those that have
// none together, and who has to wait waits together.
func (b *Batch) proceed() {
	granted, unleased, busy := b.lease(b.unfinished())
	b.share(
		part{busy, (*Batch).waitForOthers},
		part{unleased, (*Batch).loadUnleased},
		part{granted, (*Batch).loadLeased},
	)
}

// part is some of a batch's keys and what is done about them.
type part struct {
	keys []*Key
	do   func(*Batch)
}

// share does each part that has keys, the last of them here and the others in batches of
// their own.
func (b *Batch) share(parts ...part) {
	last := -1
	for i := range parts {
		if len(parts[i].keys) > 0 {
			last = i
		}
	}
	if last < 0 {
		return
	}
	b.splitAll(parts[:last])
	parts[last].do(b)
}

// splitAll does each part in a batch of its own.
func (b *Batch) splitAll(parts []part) {
	for _, p := range parts {
		if len(p.keys) > 0 {
			b.split(p.keys, p.do)
		}
	}
}

// split takes keys out of the batch: they go on in one of their own, on a goroutine of
// its own.
func (b *Batch) split(keys []*Key, do func(*Batch)) {
	gone := make(map[*Key]bool, len(keys))
	for _, k := range keys {
		gone[k] = true
	}
	left := make([]*Key, 0, len(b.keys))
	for _, k := range b.keys {
		if !gone[k] {
			left = append(left, k)
		}
	}
	b.keys = left
	for _, k := range keys {
		b.lose(k)
	}
	next := b.group.newBatch(b.base, b.backend, b.refresh, keys)
	go func() {
		defer next.cleanUp()
		do(next)
	}()
}

// unfinished are the keys that have no result yet.
func (b *Batch) unfinished() []*Key {
	open := make([]*Key, 0, len(b.keys))
	for _, k := range b.keys {
		if !k.finished {
			open = append(open, k)
		}
	}
	return open
}

// wanted reports whether the batch need not give way: it is no refresh, or a caller has
// joined one of its flights that have not ended.
func (b *Batch) wanted() bool { return !b.refresh || b.group.wanted(b.unfinished()) }

// finish ends k's flight.
func (b *Batch) finish(k *Key, o Outcome) { b.finishWith(k, k.result(o)) }

func (b *Batch) finishWith(k *Key, r Result) {
	k.finished = true
	b.lose(k)
	b.group.finish(k.Name, k.flight, r)
}

// result is what the flight has found, if it ends with o.
func (k *Key) result(o Outcome) Result {
	r := Result{Outcome: o, Problem: k.Problem, loadSeq: k.loadSeq}
	switch o {
	case Backoff:
		r.Backoff = time.Now().Add(max(k.Left, time.Millisecond))
	case Contended, Abandoned:
	case Failed:
		r.Size, r.Err = -1, k.Err
	default:
		r.Value, r.Size, r.Err = k.Value, k.Size, k.Err
		if o == Found || o == Stored && k.Proven || o == Loaded && k.Proven {
			r.proof = k.proof
		}
	}
	return r
}

// finishUnloaded ends flights that may not load now, for err. A refresh that nobody
// waited for is no failure: who has joined it meanwhile looks again.
func (b *Batch) finishUnloaded(keys []*Key, wanted bool, err error) {
	for _, k := range keys {
		if !wanted {
			b.finish(k, Abandoned)
			continue
		}
		k.Err = err
		b.finish(k, Failed)
	}
}

// cleanUp is the last thing that a batch does: it ends flights that have not ended,
// because the loader called Goexit, and gives back leases whose fate is not known.
func (b *Batch) cleanUp() {
	b.cancel()
	var held, aborted []*Key
	for _, k := range b.keys {
		switch {
		case k.Held && k.finished:
			held = append(held, k)
		case k.Held:
			aborted = append(aborted, k)
		}
	}
	b.release(held, 0)
	b.releaseFailed(aborted)
	for _, k := range b.keys {
		if !k.finished {
			k.Err = b.group.Problem(k.Name, ErrGoexit)
			b.finish(k, Failed)
		}
		b.group.end(k.flight)
	}
}

// holdOff keeps this process from refreshing k again for d.
func (b *Batch) holdOff(k *Key, d time.Duration) {
	if b.refresh && d > 0 {
		b.group.Refresh.HoldOff(k.Name, d)
	}
}
