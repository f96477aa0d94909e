package behind

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// Waits of a put for room.
const (
	firstWait = 5 * time.Millisecond
	lastWait  = 250 * time.Millisecond
)

// Put stores body, which was sealed for [Engine.RecordKey] and version 0, as the
// newest value of key and returns its version. When it returns nil the value is
// readable, and will be in the sink unless a newer one is. One round trip.
//
// With too many dirty keys it fails with ErrBackpressure if Options.Refuse, else
// waits, asking again after 5 ms, then less and less often, until there is room or
// ctx ends; the error then Is both ErrBackpressure and ctx's. Other errors:
// ErrClosed, nothing was stored; one that Is [store.ErrForeign], likewise; ctx's
// own and the store's, after which the put may still take effect.
func (e *Engine) Put(ctx context.Context, key string, body []byte) (version uint64, err error) {
	if !e.puts.enter() {
		return 0, ErrClosed
	}
	defer e.puts.leave()
	p := e.PartitionOf(key)
	put := store.Put{
		Partition: p, Key: key, Body: body, Notice: e.o.notice(key),
		MaxDirty: (e.o.MaxDirty + len(e.parts) - 1) / len(e.parts),
	}
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		version, full, err := e.store.Put(ctx, put)
		switch {
		case err != nil:
			return 0, err
		case !full:
			return version, nil
		}
		e.hurry()
		if e.o.Refuse {
			return 0, ErrBackpressure
		}
		if err := e.awaitRoom(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// awaitRoom waits for about d, so that those who wait do not come all at once.
func (e *Engine) awaitRoom(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-e.puts.closing():
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBackpressure, ctx.Err())
	}
}

// hurry makes the workers look for tickets now.
func (e *Engine) hurry() {
	for _, wake := range e.wake {
		select {
		case wake <- struct{}{}:
		default: // it will look anyway
		}
	}
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}
