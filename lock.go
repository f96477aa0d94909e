package cache

import (
	"context"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
)

// The lease lives in the key's own record, so any DEL, eviction or flush kills
// it, which is the safe direction. Its deadline only says when another process
// may take the key over; a fill is fenced by its token alone.
const (
	leaseTime  = 3 * time.Second
	leaseRenew = 1 * time.Second
	// leaseRetain is the life of a record that holds only a lease, renewed with
	// it: long enough that a loader that was paused, and that nobody replaced,
	// can still commit.
	leaseRetain = 2*leaseTime + 10*time.Second
)

// lockWait is how long a caller waits for other processes.
func (c *config) lockWait() time.Duration {
	if c.lock.Wait > 0 {
		return c.lock.Wait
	}
	return c.loadTimeout
}

// trip is one flight on its way from acquire to landing; it belongs to the
// flight's goroutine.
type trip[T any] struct {
	request[T]
	cache    *Cache[T]
	flight   *flight[T]
	redisKey string
	refresh  bool            // in the background: gives way to whoever is loading
	alone    bool            // of a haul: loads without a lease
	ctx      context.Context //nolint:containedctx // of a haul: ends when nobody waits for this flight
	deserted atomic.Bool     // of a haul: nobody does
	wanting  atomic.Pointer[wanting]

	seen      record.Record  // as last read: what acquire compares the record with
	token     envelope.Token // the lease's, unique per acquire
	held      bool           // the lease may be ours: released at the end at the latest
	grantedAt int64          // Redis time of the grant in ms
	tags      []tagRef       // those of the call and of the record that was seen
	asking    moment         // before the acquire, for the L1
	mark      int64          // of the queue, before the record was read
	stamp     stamp          // captured with the lease, before the loader is called
	asked     time.Duration  // the acquire's round trip, part of the load's cost
	problem   error          // Redis's, why what is loaded is not stored
	asks      int            // how often acquire was asked
	waited    bool           // it has waited for another process
	waiting   trace.Span     // of that wait, while it lasts; nil: none
	landed    bool

	loadSeq   uint64 // the loader's call on the flights' clock
	loadBegan time.Time
	loadTook  time.Duration
	sent      time.Time // the commit
}

// launch runs f, which the caller leads, on a goroutine of its own.
func (c *Cache[T]) launch(ctx context.Context, r request[T], seen *sight, f *flight[T]) {
	t := &trip[T]{request: r, cache: c, flight: f, redisKey: seen.redisKey, seen: seen.Record}
	go t.run(context.WithoutCancel(ctx), seen.unread)
}

// run takes the flight from acquire to landing. The deferred crash is for a
// loader that calls Goexit.
func (t *trip[T]) run(ctx context.Context, unread bool) {
	defer t.cache.flights.end(t.flight)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer t.tidy(ctx)
	if !t.cache.flights.start(t.flight, cancel) {
		t.land(landing[T]{outcome: loadAbandoned})
		return
	}
	t.fly(ctx, unread)
}

// fly takes a flight that somebody wants to its landing, once no loader of its key is
// overdue here: a lease or a place that waited for one would be kept from others.
func (t *trip[T]) fly(ctx context.Context, unread bool) {
	wanted, most := !t.refresh || t.cache.flights.wanted(t.flight), t.cache.config.loadTimeout
	if !wanted {
		most = 0
	}
	if err := t.awaitOverdue(ctx, most); err != nil {
		t.cool(overdue)
		t.landWithoutPlace(wanted, err)
		return
	}
	if unread || !t.entry.store || !t.seen.State.Replaceable() {
		t.loadUnleased(ctx)
		return
	}
	t.acquire(ctx)
}

// givesWay reports whether the trip ends here because it refreshes in the
// background, somebody else is at the key, and nobody has joined it.
func (t *trip[T]) givesWay(left time.Duration) bool {
	if !t.refresh || t.cache.flights.wanted(t.flight) {
		return false
	}
	t.cool(min(left, max(expiry.Cost(t.seen.Body.Delta, t.seen.Body.EWMA), 10*time.Millisecond)))
	t.land(landing[T]{outcome: loadAbandoned})
	return true
}

// tidy ends a trip that did not land by itself, because the loader called
// Goexit, and gives back a lease whose fate is not known.
func (t *trip[T]) tidy(ctx context.Context) {
	aborted := !t.landed
	if t.held {
		backoff := time.Duration(0)
		if aborted {
			backoff = t.backoff()
		}
		t.release(context.WithoutCancel(ctx), backoff)
	}
	if aborted {
		t.land(landing[T]{outcome: loadFailed, err: &PanicError{Value: errGoexit, Stack: debug.Stack()}})
	}
}

