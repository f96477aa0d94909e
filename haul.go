package cache

import (
	"context"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/envelope"
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
	defer func() { h.tidy(ctx, h.trips) }()
	h.trips = h.start(ctx)
	h.leaveOverdue(ctx)
	var unleased []*trip[T]
	leased := make([]*trip[T], 0, len(h.trips))
	for _, t := range h.trips {
		if t.alone || !t.entry.store || !t.seen.State.Replaceable() || !t.dependable() {
			unleased = append(unleased, t)
		} else {
			leased = append(leased, t)
		}
	}
	won, lost := h.acquire(ctx, leased)
	unleased = append(unleased, lost...)
	if len(unleased) > 0 {
		h.split(unleased)
		beside := &haul[T]{cache: h.cache, load: h.load, trips: unleased}
		go func() {
			defer func() { beside.tidy(ctx, beside.trips) }()
			beside.loadUnleased(ctx, unleased)
		}()
	}
	if len(won) > 0 {
		h.loadLeased(ctx, won)
	}
}

// start notes how to cancel the flights, and returns those that somebody still
// waits for.
func (h *haul[T]) start(ctx context.Context) (wanted []*trip[T]) {
	for _, t := range h.trips {
		var cancel context.CancelFunc
		t.ctx, cancel = context.WithCancel(ctx)
		leave := func() { cancel(); t.desert() }
		if h.cache.flights.start(t.flight, leave) {
			wanted = append(wanted, t)
			continue
		}
		leave()
		t.land(landing[T]{outcome: loadAbandoned})
		h.cache.flights.end(t.flight)
	}
	return wanted
}

// leaveOverdue lets those leave whose loader still runs although its context has ended,
// a moment after the first was found: the others must not wait for them.
func (h *haul[T]) leaveOverdue(ctx context.Context) {
	until := time.Now().Add(overdue)
	for _, t := range slices.Clone(h.trips) {
		if t.awaitOverdue(ctx, time.Until(until)) != nil {
			h.leave(t, func(ctx context.Context) { t.fly(ctx, t.alone) })
		}
	}
}

// whileWanted is ctx until nobody waits for any of trips any more. Those that go on
// elsewhere, or have landed, must not be among them: they would keep a load alive
// that nobody wants.
func whileWanted[T any](ctx context.Context, trips []*trip[T]) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	w := &wanting{cancel: cancel}
	w.left.Store(int64(len(trips)))
	for _, t := range trips {
		if t.wanting.Store(w); t.deserted.Load() {
			w.lose(&t.wanting)
		}
	}
	return ctx, func() {
		for _, t := range trips {
			t.wanting.CompareAndSwap(w, nil)
		}
		cancel()
	}
}

// wanting counts the flights of a step that somebody waits for. A flight is lost to it
// once, by whoever takes it out of its place: the one who deserts the flight sets the
// mark and then looks whether there is a step, the step is there before it looks for
// the mark.
type wanting struct {
	left   atomic.Int64
	cancel context.CancelFunc
}

// lose takes the flight with that place off.
func (w *wanting) lose(place *atomic.Pointer[wanting]) {
	if place.CompareAndSwap(w, nil) && w.left.Add(-1) == 0 {
		w.cancel()
	}
}

// desert is called when nobody waits for the flight any more.
func (t *trip[T]) desert() {
	t.deserted.Store(true)
	if w := t.wanting.Load(); w != nil {
		w.lose(&t.wanting)
	}
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
			t.land(landing[T]{outcome: loadFailed, err: &PanicError{Value: errGoexit, Stack: debug.Stack()}})
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

// leave takes t out of the haul: it goes on alone, on a goroutine of its own.
func (h *haul[T]) leave(t *trip[T], on func(ctx context.Context)) {
	h.split([]*trip[T]{t})
	if w := t.wanting.Load(); w != nil {
		w.lose(&t.wanting) // the others' step ends without it
	}
	go func() {
		defer h.cache.flights.end(t.flight)
		defer t.tidy(t.ctx)
		on(t.ctx)
	}()
}
