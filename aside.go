package cache

import (
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/record"
)

// This file is the read path, from top to bottom in the order in which it
// happens: the call, the look-up (one round trip), what a hit does, and for a
// miss the flight that loads (lock.go, fill.go) and who shares it
// (singleflight.go).

// Loader fetches the value of key from the system of record. It returns
// [ErrNotFound] (or what [WithNotFound] accepts) if there is none.
//
// It must read the primary, or a replica known to have caught up, and take its
// snapshot after it was called: never inside an older transaction. Its context
// carries the values of the call that caused the load, and ends with the load
// timeout, with Close, or when nobody waits any more (but see [Cache.GetOrLoad]). It is
// called without any lock held, on a goroutine of its own.
//
// With its context it may ask this cache for other keys: it must not wait, directly or
// through other loaders, for the key that it is to load, which is refused at once where
// the calls show it, and ends with the load timeout where two callers began at both ends.
type Loader[T any] func(ctx context.Context, key string) (T, error)

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
	kept, err := c.kept(opts)
	if err != nil {
		var zero T
		return zero, &OpError{Op: "get", Key: key, Err: err}
	}
	return c.getOrLoad(ctx, request[T]{key: key, load: load, entry: kept})
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
	return r.cache.getOrLoad(ctx, request[T]{key: key, load: r.load, entry: r.entry})
}

// request is one call for one key.
type request[T any] struct {
	key   string
	load  Loader[T] // nil in Get: look only
	early bool      // the L1 has drawn that it refreshes the entry, unless somebody did
	entry entry
	warms bool // of Warm: nothing stale will do
}

// call is a request under way.
type call[T any] struct {
	request[T]
	began  uint64    // on the flights' clock: rule (b) of singleflight.go
	round  int       // 1 to rounds: how many look-ups it makes, this one included
	missed bool      // a look-up found nothing to serve
	joined bool      // it waited for another caller's flight
	waited bool      // it waited for a load that was not for it; it does so once
	until  time.Time // when it stops waiting for back-offs; zero: it did not yet
}

// answer is what a call ends with, for the caller and for telemetry.
type answer[T any] struct {
	value   T
	outcome outcome
	size    int           // encoded bytes of the value; -1: not known
	ttl     time.Duration // until the soft expiry; of a miss, the class's Fresh
	asked   bool          // Redis was
	refused bool          // it was not, since the breaker is open
	loaded  bool          // the value is a load's
	kept    bool          // of a load: what it returned is in Redis
	problem error         // Redis's, why it is not
}

func (c *Cache[T]) getOrLoad(ctx context.Context, r request[T]) (T, error) {
	if r.load == nil {
		var zero T
		return zero, argError("get", r.key, "loader is nil")
	}
	began := c.tel.metrics.begin(ctx)
	ctx, span := c.tel.start(ctx, opGet)
	near, ok, early, err := c.serveNear(ctx, r.key, r.entry.class)
	if ok {
		c.endNear(ctx, span, began, r.key, near, err)
		return near.value, err
	}
	r.early = early
	got, err := c.serve(ctx, r)
	c.endGet(ctx, span, began, r.key, &got, err)
	return got.value, err
}

// serve looks, and loads if the look finds nothing to serve. A caller that may
// not have what a flight found looks again, in at most three rounds.
func (c *Cache[T]) serve(ctx context.Context, r request[T]) (got answer[T], err error) {
	call := call[T]{request: r, began: c.flights.now()}
	for call.round = 1; call.round <= rounds; call.round++ {
		var seen sight
		if seen, got, err = c.look(ctx, &call); err != nil || seen.State.Serves() {
			return got, err
		}
		call.missed = true
		again, err := c.join(ctx, &call, &seen, &got)
		if !again {
			return got, err
		}
	}
	return got, c.unanswered(ctx, r.key)
}

// errUnanswered is what no call may end with: the table in outcome.go has a row for
// each way in which the last round ends, but for the end of its caller's time.
var errUnanswered = errors.New("internal: no round has answered")

func (c *Cache[T]) unanswered(ctx context.Context, key string) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	return &OpError{Op: "get", Key: key, Err: errUnanswered}
}

// boards is what a call says of itself when it joins a flight.
func (c *call[T]) boards(ctx context.Context) boarding {
	return boarding{began: c.began, waited: c.waited, solo: c.round == rounds, nested: loadingIn(ctx) != nil}
}

// join waits for the key's flight, its own or another caller's. again says
// that the caller has to look again.
func (c *Cache[T]) join(ctx context.Context, call *call[T], seen *sight, got *answer[T]) (again bool, err error) {
	if err := c.checkCycle(ctx, call.key); err != nil {
		return false, c.orStale(ctx, call, seen, got, err)
	}
	f, ticket, as, err := c.flights.join(call.key, call.boards(ctx))
	if err != nil {
		return false, err
	}
	c.joined(call, as)
	if as == lead {
		c.launch(ctx, call.request, seen, f)
	}
	if err := c.flights.await(ctx, call.key, f, as); err != nil {
		return false, err
	}
	return c.landed(ctx, call, seen, got, f, ticket, as)
}