func (t *trip[T]) land(result landing[T]) {
	t.landed = true
	result.loadSeq, result.problem = t.loadSeq, t.problem
	t.cache.flights.land(t.key, t.flight, result)
}

// acquires is how often a flight asks for its lease at most: first, after a record that
// changed and cannot be served, and after it has waited for another process.
const acquires = 3

// acquire asks for the lease until the flight has it, or has landed without, at most
// three times; then it loads without one.
//
// A key whose invalidation is queued is not asked about, also when that happened
// after the look-up that led here (model variant 61b):
//
//  1. R1 looks, misses, and is delayed.
//  2. W invalidates; Redis fails, the invalidation is queued, W returns.
//  3. R1 starts a flight. R2, which began after W, joins it.
//  4. Acquire answers with the old entry, proven after R2 had joined.
//
// Queueing comes before the detaching of flights: either the flight is detached,
// and nobody joins, or it sees the queue here.
func (t *trip[T]) acquire(ctx context.Context) {
	for t.mayAsk() && t.dependable() {
		t.asks++
		grant, proof, err := t.ask(ctx)
		if err != nil {
			break
		}
		if !t.granted(ctx, grant, proof) {
			return
		}
	}
	t.loadUnleased(ctx)
}

// mayAsk reports whether the flight may ask for its lease once more.
func (t *trip[T]) mayAsk() bool {
	return t.asks < acquires && t.seen.State.Replaceable()
}

// granted does what acquire's answer says. It reports true if the flight has not landed:
// it may ask again, or load without a lease.
func (t *trip[T]) granted(ctx context.Context, grant store.Grant, proof int) (goesOn bool) {
	switch grant.Answer {
	case store.Granted, store.GrantedOver:
		t.grantedAt = grant.Now
		t.loadLeased(ctx)
	case store.Held:
		return !t.receive(ctx, grant.Record, t.tags, grant.Tokens, proof)
	case store.Busy:
		return t.waitFor(ctx, grant.Left)
	case store.BackingOff:
		t.cool(grant.Left)
		t.land(landing[T]{outcome: loadBackoff, backoff: max(grant.Left, time.Millisecond)})
	default: // an open write, or a foreign record
		t.seen.State = record.Bypassed
		return true
	}
	return false
}

// dependable works out the tags that an entry will have, and reports whether one may
// be made: not while an invalidation of it is queued.
func (t *trip[T]) dependable() bool {
	c := t.cache
	var fit bool
	if t.tags, fit = c.tagsInPlaceOf(&t.seen, t.entry.tags); !fit {
		t.seen.State = record.Invalid
	}
	if c.obstacle(t.key, t.tags) != "" {
		return false
	}
	c.flights.depend(t.flight, t.tags)
	return true
}

// obstacle is why no entry of key with these tags may be made now, "" if one may.
func (c *Cache[T]) obstacle(key string, tags []tagRef) string {
	switch {
	case c.pending.has(key):
		return "an invalidation of the key is queued here"
	case c.pending.hasRefs(tags):
		return "an invalidation of one of its tags is queued here"
	}
	return ""
}

// ask sends one acquire, and captures the tokens that the entry will depend on:
// the clear token only where no lease of it holds. What it answers with is proven
// for the callers that joined before it was sent.
func (t *trip[T]) ask(ctx context.Context) (store.Grant, int, error) {
	c := t.cache
	t.token = envelope.NewToken()
	capture := captureKeys(t.tags, t.entry.class)
	clear, held := c.clear.current()
	if !held {
		capture = append(capture, c.clearKey())
	}
	t.asking = c.moment(t.key)
	proof := c.flights.prove(t.flight)
	t.mark = c.pending.mark()
	began := time.Now()
	grant, err := c.store.Acquire(ctx, t.redisKey, store.Acquire{
		Token: t.token, Lease: leaseTime, Retain: leaseRetain,
		Seen: t.seen.Header.CID, Invalid: t.seen.State == record.Invalid, Capture: capture,
	})
	t.asked = time.Since(began)
	t.held = err != nil && !store.NotSent(err) || grant.Answer == store.Granted || grant.Answer == store.GrantedOver
	if t.problem = err; err != nil {
		c.tel.redisFailed(opLoad, err)
		return grant, proof, err
	}
	if !held {
		clear = grant.Tokens[len(t.tags)]
		c.clear.learn(clear, began)
	}
	t.stamp = stampOf(clear, t.tags, grant.Tokens)
	return grant, proof, nil
}

