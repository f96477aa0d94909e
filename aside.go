package cache

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/telemetry"
)

// This file is the read path, from top to bottom in the order in which it
// happens: the call, the look-up (lookup.go, one round trip), what a hit does
// (refresh.go), and for a miss the flights (singleflight.go) of internal/load, which ask
// Redis and the loader by fill.go. What a record is good for is judged by internal/record;
// why a given key is not served, Explain tells (explain_action.go).

// GetOrLoad returns the value of key, calling load and storing its result if
// there is none. Concurrent calls for one key share one load, in this process
// and across all processes that share the Redis: callers of one load share its
// T, so a caller that modifies what T points to must copy it first.
//
// The load does not stop when ctx does, since others may wait for it: it runs
// with ctx's values, without its cancellation, for at most the load timeout,
// and is cancelled when nobody waits for it any more; if the last load of the key
// ended so, too, it is let finish. The caller does stop, and gets ctx's error.
//
// The error is load's, unchanged; one that means "no such record" also Is
// [ErrNotFound], and is remembered for the class's Absent: later calls get
// ErrNotFound alone. Other errors are never stored; after one the fleet backs
// off from the key for as long as the load took, at least 100 ms and at most
// 1 s: callers wait for that, or get [ErrBackoff] if they may not wait so long.
// A panic of load reaches every caller as a [*PanicError]. [ErrOverloaded] and
// [ErrClosed] are the others. A failing Redis is never an error here: the value
// is loaded and returned without being stored.
//
// A hit costs one round trip, a miss that loads three: the look-up, the lease, the commit.
// Where seven of eight look-ups find nothing the lease is asked for at once: a miss costs
// two, and a hit two, too. A flight stores with
// the options of the caller that started it, so calls for one key should use
// the same ones: [Cache.ReadThrough] binds them.
func (c *Cache[T]) GetOrLoad(ctx context.Context, key string, load Loader[T], opts ...EntryOption) (T, error) {
	if len(opts) > 0 || load == nil {
		return c.getOrLoadWith(ctx, key, load, opts)
	}
	hit, said := c.hitLocal(ctx, key, c.config.entry.class)
	if hit != nil {
		return hit.value, hit.err()
	}
	return c.getOrLoad(ctx, key, load, c.config.entry, said)
}

// getOrLoadWith is GetOrLoad with options, which are checked first.
func (c *Cache[T]) getOrLoadWith(ctx context.Context, key string, load Loader[T], opts []EntryOption) (v T, err error) {
	kept, err := c.config.entry.with(opts, c.region.Space)
	if err != nil {
		return v, &OpError{Op: "get", Key: key, Err: err}
	}
	return c.getOrLoad(ctx, key, load, kept, localUnasked)
}

// ReadThrough is a loader bound to a cache, with its options.
type ReadThrough[T any] struct {
	cache *Cache[T]
	load  Loader[T]
	entry entryPolicy
	err   error
}

// ReadThrough binds load and opts once, so that calls need not repeat them. A
// nil load or a bad option is reported by each Get.
func (c *Cache[T]) ReadThrough(load Loader[T], opts ...EntryOption) *ReadThrough[T] {
	kept, err := c.config.entry.with(opts, c.region.Space)
	return &ReadThrough[T]{cache: c, load: load, entry: kept, err: err}
}

// Get is [Cache.GetOrLoad] with the loader and the options that were bound.
func (r *ReadThrough[T]) Get(ctx context.Context, key string) (T, error) {
	if r.err != nil {
		var zero T
		return zero, &OpError{Op: "get", Key: key, Err: r.err}
	}
	said := localUnasked
	if r.load != nil {
		var hit *localEntry[T]
		if hit, said = r.cache.hitLocal(ctx, key, r.entry.class); hit != nil {
			return hit.value, hit.err()
		}
	}
	return r.cache.getOrLoad(ctx, key, r.load, r.entry, said)
}

