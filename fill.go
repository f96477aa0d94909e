package cache

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/store"
)

// takePlace takes a place for a load; taken says that it must be given back. A load
// that another one of this cache waits for has that one's place.
func (c *Cache[T]) takePlace(ctx context.Context, class placeClass, wait bool) (taken bool, err error) {
	if loadingIn(ctx).of(c) {
		return false, nil
	}
	err = c.places.enter(ctx, class, wait)
	return err == nil, err
}

// loadLeased calls the loader under the lease and stores what it returns, if
// the lease's token is still in the record by then: a change that overlapped
// the load has removed it, and the value, which may be older than the change,
// is not stored.
func (t *trip[T]) loadLeased(ctx context.Context) {
	wanted := !t.refresh || t.cache.flights.wanted(t.flight)
	taken, err := t.cache.takePlace(ctx, leased, wanted)
	if err != nil {
		t.release(context.WithoutCancel(ctx), 0)
		t.cool(overdue) // a refresh: else each hit of a stale entry would ask for a lease
		t.landWithoutPlace(wanted, err)
		return
	}
	if taken {
		defer t.cache.places.leave(leased)
	}
	v, err := t.callLoader(ctx, true)
	switch {
	case err == nil:
		t.fill(context.WithoutCancel(ctx), v, nil)
	case isAbsent(err):
		t.fill(context.WithoutCancel(ctx), v, err)
	default:
		backoff := t.backoff()
		if errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, errOverdue) {
			backoff = 0 // nobody waits any more, or Close: no failure of the loader; or it was not called
		}
		t.cool(backoff)
		t.release(context.WithoutCancel(ctx), backoff)
		t.land(landing[T]{outcome: loadFailed, err: err})
	}
}

// landWithoutPlace ends a flight that may not load now, for err. A refresh that nobody waited for
// is no failure: who has joined it meanwhile looks again.
func (t *trip[T]) landWithoutPlace(wanted bool, err error) {
	if !wanted {
		t.land(landing[T]{outcome: loadAbandoned})
		return
	}
	t.land(landing[T]{outcome: loadFailed, err: err})
}

// loadUnleased calls the loader without a lease. What it returns is stored nowhere,
// and shared by rule (b) of singleflight.go only. Where the record is why, rather than
// Redis, the load counts as one under a lease: that all entries are a newer program's
// is no outage, and nobody is refused for it.
func (t *trip[T]) loadUnleased(ctx context.Context) {
	wanted := !t.refresh || t.cache.flights.wanted(t.flight)
	if !wanted || ctx.Err() != nil {
		t.land(landing[T]{outcome: loadAbandoned})
		return
	}
	class := unleased
	if !t.seen.State.Replaceable() {
		class = leased
	}
	taken, err := t.cache.takePlace(ctx, class, true)
	if err != nil {
		t.land(landing[T]{outcome: loadFailed, err: err})
		return
	}
	if taken {
		defer t.cache.places.leave(class)
	}
	v, err := t.callLoader(ctx, false)
	t.land(loadedOnly(v, err))
}

// loadedOnly is the end of a flight whose value is stored nowhere.
func loadedOnly[T any](v T, err error) landing[T] {
	result := landing[T]{outcome: loadOnly, value: v, size: -1, err: err}
	if err != nil && !isAbsent(err) {
		result.outcome = loadFailed
	}
	return result
}

// callLoader runs the loader, with its timeout, its span, and for a load under
// a lease the lease's renewal. A panic is returned as an error; Goexit runs the
// deferred calls and then trip.tidy.
func (t *trip[T]) callLoader(ctx context.Context, leased bool) (v T, err error) {
	c := t.cache
	if err := t.begin(ctx, leased, overdue); err != nil {
		return v, err
	}
	here := loadingFor(ctx, c, t.key)
	ctx, cancel := context.WithTimeout(here, c.config.loadTimeout)
	defer cancel()
	if leased {
		defer t.keepLease(ctx)()
	}
	defer c.watchLoader(ctx, here, t)()
	ctx, span := c.tel.start(ctx, opLoad)
	t.loadBegan = time.Now()
	err = errGoexit
	defer func() {
		t.loadTook = time.Since(t.loadBegan)
		c.tel.loaded(ctx, span, LoadEvent{Key: t.key, Refresh: t.refresh, Took: t.loadTook, Err: err})
	}()
	err = contain(func() (err error) {
		v, err = t.load(ctx, t.key)
		if err != nil && !isAbsent(err) && c.config.notFound(err) {
			err = absentError{err}
		}
		return err
	})
	return v, err
}