// receive takes a record that acquire or a poll answered with, and the tokens of
// tags that were read beside it. It reports false if the record is none to serve;
// acquire is then asked about that one.
func (t *trip[T]) receive(ctx context.Context, rec store.Record, tags []tagRef, tokens []envelope.Token, proof int) bool {
	t.seen = t.cache.judge(ctx, t.entry.class, t.redisKey, &rec)
	if err := t.cache.verify(ctx, &t.seen, tags, tokens); err != nil {
		t.cache.tel.redisFailed(opLoad, err)
		t.seen.State = record.Bypassed
	}
	if t.seen.State != record.Fresh || t.cache.pending.concerned(t.cache.space, t.seen.Body.Tags, t.mark) {
		return false
	}
	got, absent := answer[T]{size: -1}, error(nil)
	if err := contain(func() error { absent = t.cache.open(t.key, &t.seen, &got); return nil }); err != nil {
		t.seen.State = record.Invalid
	}
	if t.seen.State != record.Fresh {
		return false
	}
	t.waitIsOver()
	t.land(landing[T]{outcome: loadFound, value: got.value, size: got.size, err: absent, proof: proof})
	return true
}

// waitFor waits while another process loads the key. It reports true if the flight has
// not landed: acquire is asked again when that load has ended without a value. It waits
// once: the second time, or when a caller does not want to wait, or when Lock.Wait is
// over, the flight goes its own way.
//
// The poll grows with the time waited, so a waiter is at most an eighth (and a
// round trip) later than the load, and asks at once when the lease runs out.
func (t *trip[T]) waitFor(ctx context.Context, left time.Duration) (goesOn bool) {
	config := &t.cache.config
	if t.givesWay(left) {
		return false
	}
	hurry := t.cache.flights.patience(t.flight)
	if config.lock.Off || t.waited || hurry == nil {
		return t.contend()
	}
	t.waited = true
	t.cache.tel.stats.lockWaits.Add(1)
	if !t.poll(ctx, left, hurry) {
		return t.contend()
	}
	return !t.landed
}

// poll reads the record until it is one to serve, with which the flight lands, or
// the lease has ended. It reports false when the wait is over before that.
func (t *trip[T]) poll(ctx context.Context, left time.Duration, hurry <-chan struct{}) bool {
	ctx, t.waiting = t.cache.tel.start(ctx, opLockWait)
	defer t.waitIsOver()
	w := wait{began: time.Now(), hurry: hurry, limit: t.cache.config.lockWait()}
	w.runsOut = w.began.Add(left)
	for w.pause(ctx) {
		proof := t.cache.flights.prove(t.flight)
		t.mark = t.cache.pending.mark()
		rec, tokens, err := t.cache.read(ctx, t.redisKey, t.entry.tags)
		if err != nil {
			t.cache.tel.redisFailed(opLockWait, err)
			return false
		}
		if t.receive(ctx, rec, t.entry.tags, tokens, proof) || w.over(t.seen.Header) {
			return true
		}
	}
	return false
}

// waitIsOver ends the span of a wait: before the flight lands, or that of a caller
// might end first.
func (t *trip[T]) waitIsOver() {
	t.cache.tel.end(t.waiting, nil)
	t.waiting = nil
}

// contend ends the wait for another process that loads for too long. A stale value that
// may be served instead of an error is served first; else the flight loads without a
// lease, as it does for a call in its last round.
func (t *trip[T]) contend() (goesOn bool) {
	if t.seen.State == record.StaleIfError && !t.cache.flights.answers(t.flight) {
		t.land(landing[T]{outcome: loadContended})
		return false
	}
	t.asks = acquires
	return true
}

// wait is one wait for another process's lease.
type wait struct {
	began   time.Time
	runsOut time.Time // when the lease's deadline passes, on this process's clock
	limit   time.Duration
	hurry   <-chan struct{}

	token envelope.Token // the lease that is waited for, from the first poll on
	until int64          // its deadline in Redis time
}

// pause sleeps until the next poll. It reports false when the wait is over.
func (w *wait) pause(ctx context.Context) bool {
	waited := time.Since(w.began)
	if waited >= w.limit {
		return false
	}
	next := min(max(waited/8, 2*time.Millisecond), 100*time.Millisecond)
	next = time.Duration(float64(next) * (0.75 + rand.Float64()/2))
	next = min(next, max(time.Until(w.runsOut), time.Millisecond), w.limit-waited)
	timer := time.NewTimer(next)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.hurry:
		return false
	case <-ctx.Done():
		return false
	}
}

// over reports whether the lease that is waited for has ended without a value:
// the record is gone, has another token, or nobody renewed it in time.
func (w *wait) over(h envelope.Header) bool {
	if h.Until == 0 || h.Token == envelope.NoToken {
		return true
	}
	if w.until == 0 {
		w.token, w.until = h.Token, h.Until
	}
	if h.Token != w.token {
		return true
	}
	w.runsOut = w.runsOut.Add(time.Duration(h.Until-w.until) * time.Millisecond)
	w.until = h.Until
	return !time.Now().Before(w.runsOut)
}
