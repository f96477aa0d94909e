package cache

import (
	"context"
	"errors"
	"maps"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// haul is the flights that one call of GetOrLoadMany leads, on one goroutine: they
// acquire in one pipeline, load in one call of the loader and commit in one
// pipeline. A flight whose key somebody else is at leaves the haul and goes on
// alone, as the flight of a single load does.
type haul[T any] struct {
	cache *Cache[T]
	load  manyLoader[T]
	trips []*trip[T] // that this goroutine must land
}

// manyLoader is what loads several keys: the values, and why another key has none.
type manyLoader[T any] func(ctx context.Context, keys []string) (values map[string]T, missing func(key string) error)

// launchMany runs the flights of trips, which the caller leads.
func (c *Cache[T]) launchMany(ctx context.Context, load manyLoader[T], trips []*trip[T]) {
	h := &haul[T]{cache: c, load: load, trips: trips}
	go h.run(context.WithoutCancel(ctx))
}

// run takes the flights from acquire to landing.
func (h *haul[T]) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() { h.tidy(ctx, h.trips) }()
	h.trips = h.start(ctx, cancel)
	var leased, unleased []*trip[T]
	for _, t := range h.trips {
		if t.alone || !t.entry.store || t.seen.untouchable() || !t.dependable() {
			unleased = append(unleased, t)
		} else {
			leased = append(leased, t)
		}
	}
	won, lost := h.acquire(ctx, leased)
	unleased = append(unleased, lost...)
	if len(unleased) > 0 {
		h.split(unleased)
		go func() {
			defer h.tidy(ctx, unleased)
			h.loadUnleased(ctx, unleased)
		}()
	}
	if len(won) > 0 {
		h.loadLeased(ctx, won)
	}
}

