package behind

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// mostBytes is how much one read of records asks for, at most, unless it is one record: a
// client waits for the whole reply for as long as for any other.
const mostBytes = 1 << 20

// item is a dirty key on its way to the sink.
type item struct {
	store.Claimed
	tries  string // as the claim told
	failed int    // how often this process's sink did
	since  int64  // what the sink had taken when it was claimed
	size   int    // of its record

	mutation Mutation
	ttl      time.Duration // of the entry once it is written
	soft     time.Duration // how much of that it is fresh
	err      error         // nil: written
	alone    bool          // err is about nobody else
	judged   Judgement     // and says this
}

// deliver brings items to the sink and settles them, batch by batch, so that each is settled
// soon after it was written. It reports false if the sink seems to be out of order: it took
// nothing of several values, or nothing of the one it was probed with. One value that fails
// while nothing else is tried may as well be to blame itself.
//
// ctx is the engine's life, not a deadline: the sink has its own.
func (e *Engine) deliver(ctx context.Context, items []*item, probing bool) bool {
	if len(items) == 0 {
		return true
	}
	if err := e.measure(ctx, items); err != nil {
		e.failed(ctx, "read lengths", err)
		e.settle(ctx, items)
		return true
	}
	tried, written := 0, 0
	for len(items) > 0 && ctx.Err() == nil && (written > 0 || tried < 2) { // else the others would only fail, too
		batch := items[:e.batch(items)]
		items = items[len(batch):]
		ready := e.read(ctx, batch)
		if len(ready) > 0 {
			e.write(ctx, ready)
		}
		for _, it := range ready {
			tried++
			if it.err == nil {
				written++
			}
		}
		e.settle(ctx, batch)
	}
	e.settle(ctx, items)
	return written > 0 || tried == 0 || tried == 1 && !probing
}

// measure sorts items, those first that have failed least often, and of those the keys of a
// partition together, and notes how large they are.
func (e *Engine) measure(ctx context.Context, items []*item) error {
	for _, it := range items {
		it.err = errUntried
		it.failed = e.failures.of(it.Key)
	}
	slices.SortStableFunc(items, func(a, b *item) int { return cmp.Compare(a.failed, b.failed) })
	names := make([]string, len(items))
	for i, it := range items {
		names[i] = it.Partition.Record(it.Key)
	}
	sizes, err := e.store.Sizes(ctx, names)
	for i, it := range items {
		it.size = sizes[i]
	}
	return err
}

// batch returns how many of items, which are sorted, go to the sink together: as many as
// the one bears that has failed most often, and as a read brings.
func (e *Engine) batch(items []*item) int {
	n, bytes := 1, items[0].size
	for n < len(items) && n < e.o.together(items[n].failed) {
		if bytes += items[n].size; int64(bytes) > e.bytes.Load() {
			break
		}
		n++
	}
	return n
}

// read reads what keys hold, and returns those with something to write. What one read does
// not bring is read in halves; less is asked for from then on, and ever more again while
// that goes well.
func (e *Engine) read(ctx context.Context, items []*item) (ready []*item) {
	for len(items) > 0 {
		n := 1 // one MGET is for one slot
		for n < len(items) && items[n].Partition == items[0].Partition {
			n++
		}
		ready = append(ready, e.readOf(ctx, items[:n])...)
		items = items[n:]
	}
	return ready
}

func (e *Engine) readOf(ctx context.Context, items []*item) (ready []*item) {
	names, bytes := make([]string, len(items)), int64(0)
	for i, it := range items {
		names[i] = it.Partition.Record(it.Key)
		bytes += int64(it.size)
	}
	records, err := e.store.Records(ctx, names)
	switch {
	case err == nil:
		e.bytes.Store(min(max(e.bytes.Load(), 2*bytes), mostBytes))
	case len(items) == 1 || errors.Is(err, store.ErrOpen) || ctx.Err() != nil:
		e.failed(ctx, "read dirty keys", err)
		for _, it := range items {
			it.err = err // a failure, but no try
		}
		return nil
	default:
		e.bytes.Store(max(min(e.bytes.Load(), bytes/2), 1))
		return append(e.readOf(ctx, items[:len(items)/2]), e.readOf(ctx, items[len(items)/2:])...)
	}
	for i, it := range items {
		if e.prepare(it, records[i]) {
			ready = append(ready, it)
		}
	}
	return ready
}

// prepare decodes what was found. It reports whether there is something to write.
func (e *Engine) prepare(it *item, record []byte) bool {
	it.Version = store.VersionIn(record)
	h, body, err := envelope.Decode(record, it.Partition.Record(it.Key))
	switch {
	case it.Version == "":
		it.err, it.alone, it.judged = errLost, true, Permanent
		return false
	case err != nil: // a newer process may be able to read it
		it.err, it.alone, it.judged = err, true, Unreadable
		return false
	}
	it.soft, it.ttl = body.Soft, saturated(body.Soft, body.Grace)
	it.mutation = Mutation{
		Key: it.Key, Deleted: body.Absent, Version: h.Version, Codec: body.Codec, Schema: body.Schema,
		Proof: body.Proof, Proven: body.Proven,
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
