package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
)

// This file is Explain, and what the next GetOrLoad does, in the order in which aside.go
// and singleflight.go do it. Each question is put to the function that they ask; none is
// answered here.

// Explain says why the next [Cache.GetOrLoad] of key, with the options of New, will
// hit, wait or load, and what the entry looks like in this process and in Redis. It
// judges by the code that reads: the same states, and the acquire script run without
// its writes.
//
// It reads only. It takes no lease, renews neither token nor TTL, counts as no
// look-up and starts no span. It decodes the value, to see that it can be, and
// keeps nothing of it. Others go on meanwhile, so what it says holds for the moment
// at which it was called.
//
// It costs one round trip, and one more if the entry has tags that the options of
// New do not name; on a cluster per node. A Redis that does not answer is an
// [*OpError], with which the Explanation has what this process knows. Other errors:
// [ErrClosed], ctx's.
func (c *Cache[T]) Explain(ctx context.Context, key string) (Explanation, error) {
	x := &report[T]{
		cache: c, key: key, class: c.config.entry.class,
		Explanation: Explanation{Cache: c.name, Key: key, RedisKey: c.region.RedisKey(key)},
	}
	if err := c.usable(ctx); err != nil {
		return x.Explanation, err
	}
	x.noteProcess()
	err := x.inspect(ctx)
	if over := store.Ended(ctx); err != nil && over != nil {
		return x.Explanation, over
	}
	x.conclude(err)
	if err != nil {
		err = &OpError{Op: "explain", Key: key, Err: err}
	}
	return x.Explanation, err
}

// conclude fills in Action, Next and Refresh. failure is why Redis was not heard.
func (x *report[T]) conclude(failure error) {
	c := x.cache
	switch {
	case failure != nil:
		x.Record = ExplainedRecord{}
		x.Lease = ExplainedLease{}
		x.lookup.Record = record.Record{}
		x.lookup.bypass, x.lookup.failure = true, failure
	case x.meta != nil:
		x.lookup.bypass = true
	case c.overtaken(&x.lookup):
		x.Pending, x.lookup.bypass = true, true
	case x.lookup.State.Serves():
		x.decode()
	}
	x.Record.State, x.Record.Reason = x.state(), x.reason()
	if x.localServes() {
		return
	}
	switch {
	case x.panicked != nil:
		x.decide(ActionFail, "fails: the codec panics: %v", x.panicked)
	case x.lookup.bypass:
		x.misses()
	case x.lookup.State.Serves():
		x.hits()
	default:
		x.misses()
	}
}

// decode decodes the value, and forgets it. One that does not decode changes the
// record's state.
func (x *report[T]) decode() {
	err := contain(func() error { return x.cache.decode(x.key, &x.lookup.Record, &x.value) })
	var panicked *PanicError
	if errors.As(err, &panicked) {
		x.panicked = panicked.Value
	}
	x.value = result[T]{}
}

func (x *report[T]) state() string {
	if !x.Record.Asked {
		return ""
	}
	return [...]string{
		record.Missing: "none", record.Invalid: "invalid", record.Bypassed: "bypassed", record.Foreign: "foreign",
		record.Fresh: "fresh", record.Stale: "stale", record.StaleIfError: "stale-if-error", record.Expired: "expired",
	}[x.lookup.State]
}

func (x *report[T]) decide(a Action, format string, args ...any) {
	x.Action, x.Next = a, "GetOrLoad "+fmt.Sprintf(format, args...)
}

// localServes says what an L1 hit does. It reports false where the caller goes on to
// Redis: for certain, when it is the one who reads an ending entry again.
func (x *report[T]) localServes() bool {
	hit := x.local
	if hit.localEntry == nil || x.ending && !x.asked {
		return false
	}
	what, chance := "is served from this process's memory", ""
	if !x.asked && !x.class.Sliding {
		x.Refresh = x.cache.config.chance(hit.left, hit.Soft, hit.Delta)
		chance = x.chance()
	}
	if hit.Absent {
		x.decide(ActionAbsent, "returns ErrNotFound: this process's memory holds the absence%s", chance)
		return true
	}
	x.decide(ActionHitL1, "%s%s", what, chance)
	return true
}

// chance is Refresh in words.
func (x *report[T]) chance() string {
	switch {
	case x.Refresh >= 1:
		return ", and refreshes the entry in the background"
	case x.Refresh > 0:
		return fmt.Sprintf(", and with a chance of %.2g %% refreshes the entry in the background", 100*x.Refresh)
	}
	return ""
}

// hits says what a look-up does that has found something to serve.
func (x *report[T]) hits() {
	c, rec := x.cache, &x.lookup.Record
	dirty := rec.Header.Kind == envelope.Dirty
	willing := !dirty && !x.Loading && c.region.Flights.Refresh.Ready(x.key)
	if rec.State == record.Stale {
		x.stale(willing)
		return
	}
	if left, soft, ok := rec.Remaining(x.class.policy()); ok && willing {
		x.Refresh = c.config.chance(left, soft, expiry.Cost(rec.Body.Delta, rec.Body.EWMA))
	}
	switch {
	case dirty && rec.Absent:
		x.decide(ActionAbsent, "returns ErrNotFound: the deletion is on its way to the sink")
	case dirty:
		x.decide(ActionHit, "is served from Redis: the value is on its way to the sink")
	case rec.Absent:
		x.decide(ActionAbsent, "returns ErrNotFound: the absence is remembered%s", x.chance())
	default:
		x.decide(ActionHit, "is served from Redis%s", x.chance())
	}
}

