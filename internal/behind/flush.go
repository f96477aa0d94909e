package behind

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// Looks of one who waits for the workers.
const (
	firstLook = 2 * time.Millisecond
	longLook  = 50 * time.Millisecond
)

// Flush waits until everything that is dirty now is in the sink, in this version
// or a later one, or is a dead letter. The workers of this process do not wait
// for company meanwhile, but failed tries rest as long as ever. In a process
// that only puts it waits for the workers of others. It returns ctx's error, or
// that of a look into Redis that failed. Each look is a round trip per node.
//
// It takes two generations of tickets. The first does not suffice:
//
//  1. A worker takes the ticket of key k and reads version 1.
//  2. k is put again, version 2. It is dirty, so there is no second ticket.
//  3. Flush begins.
//  4. The worker acknowledges version 1; the ticket is gone, and k has a new one.
//
// The new ticket is of the second generation, and whoever takes it reads version
// 2 or a later one. A key without any ticket gets one.
func (e *Engine) Flush(ctx context.Context) error {
	gauges, err := e.store.Gauges(ctx, e.parts)
	if err != nil {
		return err
	}
	began := make([]uint64, len(gauges))
	for part, g := range gauges {
		// Rounded up: the gauge is cut to milliseconds, versions are in µs.
		began[part] = uint64(g.Now.Add(time.Millisecond).UnixMicro())
	}
	for range 2 {
		if gauges, err = e.drain(ctx, gauges); err != nil {
			return err
		}
	}
	// What was dirty then and still is has lost its ticket, or was put again, and
	// then its version is younger.
	for part, g := range gauges {
		if g.Dirty == 0 {
			continue
		}
		n, err := e.store.Sweep(ctx, group, e.parts[part], began[part])
		if err != nil {
			return err
		}
		if n > 0 {
			return e.Flush(ctx)
		}
	}
	return nil
}

// drain waits until the tickets of then are gone, and returns the gauges of that
// moment.
func (e *Engine) drain(ctx context.Context, then []store.Gauge) ([]store.Gauge, error) {
	for look := firstLook; ; look = min(2*look, longLook) {
		now, err := e.store.Gauges(ctx, e.parts)
		if err != nil {
			return nil, err
		}
		if drained(then, now) {
			return now, nil
		}
		e.hurry()
		if !pause(ctx, look, nil) {
			return nil, ctx.Err()
		}
	}
}

// drained reports whether every ticket that was there then is gone.
func drained(then, now []store.Gauge) bool {
	for part, g := range now {
		if g.Oldest != "" && !store.Later(g.Oldest, then[part].Newest) {
			return false
		}
	}
	return true
}

// FlushKey waits until key is not dirty at all, or ctx ends; then it returns
// ctx's error. A key that is put all the time may stay dirty. Each look is a
// round trip.
func (e *Engine) FlushKey(ctx context.Context, key string) error {
	for look := firstLook; ; look = min(2*look, longLook) {
		v, err := e.store.DirtyVersion(ctx, e.PartitionOf(key), key)
		if err != nil || v == 0 {
			return err
		}
		e.hurry()
		if !pause(ctx, look, nil) {
			return ctx.Err()
		}
	}
}