// start notes how to cancel the flights: the load goes on until nobody waits for
// any of them. It returns those that somebody still waits for.
func (h *haul[T]) start(ctx context.Context, cancel context.CancelFunc) (wanted []*trip[T]) {
	var left atomic.Int64
	left.Store(int64(len(h.trips)))
	for _, t := range h.trips {
		var leave context.CancelFunc
		t.ctx, leave = context.WithCancel(ctx)
		context.AfterFunc(t.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
		if h.cache.flights.start(t.flight, leave) {
			wanted = append(wanted, t)
			continue
		}
		leave()
		t.land(landing[T]{again: true})
		h.cache.flights.end(t.flight)
	}
	return wanted
}

// split takes trips out of the haul: another goroutine lands them.
func (h *haul[T]) split(trips []*trip[T]) {
	gone := make(map[*trip[T]]bool, len(trips))
	for _, t := range trips {
		gone[t] = true
	}
	var left []*trip[T]
	for _, t := range h.trips {
		if !gone[t] {
			left = append(left, t)
		}
	}
	h.trips = left
}

// tidy is trip.tidy for several, whose leases are given back together.
func (h *haul[T]) tidy(ctx context.Context, trips []*trip[T]) {
	var held []*trip[T]
	for _, t := range trips {
		if t.held {
			held = append(held, t)
		}
	}
	h.release(context.WithoutCancel(ctx), held, func(t *trip[T]) time.Duration {
		if t.landed {
			return 0
		}
		return t.backoff()
	})
	for _, t := range trips {
		if !t.landed {
			t.land(landing[T]{err: &PanicError{Value: errGoexit, Stack: debug.Stack()}})
		}
		h.cache.flights.end(t.flight)
	}
}

// release gives leases back, in a pipeline for each backoff.
func (h *haul[T]) release(ctx context.Context, trips []*trip[T], backoff func(*trip[T]) time.Duration) {
	groups := map[time.Duration][]*trip[T]{}
	for _, t := range trips {
		t.held = false
		groups[backoff(t)] = append(groups[backoff(t)], t)
	}
	for d, group := range groups {
		keys, tokens := make([]string, len(group)), make([]envelope.Token, len(group))
		for i, t := range group {
			keys[i], tokens[i] = t.redisKey, t.token
		}
		for i, err := range h.cache.store.ReleaseMany(ctx, keys, tokens, d) {
			if err != nil {
				h.cache.tel.redisFailed(opLoad, err)
				h.cache.releaseLater(ctx, keys[i], tokens[i])
			}
		}
	}
}

// acquire asks for all leases at once: won are those that were granted, lost those
// that load without one. The others leave the haul.
func (h *haul[T]) acquire(ctx context.Context, trips []*trip[T]) (won, lost []*trip[T]) {
	if len(trips) == 0 {
		return nil, nil
	}
	c := h.cache
	grants, proofs, captured, errs := h.ask(ctx, trips)
	for i, t := range trips {
		grant, err := grants[i], errs[i]
		t.held = err != nil && !store.NotSent(err) || grant.Answer == store.Granted || grant.Answer == store.GrantedOver
		if err != nil {
			c.tel.redisFailed(opLoad, err)
			lost = append(lost, t)
			continue
		}
		c.clock.sample(grant.Now)
		tokens := pick(t.tags, captured.tags, captured.tokens)
		t.granted, t.stamp = grant.Now, stampOf(captured.clear, t.tags, tokens)
		switch grant.Answer {
		case store.Granted, store.GrantedOver:
			won = append(won, t)
		case store.Held:
			switch {
			case t.receive(ctx, grant.Record, t.tags, tokens, proofs[i]):
			case t.seen.untouchable():
				lost = append(lost, t)
			default:
				h.leave(t, func(ctx context.Context) { t.acquire(ctx) })
			}
		case store.Busy:
			h.leave(t, func(ctx context.Context) { t.waitFor(ctx, grant.Left); t.acquire(ctx) })
		case store.BackingOff:
			t.land(landing[T]{backoff: max(grant.Left, time.Millisecond)})
		default:
			lost = append(lost, t)
		}
	}
	return won, lost
}

// captures are the tokens that the entries of a haul depend on.
type captures struct {
	clear  envelope.Token
	tags   []tagRef
	tokens []envelope.Token
}

// ask sends one acquire for each trip, and captures the tokens of all their tags.
func (h *haul[T]) ask(ctx context.Context, trips []*trip[T]) (grants []store.Grant, proofs []int, got captures, errs []error) {
	c := h.cache
	keys, attempts, proofs := make([]string, len(trips)), make([]store.Acquire, len(trips)), make([]int, len(trips))
	for i, t := range trips {
		t.token, t.asking = envelope.NewToken(), c.moment(t.key)
		keys[i], proofs[i] = t.redisKey, c.flights.prove(t.flight)
		attempts[i] = store.Acquire{
			Token: t.token, Lease: leaseTime, Retain: leaseRetain,
			Seen: t.seen.header.CID, Invalid: t.seen.state == invalid,
		}
	}
	got.tags = allTags(trips)
	capture := captureKeys(got.tags, trips[0].entry.class)
	clear, held := c.clear.current()
	if !held {
		capture = append(capture, c.clearKey())
	}
	began := time.Now()
	grants, tokens, errs := c.store.AcquireMany(ctx, keys, attempts, capture)
	for _, t := range trips {
		t.asked = time.Since(began)
	}
	got.clear, got.tokens = clear, tokens[:len(got.tags)]
	if !held && tokens[len(got.tags)] != (envelope.Token{}) {
		got.clear = tokens[len(got.tags)]
		c.clear.learn(got.clear, began)
	}
	return grants, proofs, got, errs
}

// allTags are the tags of all trips, each once.
func allTags[T any](trips []*trip[T]) (all []tagRef) {
	seen := map[uint64]bool{}
	for _, t := range trips {
		for _, tag := range t.tags {
			if !seen[tag.id] {
				seen[tag.id] = true
				all = append(all, tag)
			}
		}
	}
	return all
}

// leave takes t out of the haul: it goes on alone, on a goroutine of its own.
func (h *haul[T]) leave(t *trip[T], on func(ctx context.Context)) {
	h.split([]*trip[T]{t})
	go func() {
		defer h.cache.flights.end(t.flight)
		defer t.tidy(t.ctx)
		on(t.ctx)
	}()
}

// loadUnleased calls the loader without leases, at one place of the load limit.
func (h *haul[T]) loadUnleased(ctx context.Context, trips []*trip[T]) {
	err := ctx.Err()
	if err == nil {
		err = h.cache.limit.enter(ctx)
	}
	if err != nil {
		for _, t := range trips {
			t.land(landing[T]{err: err})
		}
		return
	}
	defer h.cache.limit.leave()
	for i, got := range h.callLoader(ctx, trips, false) {
		trips[i].land(landing[T]{value: got.value, size: -1, err: got.err})
	}
}

// found is what a load found of one key.
type found[T any] struct {
	value T
	err   error
}

// loadLeased calls the loader under the leases and stores what it returns.
func (h *haul[T]) loadLeased(ctx context.Context, trips []*trip[T]) {
	got := h.callLoader(ctx, trips, true)
	after := context.WithoutCancel(ctx)
	var failed []*trip[T]
	var cargo []freight[T]
	for i, t := range trips {
		v, err := got[i].value, got[i].err
		if err != nil && !isAbsent(err) {
			failed = append(failed, t)
			continue
		}
		cargo = append(cargo, freight[T]{trip: t, value: v, err: err})
	}
	cancelled := errors.Is(ctx.Err(), context.Canceled)
	h.release(after, failed, func(t *trip[T]) time.Duration {
		if cancelled {
			return 0 // nobody waits any more, or Close: no failure of the loader
		}
		return t.backoff()
	})
	for i, t := range trips {
		if err := got[i].err; err != nil && !isAbsent(err) {
			t.land(landing[T]{err: err})
		}
	}
	h.fill(after, cargo)
}

// callLoader is trip.callLoader for several keys.
func (h *haul[T]) callLoader(ctx context.Context, trips []*trip[T], leased bool) []found[T] {
	c := h.cache
	ctx, cancel := context.WithTimeout(ctx, c.config.loadTimeout)
	defer cancel()
	if leased {
		defer h.keepLeases(ctx, trips)()
	}
	late := time.AfterFunc(c.config.loadTimeout+overdue, func() {
		for _, t := range trips {
			c.flights.land(t.key, t.flight, landing[T]{err: &OpError{Op: "load", Key: t.key, Err: context.DeadlineExceeded}})
		}
	})
	defer late.Stop()
	keys := make([]string, len(trips))
	ctx, span := c.tel.start(ctx, opLoad)
	began := time.Now()
	for i, t := range trips {
		keys[i], t.loadBegan = t.key, began
	}
	err := error(errGoexit)
	defer func() {
		took := time.Since(began)
		for _, t := range trips {
			t.loadTook = took
		}
		e := LoadEvent{Keys: keys, Took: took, Err: err}
		if len(keys) == 1 {
			e.Key = keys[0]
		}
		c.tel.loaded(span, e)
	}()
	for _, t := range trips {
		t.loadSeq = c.flights.load(t.flight, leased)
	}
	var got []found[T]
	err = contain(func() (err error) {
		got, err = c.fetch(ctx, h.load, keys)
		return err
	})
	if got == nil {
		got = make([]found[T], len(keys))
		for i := range got {
			got[i].err = err
		}
	}
	return got
}

// fetch calls load and sorts what it found by key. The error is one of those that
// are no absence.
func (c *Cache[T]) fetch(ctx context.Context, load manyLoader[T], keys []string) (got []found[T], failed error) {
	values, missing := load(ctx, keys)
	got = make([]found[T], len(keys))
	for i, key := range keys {
		v, ok := values[key]
		if ok {
			got[i].value = v
			continue
		}
		err := missing(key)
		switch {
		case isAbsent(err):
		case c.config.notFound(err):
			err = absentError{err}
		default:
			failed = err
		}
		got[i].err = err
	}
	return got, failed
}

// freight is what a load found for one trip, on its way into Redis.
type freight[T any] struct {
	trip   *trip[T]
	value  T
	err    error // an absence
	entry  *stored
	result landing[T]
	proof  int
}

// fill is trip.fill for several keys: one pipeline.
func (h *haul[T]) fill(ctx context.Context, cargo []freight[T]) {
	var ready []freight[T]
	unstored := map[*trip[T]]time.Duration{} // and the backoff of its key
	for _, f := range cargo {
		entry, result, err := f.trip.prepare(f.value, f.err)
		f.entry, f.result = entry, result
		ok := false
		if err != nil {
			unstored[f.trip] = f.trip.backoff()
		} else if f.proof, ok = f.trip.seal(); !ok {
			unstored[f.trip] = 0
		}
		if ok {
			ready = append(ready, f)
		} else {
			defer f.trip.land(f.result) // once its lease is given back
		}
	}
	h.release(ctx, slices.Collect(maps.Keys(unstored)), func(t *trip[T]) time.Duration { return unstored[t] })
	h.commit(ctx, ready)
}

// commit is trip.commit for several keys.
func (h *haul[T]) commit(ctx context.Context, cargo []freight[T]) {
	if len(cargo) == 0 {
		return
	}
	c := h.cache
	trips, keys, commits := make([]*trip[T], len(cargo)), make([]string, len(cargo)), make([]store.Commit, len(cargo))
	ctx, span := c.tel.start(ctx, opPut)
	sent := time.Now()
	for i, f := range cargo {
		trips[i], keys[i], commits[i] = f.trip, f.trip.redisKey, f.trip.commitOf(f.entry, sent)
	}
	tags := allTags(trips)
	reread := tagKeys(tags)
	clear, held := c.clear.current()
	if !held {
		reread = append(reread, c.space.Clear())
	}
	verdicts, tokens, errs := c.store.CommitMany(ctx, keys, commits, reread)
	known := tokens != nil || len(reread) == 0
	if !held && tokens != nil {
		clear = tokens[len(tags)]
		c.clear.learn(clear, sent)
	}
	c.endPutMany(ctx, span, cargo, errs)
	for i, f := range cargo {
		confirmed := known && clear == f.entry.stamp.clear && f.entry.stamp.valid(pick(f.trip.tags, tags, tokens))
		f.trip.conclude(f.entry, verdicts[i], confirmed, errs[i], f.proof, f.result)
	}
}