// stale says what happens within StaleWhileRevalidate.
func (x *report[T]) stale(willing bool) {
	const what = "is served the stale value"
	switch granted := x.found.Acquire; {
	case granted.Answer == store.Busy:
		x.decide(ActionStale, what+", which %s is refreshing", x.Lease.Holder)
	case granted.Answer == store.BackingOff:
		x.decide(ActionStale, what+"; the last refresh failed, and the next may begin in %v", rounded(granted.Left))
	case !willing:
		x.decide(ActionStale, what+"; this process is refreshing it, or did so a moment ago")
	case x.cache.region.Obstacle(x.key, x.tags()) != "":
		x.decide(ActionStale, what+", and does not refresh it: %s", x.cache.region.Obstacle(x.key, x.tags()))
	default:
		x.Refresh = 1
		x.decide(ActionStale, what+" and refreshes it in the background")
	}
}

// tags are those that an entry in place of the record would have.
func (x *report[T]) tags() []region.Tag {
	tags, _ := x.cache.region.TagsInPlaceOf(&x.lookup.Record, x.cache.config.entry.tags)
	return tags
}

// misses says what a look-up does that has found nothing to serve: it joins a
// flight, or leads one.
func (x *report[T]) misses() {
	c := x.cache
	obstacle := c.region.Obstacle(x.key, x.tags())
	switch {
	case x.Loading:
		x.decide(ActionWait, "waits for the load that runs in this process")
	case x.meta != nil:
		x.bypasses(x.meta.Error())
	case errors.Is(x.lookup.failure, store.ErrOpen):
		x.bypasses("the breaker is open, since Redis did not answer lately")
	case x.lookup.failure != nil:
		x.bypasses("Redis does not answer")
	case x.lookup.pending, obstacle != "":
		x.bypasses(obstacle)
	case x.lookup.bypass:
		x.bypasses("an invalidation of one of its tags is queued here")
	case !x.lookup.State.Replaceable():
		x.bypasses(x.Record.Reason)
	default:
		x.acquires()
	}
}

// bypasses is a load whose value is not stored.
func (x *report[T]) bypasses(why string) {
	if why == "" { // it has ended between two looks
		why = "an invalidation was queued here a moment ago"
	}
	x.decide(ActionBypass, "loads without storing, because %s%s", why, x.fallback())
}

// spare is what an error or a long wait is replaced by, "" if there is nothing.
func (x *report[T]) spare() string {
	if x.lookup.State == record.StaleIfError {
		return "the stale value"
	}
	if e, _ := x.cache.findFallback(x.key, x.class); e != nil {
		return "what this process's memory holds"
	}
	return ""
}

func (x *report[T]) fallback() string {
	if spare := x.spare(); spare != "" {
		return "; if the load fails it returns " + spare
	}
	return ""
}

// acquires says what a flight does by what acquire would answer.
func (x *report[T]) acquires() {
	granted := x.found.Acquire
	if x.lookup.State == record.Invalid {
		granted = x.found.Invalid
	}
	switch granted.Answer {
	case store.Granted, store.GrantedOver:
		x.loads()
	case store.Busy:
		x.queues(granted.Left)
	case store.BackingOff:
		x.waitsOutBackoff(granted.Left)
	case store.Held:
		x.decide(ActionWait, "looks again: the record changes as it is read")
	default:
		x.bypasses("a write is in progress, or the record is not this library's")
	}
}

// loads is a load under a lease.
func (x *report[T]) loads() {
	what := ""
	switch {
	case x.Record.Reason != "":
		what = " and replaces the record: " + x.Record.Reason
	case x.Lease.Holder != "" && x.Lease.Left <= 0:
		what = ": the one of " + x.Lease.Holder + " has run out"
	case x.lookup.State >= record.Stale:
		what = ": the entry is past its soft TTL"
	}
	x.decide(ActionLoad, "loads after taking the lease%s%s", what, x.fallback())
}

// queues is what happens while somebody else has the lease.
func (x *report[T]) queues(left time.Duration) {
	lock := x.cache.config.lock
	switch {
	case lock.Off && x.lookup.State == record.StaleIfError:
		x.decide(ActionStale, "is served the stale value, since %s is loading and WithLock is off", x.Lease.Holder)
	case lock.Off:
		x.bypasses(x.Lease.Holder + " is loading and WithLock is off")
	default:
		x.decide(ActionWait, "waits for the load of %s, up to %v; its lease has %v left",
			x.Lease.Holder, rounded(x.cache.config.lockWait()), rounded(left))
	}
}

// waitsOutBackoff is what happens in a back-off.
func (x *report[T]) waitsOutBackoff(left time.Duration) {
	switch spare := x.spare(); {
	case spare != "":
		x.decide(ActionStale, "is served %s: the last load failed, and the next may begin in %v", spare, rounded(left))
	case left > x.cache.config.lockWait():
		x.decide(ActionBackoff, "returns ErrBackoff: the last load failed, and the next may begin in %v only", rounded(left))
	default:
		x.decide(ActionWait, "waits %v, because the last load failed, and then loads", rounded(left))
	}
}
