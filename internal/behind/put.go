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

	// movingWait is for keys that are on their way to another node, each of so many times.
	movingWait  = 20 * time.Millisecond
	movingWaits = 50
)

// Put stores body, which was sealed for [Engine.RecordKey] and version 0, as the
// newest value of key and returns its version. When it returns nil the value is
// readable, and will be in the sink unless a newer one is. One round trip.
//
// With too many dirty keys it fails with ErrBackpressure if Options.Refuse, else
// waits, looking again after 5 ms, then less and less often, until there is room or
// ctx ends; the error then Is both ErrBackpressure and ctx's. Other errors:
// ErrClosed, nothing was stored; one that Is [store.ErrForeign], likewise; ctx's
// own and the store's, after which the put may still take effect. While a cluster moves the
// partition to another node it asks again, for a second.
func (e *Engine) Put(ctx context.Context, key string, body []byte) (version uint64, err error) {
	if !e.puts.enter() {
		return 0, ErrClosed
	}
	defer e.puts.inside.Done()
	for moved := 0; ; {
		put := [1]store.Put{{
			Partition: e.PartitionOf(key), Key: key, Body: body, MaxDirty: e.o.room(), Notice: e.o.notice(key),
		}}
		e.store.Put(ctx, put[:])
		switch {
		case store.Moving(put[0].Err) && moved < movingWaits:
			if moved++; pause(ctx, movingWait, nil) {
				continue
			}
			return 0, ctx.Err()
		case put[0].Err != nil || !put[0].Full:
			return put[0].Version, put[0].Err
		case e.o.Refuse:
			e.hurry()
			return 0, ErrBackpressure
		}
		if err := e.awaitRoom(ctx, key); err != nil {
			return 0, err
		}
	}
}

// awaitRoom waits until there is room for key.
func (e *Engine) awaitRoom(ctx context.Context, key string) error {
	e.waiting.Add(1)
	defer e.waiting.Add(-1)
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		e.hurry()
		t := time.NewTimer(wait/2 + rand.N(wait)) // those who wait do not come all at once
		select {
		case <-t.C:
		case <-e.puts.shutUp:
			t.Stop()
			return ErrClosed
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", ErrBackpressure, ctx.Err())
		}
		if room, err := e.store.HasRoom(ctx, e.PartitionOf(key), key, e.o.room()); room || err != nil {
			return err
		}
	}
}
