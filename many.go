package cache

import (
	"context"
	"errors"
	"net"
	"strconv"

	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file reads several keys at once: one look-up for all, then one batch of loads
// for those that must be loaded, until each has its outcome.

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
	all := c.getMany(ctx, keys, nil, c.config.entry)
	found, errs := map[string]T{}, []error(nil)
	failed := map[string]bool{}
	for _, l := range all {
		switch {
		case l.lookup.failure != nil:
			host, port := c.region.Store.Peer(ctx, l.lookup.redisKey)
			if node := net.JoinHostPort(host, strconv.Itoa(port)); !failed[node] {
				failed[node] = true
				errs = append(errs, &OpError{Op: "get", Key: l.key, Err: l.lookup.failure})
			}
		case l.err != nil && !isAbsent(l.err):
			errs = appendOnce(errs, l.err)
		case l.err == nil && l.lookup.State == record.Fresh:
			found[l.key] = l.result.value
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
	kept, err := c.config.entry.with(opts, c.region.Space)
	if err != nil {
		return nil, &OpError{Op: "get", Err: err}
	}
	if load == nil {
		return nil, argError("get", "", "loader is nil")
	}
	return c.getOrLoadMany(ctx, keys, load, kept)
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
	return r.cache.getOrLoadMany(ctx, keys, r.load, r.entry)
}

func (c *Cache[T]) getOrLoadMany(ctx context.Context, keys []string, load loader[T], kept entryPolicy) (map[string]T, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	all := c.getMany(ctx, keys, load, kept)
	values, errs := make(map[string]T, len(all)), []error(nil)
	for _, l := range all {
		switch {
		case l.err == nil:
			values[l.key] = l.result.value
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

// getMany finds an outcome for each of keys, in batches. Without a loader it only
// looks.
func (c *Cache[T]) getMany(ctx context.Context, keys []string, load loader[T], kept entryPolicy) []*call[T] {
	if len(keys) == 0 {
		return nil
	}
	began := c.tel.Begin(ctx)
	ctx, span := c.tel.Start(ctx, telemetry.OpGet)
	all := c.calls(keys, load, kept)
	far := all
	if c.local != nil {
		far = c.localMany(ctx, all)
	}
	inBatches(far, func(batch []*call[T]) { c.getBatch(ctx, batch) })
	c.endGetMany(ctx, span, began, all)
	return all
}

// calls are those of keys, each once.
func (c *Cache[T]) calls(keys []string, load loader[T], kept entryPolicy) []*call[T] {
	room, all := make([]call[T], len(keys)), make([]*call[T], 0, len(keys))
	known := make(map[string]bool, len(keys))
	began := c.region.Flights.Now()
	for _, key := range keys {
		if known[key] {
			continue
		}
		known[key] = true
		one := &room[len(all)]
		one.request, one.began, one.round = request[T]{key: key, loader: load, entry: kept, many: true}, began, 1
		all = append(all, one)
	}
	return all
}

// getBatch is getFar for the keys of one batch.
func (c *Cache[T]) getBatch(ctx context.Context, batch []*call[T]) {
	l := c.takeRoom()
	defer c.giveRoom(l)
	c.lookup(ctx, l, batch)
	if len(batch) > 0 && batch[0].loader != nil {
		c.serve(ctx, l, unserved(batch))
	}
}

// localMany answers what the L1 can, and returns the rest.
func (c *Cache[T]) localMany(ctx context.Context, all []*call[T]) (far []*call[T]) {
	for _, call := range all {
		var said localState
		if call.result, said, call.err = c.serveLocal(ctx, call.key, call.entry.class); said == localServes {
			call.lookup.State = record.Fresh
			continue
		}
		call.early = said == localElects
		far = append(far, call)
	}
	return far
}
