package cache

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is the read path, from top to bottom in the order in which it
// happens: the call, the look-up (lookup.go, one round trip), what a hit does
// (refresh.go), and for a miss the flights (singleflight.go) of internal/load, which ask
// Redis and the loader by fill.go.

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
// A hit costs one round trip, a miss that loads three. A flight stores with
// the options of the caller that started it, so calls for one key should use
// the same ones: [Cache.ReadThrough] binds them.
func (c *Cache[T]) GetOrLoad(ctx context.Context, key string, load Loader[T], opts ...EntryOption) (T, error) {
	if len(opts) > 0 || load == nil {
		return c.getOrLoadWith(ctx, key, load, opts)
	}
	hit, said := c.hitNear(ctx, key, c.config.entry.class)
	if hit != nil {
		return hit.value, hit.answer()
	}
	return c.getOrLoad(ctx, key, load, c.config.entry, said)
}

// getOrLoadWith is GetOrLoad with options, which are checked first.
func (c *Cache[T]) getOrLoadWith(ctx context.Context, key string, load Loader[T], opts []EntryOption) (v T, err error) {
	kept, err := c.kept(opts)
	if err != nil {
		return v, &OpError{Op: "get", Key: key, Err: err}
	}
	return c.getOrLoad(ctx, key, load, kept, nearUnasked)
}

// ReadThrough is a loader bound to a cache, with its options.
type ReadThrough[T any] struct {
	cache *Cache[T]
	load  Loader[T]
	entry entry
	err   error
}

// ReadThrough binds load and opts once, so that calls need not repeat them. A
// nil load or a bad option is reported by each Get.
func (c *Cache[T]) ReadThrough(load Loader[T], opts ...EntryOption) *ReadThrough[T] {
	kept, err := c.kept(opts)
	return &ReadThrough[T]{cache: c, load: load, entry: kept, err: err}
}

// Get is [Cache.GetOrLoad] with the loader and the options that were bound.
func (r *ReadThrough[T]) Get(ctx context.Context, key string) (T, error) {
	if r.err != nil {
		var zero T
		return zero, &OpError{Op: "get", Key: key, Err: r.err}
	}
	said := nearUnasked
	if r.load != nil {
		var hit *held[T]
		if hit, said = r.cache.hitNear(ctx, key, r.entry.class); hit != nil {
			return hit.value, hit.answer()
		}
	}
	return r.cache.getOrLoad(ctx, key, r.load, r.entry, said)
}

// request is one call for one key.
type request[T any] struct {
	key    string
	loader loader[T] // nil in Get: look only
	entry  entry
	early  bool // the L1 has drawn that it refreshes the entry, unless somebody did
	many   bool // one of several keys
	warms  bool // of Warm: nothing stale will do
}

// call is a request under way.
type call[T any] struct {
	request[T]
	began  uint64    // on the flights' clock: rule (b) of internal/load
	round  int       // 1 to rounds: how many look-ups it makes, this one included
	missed bool      // a look-up found nothing to serve
	joined bool      // it waited for another caller's flight
	waited bool      // it waited for a load that was not for it; it does so once
	until  time.Time // when it stops waiting for back-offs; zero: it did not yet

	seen sight // by the last look-up
	seat load.Seat
	got  answer[T]
	err  error
}

// answer is what a call ends with, for the caller and for telemetry.
type answer[T any] struct {
	value   T
	outcome telemetry.Outcome
	size    int           // encoded bytes of the value; -1: not known
	ttl     time.Duration // until the soft expiry; of a miss, the class's Fresh
	asked   bool          // Redis was
	refused bool          // it was not, since the breaker is open
	loaded  bool          // the value is a load's
	kept    bool          // of a load: what it returned is in Redis
	problem error         // Redis's, why it is not
}

// getOrLoad is a call that has heard from the L1 what it said.
func (c *Cache[T]) getOrLoad(ctx context.Context, key string, load Loader[T], e entry, said nearState) (v T, err error) {
	if load == nil {
		return v, argError("get", key, "loader is nil")
	}
	began := c.tel.Begin(ctx)
	ctx, span := c.tel.Start(ctx, telemetry.OpGet)
	if said == nearUnasked {
		var near answer[T]
		if near, said, err = c.serveNear(ctx, key, e.class); said == nearServes {
			c.endNear(ctx, span, began, key, near, err)
			return near.value, err
		}
	}
	got, err := c.getFar(ctx, request[T]{key: key, loader: load, entry: e, early: said == nearElects})
	c.endGet(ctx, span, began, key, &got, err)
	return got.value, err
}

// getFar looks in Redis, and loads if the look-up finds nothing to serve.
func (c *Cache[T]) getFar(ctx context.Context, r request[T]) (answer[T], error) {
	one := call[T]{request: r, began: c.region.Flights.Now(), round: 1}
	c.look(ctx, &one)
	if one.err != nil || one.seen.State.Serves() {
		return one.got, one.err
	}
	waits := one // a hit needs no room on the heap
	waits.missed = true
	c.serve(ctx, []*call[T]{&waits})
	return waits.got, waits.err
}