// contain calls user code and turns its panic into an error. Goexit passes.
func contain(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// fill stores what the loader returned, v or the absence that err says, and
// lands with it. The flight is sealed before the commit is sent.
func (t *trip[T]) fill(ctx context.Context, v T, absent error) {
	entry, result, err := t.prepare(v, absent)
	if err != nil {
		t.release(ctx, t.backoff())
		t.land(result)
		return
	}
	proof, ok := t.seal()
	if !ok {
		t.release(ctx, 0)
		t.land(result)
		return
	}
	t.commit(ctx, entry, proof, result)
}

// prepare encodes what the loader returned. With an error it cannot be stored, and
// is the landing's all the same.
func (t *trip[T]) prepare(v T, absent error) (*stored, landing[T], error) {
	c := t.cache
	result := landing[T]{outcome: loadOnly, value: v, size: -1, err: absent}
	cost := t.asked + t.loadTook
	entry := &stored{class: t.entry.class, stamp: t.stamp, absent: absent != nil, loadedAt: t.grantedAt, began: t.loadBegan, delta: cost, ewma: cost}
	if t.seen.Body.EWMA > 0 {
		entry.ewma = expiry.Average(cost, t.seen.Body.EWMA)
	}
	if err := contain(func() (err error) { return c.encode(entry, t.key, t.redisKey, v) }); err != nil {
		c.tel.unencodable(err)
		return nil, result, err
	}
	result.size = entry.size
	return entry, result, nil
}

// seal closes the flight to callers. It reports false if a change made through this
// process overtook the load, whose value is then not stored.
func (t *trip[T]) seal() (proof int, ok bool) {
	proof, ok = t.cache.flights.seal(t.flight)
	if !ok {
		t.refused()
	}
	return proof, ok
}

// commit sends the entry. Only an accepted commit proves the value to those who
// joined the flight, and only if the tokens that it depends on are still there
// behind the seal (model variant 34):
//
//  1. R1 loads v1 with T1, the token of its tag.
//  2. W updates the row to v2 and invalidates the tag: T2. W returns.
//  3. R2 starts, misses, and joins R1.
//  4. R1 commits v1 with T1: accepted, for nobody touched the record. It is
//     invalid to all readers, but R2 would be served v1.
func (t *trip[T]) commit(ctx context.Context, entry *stored, proof int, result landing[T]) {
	c := t.cache
	reread := tagKeys(t.tags)
	clear, held := c.clear.current()
	if !held {
		reread = append(reread, c.space.Clear())
	}
	ctx, span := c.tel.start(ctx, opPut)
	sent := time.Now()
	commit := t.commitOf(entry, sent)
	commit.Reread = reread
	verdict, tokens, err := c.store.Commit(ctx, t.redisKey, commit)
	if !held && tokens != nil {
		clear = tokens[len(t.tags)]
		c.clear.learn(clear, sent)
	}
	c.endFill(ctx, span, t.key, t.redisKey, entry, err)
	confirmed := clear == entry.stamp.clear && (tokens != nil || len(reread) == 0) && entry.stamp.valid(tokens)
	t.conclude(entry, verdict, confirmed, err, proof, result)
}

func (t *trip[T]) commitOf(entry *stored, now time.Time) store.Commit {
	soft, life := entry.times(now)
	entry.lives = life > 0
	t.sent = now
	return store.Commit{
		Token: t.token, TTL: life, Soft: soft, Version: entry.version,
		Body: entry.body, Absent: entry.absent, Notice: t.cache.notice(t.key),
	}
}

// conclude lands with what became of the commit. confirmed says that the tokens
// which the entry depends on were still there.
func (t *trip[T]) conclude(entry *stored, verdict store.Verdict, confirmed bool, err error, proof int, result landing[T]) {
	t.held, t.problem = err != nil, err // held perhaps
	switch {
	case err != nil:
		t.cache.tel.redisFailed(opPut, err)
	case verdict == store.Committed:
		if entry.lives {
			result.outcome = loadStored
		}
		if confirmed {
			result.proof = proof
			t.keepFill(entry, result)
		}
	case verdict == store.Older:
		result.outcome = loadOutdated
		t.refused()
	default:
		t.refused()
	}
	t.land(result)
}

// keepFill puts what was stored into the L1 as well: it was current when the commit
// was sent.
func (t *trip[T]) keepFill(entry *stored, result landing[T]) {
	if t.cache.near == nil {
		return
	}
	then := moment{Epoch: t.asking.Epoch, at: monotonic() - int64(time.Since(t.sent))}
	t.cache.keepNear(t.key, result.value, near.Entry{
		Size: int32(max(entry.size, 0)), Absent: entry.absent, Clear: entry.stamp.clear,
		Soft: entry.soft, Delta: expiry.Cost(entry.delta, entry.ewma),
	}, t.entry.class, entry.soft-t.sent.Sub(entry.began), then)
}

func (t *trip[T]) refused() { t.cache.tel.refused(t.key) }
