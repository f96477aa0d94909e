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
// A key that is put again while it is written stays dirty since the version that was
// written: so what was put before the flush began is older than what became dirty later.
func (e *Engine) Flush(ctx context.Context) error {
	var began []store.Gauge
	return e.await(ctx, func() (done bool, err error) {
		now, err := e.store.Gauges(ctx, e.parts)
		if err != nil {
			return false, err
		}
		if began == nil {
			began = now
		}
		for part, g := range now {
			if !g.Since.IsZero() && !g.Since.After(began[part].Now) {
				return false, nil
			}
		}
		return true, nil
	})
}

// FlushKey waits until key is not dirty at all, or ctx ends; then it returns
// ctx's error. A key that is put all the time may stay dirty. A dead letter of it cannot be
// retried any more: what follows is newer. Each look is a round trip.
func (e *Engine) FlushKey(ctx context.Context, key string) error {
	return e.await(ctx, func() (done bool, err error) {
		dirty, err := e.store.Overtake(ctx, e.PartitionOf(key), key)
		return !dirty, err
	})
}

// await looks until it is done, or ctx ends.
func (e *Engine) await(ctx context.Context, look func() (done bool, err error)) error {
	for wait := firstLook; ; wait = min(2*wait, longLook) {
		if done, err := look(); done || err != nil {
			return err
		}
		e.hurry()
		if !pause(ctx, wait, nil) {
			return ctx.Err()
		}
	}
}