// getOrLoad is a call that has heard from the L1 what it said.
func (c *Cache[T]) getOrLoad(ctx context.Context, key string, load Loader[T], e entryPolicy, said localState) (v T, err error) {
	if load == nil {
		return v, argError("get", key, "loader is nil")
	}
	began := c.tel.Begin(ctx)
	ctx, span := c.tel.Start(ctx, telemetry.OpGet)
	if said == localUnasked {
		var near result[T]
		if near, said, err = c.serveLocal(ctx, key, e.class); said == localServes {
			c.endLocal(ctx, span, began, key, near, err)
			return near.value, err
		}
	}
	got, err := c.getFar(ctx, request[T]{key: key, loader: load, entry: e, early: said == localElects})
	c.endGet(ctx, span, began, key, &got, err)
	return got.value, err
}

// getFar looks in Redis, and loads if the look-up finds nothing to serve.
func (c *Cache[T]) getFar(ctx context.Context, r request[T]) (result[T], error) {
	l := c.takeRoom()
	defer c.giveRoom(l)
	call := l.one(r, c.region.Flights.Now())
	if c.loadUnread(ctx, l) {
		return call.result, call.err
	}
	if c.lookup(ctx, l, l.only[:]); call.err == nil && !call.lookup.State.Serves() {
		call.missed = true
		c.serve(ctx, l, l.only[:])
	}
	return call.result, call.err
}

// endLocal is endGet for a look-up that the L1 has answered.
func (c *Cache[T]) endLocal(ctx context.Context, span trace.Span, began int64, key string, got result[T], err error) {
	c.tel.LookedUp(ctx, began, key, got.outcome)
	if span != nil {
		c.tel.EndLookup(ctx, span, telemetry.Lookup{Key: key, Outcome: got.outcome, Size: got.size, TTL: got.ttl, Err: err})
	}
}

// endGet counts a look-up and ends its span.
func (c *Cache[T]) endGet(ctx context.Context, span trace.Span, began int64, key string, got *result[T], err error) {
	c.tel.LookedUp(ctx, began, key, got.outcome)
	if span != nil {
		c.tel.EndLookup(ctx, span, c.looked(key, got, err))
	}
}

// endGetMany counts the look-ups of a batch, measures it as one call, and ends its span.
func (c *Cache[T]) endGetMany(ctx context.Context, span trace.Span, began int64, all []*call[T]) {
	c.tel.LookedUpMany(ctx, began, all[0].key, c.countMany(all))
	c.endSpanOfMany(ctx, span, all)
}

// countMany counts look-ups, and reports whether all are hits.
func (c *Cache[T]) countMany(all []*call[T]) bool {
	hit := true
	for _, l := range all {
		c.tel.Look(l.key, l.result.outcome)
		hit = hit && l.result.outcome != telemetry.Miss
	}
	return hit
}

// endSpanOfMany ends the span of a batch.
func (c *Cache[T]) endSpanOfMany(ctx context.Context, span trace.Span, all []*call[T]) {
	if span == nil {
		return
	}
	lookups := make([]telemetry.Lookup, len(all))
	for i, l := range all {
		lookups[i] = c.looked(l.key, &l.result, l.err)
	}
	c.tel.EndLookups(ctx, span, lookups)
}

// looked is a look-up as spans tell of it.
func (c *Cache[T]) looked(key string, got *result[T], err error) telemetry.Lookup {
	return telemetry.Lookup{
		Key: key, Outcome: got.outcome, Size: c.sizeOf(key, got, err), TTL: got.ttl,
		Asked: got.asked, Refused: got.refused, Err: err,
	}
}

// sizeOf is the encoded size of what a look-up returns for a span, -1 if that
// is no value. A value that was loaded and not stored has not been encoded yet.
func (c *Cache[T]) sizeOf(key string, got *result[T], err error) (size int) {
	switch {
	case err != nil:
		return -1
	case got.size >= 0 || !got.loaded:
		return got.size
	}
	size = -1
	_ = contain(func() error { // a codec that panics on the value: no size
		data, err := c.values.append(nil, key, got.value)
		if err == nil {
			size = len(data)
		}
		return err
	})
	return size
}
