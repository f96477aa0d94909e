package cache

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/telemetry"
)

// values are the part of a load that knows T: the loader, the codec and the L1.
type values[T any] struct {
	cache   *Cache[T]
	loader  loader[T]
	refresh bool // in the background
}

// run has keys loaded and stored.
func (c *Cache[T]) run(ctx context.Context, loader loader[T], refresh bool, keys []*load.Key) {
	c.region.Flights.Run(ctx, c.region.Fill(&values[T]{cache: c, loader: loader, refresh: refresh}), refresh, keys)
}

// keyOf is a key on its way into Redis, whose flight seat leads, after a look-up that has
// seen that.
func keyOf(seat *load.Seat, e *entryPolicy, seen *lookup) *load.Key {
	return region.KeyOf(seat, e.wanted(), seen.redisKey, &seen.Record, seen.bypass || !e.store)
}

// Load calls the loader, with its span. A panic is its error.
func (v *values[T]) Load(ctx context.Context, keys []*load.Key, spare load.Spare) {
	c := v.cache
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpLoad)
	event := LoadEvent{Key: names[0], Refresh: v.refresh, Err: errGoexit}
	if len(names) > 1 {
		event.Key, event.Keys = "", names
	}
	began := time.Now()
	defer func() {
		event.Took = time.Since(began)
		c.tel.loaded(ctx, span, event)
	}()
	err := contain(func() error {
		v.loader.fetch(ctx, names, spare, func(i int, value T, err error) { v.found(keys[i], value, err) })
		return nil
	})
	event.Err = nil
	for _, k := range keys {
		switch {
		case err != nil:
			k.Err, k.Absent = err, false
		case k.Err == load.ErrGoexit: //nolint:errorlint // it was not told of
			k.Err = &PanicError{Value: errGoexit}
		}
		if len(keys) == 1 || k.Err != nil && !k.Absent {
			event.Err = k.Err
		}
	}
}

// found takes what the loader found of k.
func (v *values[T]) found(k *load.Key, value T, err error) {
	k.Err, k.Absent = err, isAbsent(err)
	switch {
	case err == nil:
		k.Value = value
	case !k.Absent && v.cache.config.notFound(err):
		k.Err, k.Absent = absentError{err}, true
	}
}

// Decode decodes a record that may be served.
func (v *values[T]) Decode(k *load.Key, rec *record.Record) {
	got, absent := result[T]{size: -1}, error(nil)
	if err := contain(func() error { absent = v.cache.decode(k.Name, rec, &got); return nil }); err != nil {
		rec.Undecodable()
	}
	if rec.State != record.Fresh {
		return
	}
	k.Size, k.Err, k.Absent = got.size, absent, absent != nil
	if absent == nil {
		k.Value = got.value
	}
}

// Encode makes the record of an entry that was loaded.
func (v *values[T]) Encode(k *load.Key, e *region.Entry, redisKey string) bool {
	err := contain(func() error { return v.cache.encode(e, k.Name, redisKey, valueOf[T](k.Value)) })
	if err != nil {
		v.cache.tel.unencodable(err)
	}
	return err == nil
}

// Keep puts what was stored into the L1.
func (v *values[T]) Keep(k *load.Key, e *region.Entry, class *expiry.Policy, left time.Duration, then region.Moment) {
	v.cache.keepLocal(k.Name, valueOf[T](k.Value), near.Entry{
		Size: int32(max(e.Size, 0)), Absent: e.Absent, Clear: e.Stamp.Clear,
		Soft: e.Soft, Delta: expiry.Cost(e.Delta, e.EWMA),
	}, class, left, then)
}

// encode makes an entry's record: the value by the codec.
func (c *Cache[T]) encode(e *region.Entry, key, redisKey string, v T) error {
	if !e.Absent && !e.Behind {
		e.Version = c.version(v)
	}
	data, err := c.region.Open(e, redisKey)
	if err == nil && !e.Absent {
		data, err = c.values.append(data, key, v)
	}
	if err != nil {
		return err
	}
	proven, value, proof := e.ToProve(data)
	c.values.prove(key, proven, value, proof)
	e.Seal(data, redisKey)
	return nil
}
