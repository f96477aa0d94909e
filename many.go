package cache

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"

	"github.com/larder-go/cache/internal/record"
)

// This file reads several keys at once: one look-up for all, then one haul
// (haul.go) for those that must be loaded, until each has its outcome.

// BatchLoader fetches the values of several keys, at most 200 in one call. A key
// left out of the map is [ErrNotFound]; with an error it has that error instead,
// and what is in the map is stored. What is said of a [Loader] holds for it too.
type BatchLoader[T any] func(ctx context.Context, keys []string) (map[string]T, error)

// lookup is one key of a batch.
type lookup[T any] struct {
	call[T]
	seen sight
	got  answer[T]
	err  error
}

// GetMany looks keys up and loads nothing. Keys without a fresh entry, and those
// that are remembered as absent, are absent from the map. It uses the options of
// New.
//
// If Redis fails the error is one [*OpError] for each node that failed, joined,
// beside what the others had. It costs one round trip for each node of a cluster,
// and for each 200 keys.
func (c *Cache[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	all := c.serveMany(ctx, keys, nil, c.config.entry)
	found, errs := map[string]T{}, []error(nil)
	failed := map[string]bool{}
	for _, l := range all {
		switch {
		case l.seen.failure != nil:
			host, port := c.store.Peer(ctx, l.seen.redisKey)
			if node := net.JoinHostPort(host, strconv.Itoa(port)); !failed[node] {
				failed[node] = true
				errs = append(errs, &OpError{Op: "get", Key: l.key, Err: l.seen.failure})
			}
		case l.err != nil && !isAbsent(l.err):
			errs = appendOnce(errs, l.err)
		case l.err == nil && l.seen.State == record.Fresh:
			found[l.key] = l.got.value
		}
	}
	return found, errors.Join(errs...)
}

// GetOrLoadMany returns the values of keys, calling load once for those that are
// not cached and that nobody else is loading, and storing what it returns. A key is
// treated as [Cache.GetOrLoad] treats it: batches and single calls share their
// loads. Keys that do not exist are absent from the map, and no error.
//
// Errors do not keep the other keys from the map: they are joined, those of a load
// as one [*OpError] for each key around the loader's error, so that errors.Is and
// errors.As work. ctx's error and [ErrClosed] are there once.
//
// Duplicates count once. Up to 200 keys it costs one exchange with each node of a
// cluster to read, and where keys must be loaded one to get their leases and one to
// store them; more keys are split into batches, four at a time.
func (c *Cache[T]) GetOrLoadMany(ctx context.Context, keys []string, load BatchLoader[T], opts ...EntryOption) (map[string]T, error) {
	kept, err := c.kept(opts)
	if err != nil {
		return nil, &OpError{Op: "get", Err: err}
	}
	if load == nil {
		return nil, argError("get", "", "loader is nil")
	}
	return c.getOrLoadMany(ctx, keys, load.many(), kept)
}

// many is the loader with an error for each key.
func (load BatchLoader[T]) many() manyLoader[T] {
	return func(ctx context.Context, keys []string) (map[string]T, func(string) error) {
		values, err := load(ctx, keys)
		if err == nil {
			err = ErrNotFound
		}
		return values, func(string) error { return err }
	}
}

// GetMany is [Cache.GetOrLoadMany] with the loader and the options that were bound:
// the loader is called for each key that must be loaded, eight at a time.
func (r *ReadThrough[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	if r.err != nil {
		return nil, &OpError{Op: "get", Err: r.err}
	}
	if r.load == nil {
		return nil, argError("get", "", "loader is nil")
	}
	return r.cache.getOrLoadMany(ctx, keys, r.load.many(), r.entry)
}

// many is the loader, called for each of several keys.
func (load Loader[T]) many() manyLoader[T] {
	return func(ctx context.Context, keys []string) (map[string]T, func(string) error) {
		var mu sync.Mutex // protects following
		values, errs := map[string]T{}, map[string]error{}
		_ = forEach(keys, func(key string) error { // each error is in errs
			var v T
			err := error(&PanicError{Value: errGoexit})
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				if errs[key] = err; err == nil {
					values[key] = v
				}
			}()
			err = contain(func() (err error) { v, err = load(ctx, key); return err })
			return err
		})
		return values, func(key string) error { return errs[key] }
	}
}

// one is the loader for a key that is loaded alone after all.
func (load manyLoader[T]) one(ctx context.Context, key string) (v T, err error) {
	values, missing := load(ctx, []string{key})
	if v, ok := values[key]; ok {
		return v, nil
	}
	return v, missing(key)
}

func (c *Cache[T]) getOrLoadMany(ctx context.Context, keys []string, load manyLoader[T], kept entry) (map[string]T, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	all := c.serveMany(ctx, keys, load, kept)
	values, errs := make(map[string]T, len(all)), []error(nil)
	for _, l := range all {
		switch {
		case l.err == nil:
			values[l.key] = l.got.value
		case isAbsent(l.err):
		case l.err == ctx.Err(), errors.Is(l.err, ErrClosed): //nolint:errorlint // ctx's own, bare
			errs = appendOnce(errs, l.err)
		default:
			errs = append(errs, loadError(l.key, l.err))
		}
	}
	return values, errors.Join(errs...)
}

// loadError is a load's error in a batch, which says what key it is about.
func loadError(key string, err error) error {
	var own *OpError
	if errors.As(err, &own) && own.Key == key {
		return err
	}
	return &OpError{Op: "load", Key: key, Err: err}
}

// appendOnce appends err unless an error of its text is there.
func appendOnce(errs []error, err error) []error {
	for _, e := range errs {
		if e.Error() == err.Error() {
			return errs
		}
	}
	return append(errs, err)
}

// serveMany finds an outcome for each of keys, in batches. Without a loader it only
// looks.
func (c *Cache[T]) serveMany(ctx context.Context, keys []string, load manyLoader[T], kept entry) []*lookup[T] {
	if len(keys) == 0 {
		return nil
	}
	began := c.tel.metrics.begin(ctx)
	ctx, span := c.tel.start(ctx, opGet)
	all := c.lookups(keys, load, kept)
	far := all
	if c.near != nil {
		far = c.nearMany(ctx, all)
	}
	inBatches(far, func(batch []*lookup[T]) { c.serveBatch(ctx, batch, load) })
	c.endGetMany(ctx, span, began, all)
	return all
}

// lookups are those of keys, each once.
func (c *Cache[T]) lookups(keys []string, load manyLoader[T], kept entry) []*lookup[T] {
	room, all := make([]lookup[T], len(keys)), make([]*lookup[T], 0, len(keys))
	known := make(map[string]bool, len(keys))
	began := c.flights.now()
	var one Loader[T]
	if load != nil {
		one = load.one
	}
	for _, key := range keys {
		if known[key] {
			continue
		}
		known[key] = true
		l := &room[len(all)]
		l.request, l.began = request[T]{key: key, entry: kept}, began
		l.load = one
		all = append(all, l)
	}
	return all
}

// serveBatch is serve for the keys of one batch, which may need different numbers of
// rounds.
func (c *Cache[T]) serveBatch(ctx context.Context, batch []*lookup[T], load manyLoader[T]) {
	for range rounds {
		if len(batch) == 0 {
			return
		}
		for _, l := range batch {
			l.round++
		}
		c.lookMany(ctx, batch)
		var left []*lookup[T]
		for _, l := range batch {
			if l.err == nil && !l.seen.State.Serves() && load != nil {
				l.missed = true
				left = append(left, l)
			}
		}
		batch = c.joinMany(ctx, left, load)
	}
	for _, l := range batch {
		l.err = c.unanswered(ctx, l.key)
	}
}

// nearMany answers what the L1 can, and returns the rest.
func (c *Cache[T]) nearMany(ctx context.Context, all []*lookup[T]) (far []*lookup[T]) {
	for _, l := range all {
		var ok bool
		if l.got, ok, l.early, l.err = c.serveNear(ctx, l.key, l.entry.class); ok {
			l.seen.State = record.Fresh
		} else {
			far = append(far, l)
		}
	}
	return far
}

// joinMany is join for several keys. It returns those that have to look again.
func (c *Cache[T]) joinMany(ctx context.Context, batch []*lookup[T], load manyLoader[T]) (again []*lookup[T]) {
	type seat struct {
		*lookup[T]
		flight *flight[T]
		ticket int
		as     role
	}
	seats := make([]seat, 0, len(batch))
	var led []*trip[T]
	for _, l := range batch {
		if err := c.checkCycle(ctx, l.key); err != nil {
			l.err = c.orStale(ctx, &l.call, &l.seen, &l.got, err)
			continue
		}
		board := l.boards(ctx)
		board.batch = true
		f, ticket, as, err := c.flights.join(l.key, board)
		if err != nil {
			l.err = err
			continue
		}
		c.joined(&l.call, as)
		if as == lead {
			led = append(led, &trip[T]{
				request: l.request, cache: c, flight: f, redisKey: l.seen.redisKey, seen: l.seen.Record, alone: l.seen.unread,
			})
		}
		seats = append(seats, seat{l, f, ticket, as})
	}
	if len(led) > 0 {
		c.launchMany(ctx, load, led)
	}
	var backing helpers // out a back-off, each for itself
	more := make([]bool, len(seats))
	for i, s := range seats {
		if s.err = c.flights.await(ctx, s.key, s.flight, s.as); s.err != nil {
			continue
		}
		land := func() {
			more[i], s.lookup.err = c.landed(ctx, &s.lookup.call, &s.lookup.seen, &s.lookup.got, s.flight, s.ticket, s.as)
		}
		if s.flight.result.outcome == loadBackoff {
			backing.run(land)
		} else {
			land()
		}
	}
	backing.wait()
	for i, s := range seats {
		if more[i] {
			again = append(again, s.lookup)
		}
	}
	return again
}
