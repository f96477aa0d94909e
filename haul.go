package cache

import (
	"context"
	"runtime/debug"
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
		t.token, t.epoch = envelope.NewToken(), c.epoch(t.key)
		keys[i], proofs[i], t.mark = t.redisKey, c.flights.prove(t.flight), c.pending.mark()
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
