package cache

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// loadUnleased calls the loader without leases, at one place of the load limit.
func (h *haul[T]) loadUnleased(ctx context.Context, trips []*trip[T]) {
	c := h.cache
	ctx, stop := whileWanted(ctx, trips)
	defer stop()
	class := leased
	for _, t := range trips {
		if t.seen.State.Replaceable() {
			class = unleased
		}
	}
	taken, err := false, ctx.Err()
	if err == nil {
		taken, err = c.takePlace(ctx, class, true)
	}
	if err != nil {
		for _, t := range trips {
			t.land(landing[T]{outcome: loadFailed, err: err})
		}
		return
	}
	if taken {
		defer c.places.leave(class)
	}
	trips = h.begin(ctx, trips, false)
	for i, got := range h.callLoader(ctx, trips, false) {
		trips[i].land(loadedOnly(got.value, got.err))
	}
}

// found is what a load found of one key.
type found[T any] struct {
	value T
	err   error
}

// loadLeased calls the loader under the leases and stores what it returns.
func (h *haul[T]) loadLeased(ctx context.Context, trips []*trip[T]) {
	wanted, stop := whileWanted(ctx, trips)
	defer stop()
	taken, err := h.cache.takePlace(wanted, leased, true)
	if err != nil {
		h.release(ctx, trips, func(*trip[T]) time.Duration { return 0 })
		for _, t := range trips {
			t.land(landing[T]{outcome: loadFailed, err: err})
		}
		return
	}
	if taken {
		defer h.cache.places.leave(leased)
	}
	trips = h.begin(wanted, trips, true)
	got := h.callLoader(wanted, trips, true)
	h.settle(ctx, trips, got, errors.Is(wanted.Err(), context.Canceled))
}

// begin notes that the loader is about to be called for trips, and returns those for
// which it may be. The others have landed.
func (h *haul[T]) begin(ctx context.Context, trips []*trip[T], leased bool) []*trip[T] {
	until := time.Now().Add(overdue)
	ready, refused := make([]*trip[T], 0, len(trips)), map[*trip[T]]error{}
	for _, t := range trips {
		if err := t.begin(ctx, leased, time.Until(until)); err != nil {
			refused[t] = err
		} else {
			ready = append(ready, t)
		}
	}
	if len(refused) == 0 {
		return ready
	}
	if leased {
		h.release(context.WithoutCancel(ctx), slices.Collect(maps.Keys(refused)), func(*trip[T]) time.Duration { return 0 })
	}
	for t, err := range refused {
		t.land(landing[T]{outcome: loadFailed, err: err})
		if w := t.wanting.Load(); w != nil {
			w.lose(&t.wanting)
		}
	}
	return ready
}

// settle stores what was loaded under leases, and gives the others back. cancelled
// says that nobody waits any more, or that the cache was closed, so that an error is no
// failure of the loader.
func (h *haul[T]) settle(ctx context.Context, trips []*trip[T], got []found[T], cancelled bool) {
	var failed []*trip[T]
	cargo := make([]freight[T], 0, len(trips))
	for i, t := range trips {
		if err := got[i].err; err != nil && !isAbsent(err) {
			failed = append(failed, t)
			continue
		}
		cargo = append(cargo, freight[T]{trip: t, found: &got[i]})
	}
	h.release(ctx, failed, func(t *trip[T]) time.Duration {
		if cancelled {
			return 0
		}
		return t.backoff()
	})
	for i, t := range trips {
		if err := got[i].err; err != nil && !isAbsent(err) {
			t.land(landing[T]{outcome: loadFailed, err: err})
		}
	}
	h.fill(ctx, cargo)
}

// callLoader is trip.callLoader for several keys.
func (h *haul[T]) callLoader(ctx context.Context, trips []*trip[T], leased bool) []found[T] {
	if len(trips) == 0 {
		return nil
	}
	c := h.cache
	keys := make([]string, len(trips))
	for i, t := range trips {
		keys[i] = t.key
	}
	here := loadingFor(ctx, c, keys...)
	ctx, cancel := context.WithTimeout(here, c.config.loadTimeout)
	defer cancel()
	if leased {
		defer h.keepLeases(ctx, trips)()
	}
	defer c.watchLoader(ctx, here, trips...)()
	ctx, span := c.tel.start(ctx, opLoad)
	began := time.Now()
	for _, t := range trips {
		t.loadBegan = began
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
		c.tel.loaded(ctx, span, e)
	}()
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
	values, missing := load(ctx, slices.Clone(keys)) // the loader may do with its keys what it likes
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
	found  *found[T] // its error is an absence
	entry  *stored
	result landing[T]
	proof  int
}

// fill is trip.fill for several keys: one pipeline.
func (h *haul[T]) fill(ctx context.Context, cargo []freight[T]) {
	ready := cargo[:0]
	unstored := map[*trip[T]]time.Duration{} // and the backoff of its key
	for _, f := range cargo {
		entry, result, err := f.trip.prepare(f.found.value, f.found.err)
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
	trips, entries := make([]*trip[T], len(cargo)), make([]*stored, len(cargo))
	names, keys, commits := make([]string, len(cargo)), make([]string, len(cargo)), make([]store.Commit, len(cargo))
	ctx, span := c.tel.start(ctx, opPut)
	sent := time.Now()
	for i, f := range cargo {
		trips[i], entries[i] = f.trip, f.entry
		names[i], keys[i], commits[i] = f.trip.key, f.trip.redisKey, f.trip.commitOf(f.entry, sent)
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
	c.endPutMany(ctx, span, names, entries, errs, nil)
	for i, f := range cargo {
		confirmed := known && clear == f.entry.stamp.clear && f.entry.stamp.valid(pick(f.trip.tags, tags, tokens))
		f.trip.conclude(f.entry, verdicts[i], confirmed, errs[i], f.proof, f.result)
	}
}