// joined counts a caller that shares another one's load, once.
func (c *Cache[T]) joined(call *call[T], as role) {
	if as == follow && !call.joined {
		call.joined = true
		c.tel.stats.coalesced.Add(1)
	}
}

// landed is what a caller makes of a flight that has ended.
func (c *Cache[T]) landed(ctx context.Context, call *call[T], seen *sight, got *answer[T], f *flight[T], ticket int, as role) (again bool, err error) {
	switch as {
	case attend:
		call.waited = true
		return true, nil
	case settle:
		return true, nil
	}
	return c.take(ctx, call, seen, got, &f.result, ticket)
}

// take is what a caller makes of the landing of a flight that it led or joined: the
// table in outcome.go.
func (c *Cache[T]) take(ctx context.Context, call *call[T], seen *sight, got *answer[T], result *landing[T], ticket int) (again bool, err error) {
	switch next(result.outcome, result.entitles(ticket, call.began), call.round) {
	case stepReturn:
		got.value, got.size, got.problem = result.value, result.size, result.problem
		got.kept = result.outcome == loadStored || result.outcome == loadFound
		got.loaded = true
		return false, c.orStale(ctx, call, seen, got, result.err)
	case stepWaitOutBackoff:
		return c.sitOut(ctx, call, seen, got, result.backoff)
	case stepStaleOrSolo:
		if c.orStale(ctx, call, seen, got, errLockWait) == nil {
			return false, nil
		}
		call.round, call.waited = rounds-1, true
		return true, nil
	}
	call.waited = call.waited || result.loadSeq != 0
	return true, nil
}

// orStale is err, or nil and the stale value that the caller's own look-up saw,
// if the class serves it in place of an error.
func (c *Cache[T]) orStale(ctx context.Context, call *call[T], seen *sight, got *answer[T], err error) error {
	if err == nil || isAbsent(err) || errors.Is(err, ErrClosed) {
		return err
	}
	if seen.State != record.StaleIfError {
		return c.orNear(ctx, call, got, err)
	}
	if c.open(call.key, &seen.Record, got) != nil || seen.State != record.StaleIfError {
		return err
	}
	got.outcome = outcomeStale
	c.tel.servedStale(ctx, call.key, seen.Age(), err)
	return nil
}

// orNear is err, or nil and what the L1 held when its messages ceased.
func (c *Cache[T]) orNear(ctx context.Context, call *call[T], got *answer[T], err error) error {
	v, size, age, ok := c.nearStale(call.key, call.entry.class)
	if !ok {
		return err
	}
	got.value, got.size, got.outcome = v, size, outcomeStale
	c.tel.servedStale(ctx, call.key, age, err)
	return nil
}

// sitOut waits for the end of the fleet's back-off, if the caller may wait so
// long, and has no stale value to serve meanwhile.
func (c *Cache[T]) sitOut(ctx context.Context, call *call[T], seen *sight, got *answer[T], left time.Duration) (again bool, err error) {
	if err := c.orStale(ctx, call, seen, got, ErrBackoff); err == nil {
		return false, nil
	}
	end := time.Now().Add(left)
	if call.until.IsZero() {
		call.until = time.Now().Add(c.config.lockWait())
	}
	deadline, bounded := ctx.Deadline()
	if call.round == rounds || end.After(call.until) || bounded && end.After(deadline) {
		return false, ErrBackoff
	}
	return true, c.sleep(ctx, left)
}

// refreshIfDue starts a refresh in the background for an entry that is served
// stale, or that XFetch elects early, and slides one that is in use. The caller
// does not wait for it.
func (c *Cache[T]) refreshIfDue(ctx context.Context, call *call[T], seen *sight) {
	if seen.State == record.Stale {
		c.tel.servedStale(ctx, call.key, seen.Age(), nil)
	}
	if call.load == nil || !call.entry.store || seen.Header.Kind == envelope.Dirty {
		return
	}
	if seen.State == record.Stale {
		c.refresh(ctx, call.request, seen)
		return
	}
	if class := call.entry.class; seen.Timed && class.Sliding && !seen.Absent {
		c.slideIfDue(ctx, call, seen, seen.Age())
	}
	left, soft, ok := seen.Remaining(call.entry.class.policy())
	if !ok {
		return
	}
	delta := expiry.Cost(seen.Body.Delta, seen.Body.EWMA)
	if call.early && left <= soft/2 || c.config.elects(left, soft, delta) {
		c.refresh(ctx, call.request, seen)
	}
}
