package behind

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// Reasons for dead letters that do not come from the sink.
var (
	errLost     = errors.New("the record is gone: evicted, removed or overwritten")
	errSilent   = errors.New("delivered too often without an answer")
	errSinkExit = errors.New("the sink called Goexit")
)

// item is a dirty key on its way to the sink.
type item struct {
	part       int
	ticket     string
	key        string
	deliveries int // this one included

	version  uint64
	mutation Mutation
	ttl      time.Duration // of the entry once it is written
	soft     time.Duration // how much of that it is fresh
	tried    bool          // the sink was called with it
	err      error         // nil: written, or nothing to write
	final    bool          // no further try can help
	alone    bool          // err is about nobody else
}

// deliver brings items to the sink and settles their tickets. One that failed
// stays pending, which is all there is to a retry: the keeper finds it there.
//
// It reports false if the sink seems to be out of order: it took nothing of
// several values, or nothing of the one it was probed with. One value that fails
// while nothing else is tried may as well be to blame itself.
//
// ctx is the engine's life, not a deadline: the sink has its own.
func (e *Engine) deliver(ctx context.Context, items []*item, probing bool) bool {
	if len(items) == 0 {
		return true
	}
	e.flight.add(items)
	defer e.flight.remove(items)
	ready, done := e.sort(ctx, items)
	e.conclude(ctx, done)
	// Batch by batch, so that a ticket is settled soon after it was written and
	// does not age towards its take-over behind the others.
	tried, written := 0, 0
	for len(ready) > 0 && ctx.Err() == nil {
		n := e.batch(ready)
		e.write(ctx, ready[:n])
		for _, it := range ready[:n] {
			if it.tried {
				tried++
			}
			if it.err == nil {
				written++
			}
		}
		e.conclude(ctx, ready[:n])
		ready = ready[n:]
		if written == 0 && tried > 1 {
			break // the others would only lose a try each
		}
	}
	return written > 0 || tried == 0 || tried == 1 && !probing
}

// batch returns how many of items, which are sorted by deliveries, go to the sink
// together: as many as the most often delivered of them bears.
func (e *Engine) batch(items []*item) int {
	n := 1
	for n < len(items) && n < e.o.room(items[n].deliveries) {
		n++
	}
	return n
}

// sort reads what the dirty keys hold. Items that need no sink are done; those of
// a partition that could not be read are neither.
func (e *Engine) sort(ctx context.Context, items []*item) (ready, done []*item) {
	byPart := map[int][]*item{} // one MGET is for one slot
	for _, it := range items {
		byPart[it.part] = append(byPart[it.part], it)
	}
	var reads []store.DirtyRead
	var order [][]*item
	for part, its := range byPart {
		r := store.DirtyRead{Partition: e.parts[part]}
		for _, it := range its {
			r.Keys = append(r.Keys, it.key)
		}
		reads, order = append(reads, r), append(order, its)
	}
	found, err := e.store.ReadDirty(ctx, reads)
	e.failed(ctx, "read dirty keys", err)
	seen := map[string]bool{}
	for i, dirty := range found {
		for j, d := range dirty {
			it := order[i][j]
			again := seen[it.key]
			seen[it.key] = true
			switch {
			case again: // two tickets: one of them will find the key clean
			case e.prepare(it, d):
				ready = append(ready, it)
			default:
				done = append(done, it)
			}
		}
	}
	return ready, done
}

// prepare decodes what was found. It reports whether there is something to write.
func (e *Engine) prepare(it *item, d store.Dirty) bool {
	it.version = d.Version
	if d.Version == 0 { // written and settled under another ticket
		return false
	}
	h, body, err := envelope.Decode(d.Record, e.parts[it.part].Record(it.key))
	switch {
	case errors.Is(err, envelope.ErrTruncated), errors.Is(err, envelope.ErrForeign), errors.Is(err, envelope.ErrNoBody):
		it.err, it.final = fmt.Errorf("%w: %w", errLost, err), true
	case err != nil: // a newer process may be able to read it
		it.err, it.alone = err, true
	case h.Kind != envelope.Dirty || h.Version < d.Version: // the version was read first
		it.err, it.final = errLost, true
	case it.deliveries > 2*e.o.MaxAttempts: // whoever gets it does not live to tell
		it.err, it.final = errSilent, true
	}
	if it.err != nil {
		return false
	}
	it.version, it.soft, it.ttl = h.Version, body.Soft, saturated(body.Soft, body.Grace)
	it.mutation = Mutation{
		Key: it.key, Deleted: body.Absent, Version: h.Version, Codec: body.Codec, Schema: body.Schema,
	}
	if !body.Absent {
		it.mutation.Payload = body.Payload
	}
	return true
}

// saturated adds two durations that are not negative.
func saturated(a, b time.Duration) time.Duration {
	if sum := a + b; sum >= 0 {
		return sum
	}
	return 1<<63 - 1
}

// conclude acknowledges what is written, buries what is given up, and leaves the
// rest. It is not cancelled with ctx: what is written is written.
func (e *Engine) conclude(ctx context.Context, items []*item) {
	var acks, dead []store.Settlement
	var victims []*item // of dead, in its order
	for _, it := range items {
		s := store.Settlement{
			Partition: e.parts[it.part], Ticket: it.ticket, Key: it.key, Version: it.version,
			TTL: it.ttl, Soft: it.soft, Notice: e.o.notice(it.key),
		}
		switch {
		case it.err == nil:
			acks = append(acks, s)
		// Failed tries of a neighbour's do not count, nor that the engine was closed.
		case it.final, it.alone && it.deliveries >= e.o.MaxAttempts && ctx.Err() == nil:
			s.Reason = it.err.Error()
			dead, victims = append(dead, s), append(victims, it)
		}
	}
	ctx = context.WithoutCancel(ctx)
	_, errs := e.store.Ack(ctx, group, acks)
	e.failed(ctx, "acknowledge", errors.Join(errs...))
	answers, errs := e.store.Bury(ctx, group, dead)
	e.failed(ctx, "move to the dead letters", errors.Join(errs...))
	for i, it := range victims {
		if errs[i] == nil && answers[i] == store.SettledClean && e.o.Hooks.DeadLetter != nil {
			e.o.Hooks.DeadLetter(it.key, it.version, it.err)
		}
	}
}
