package cache

import (
	"context"
	"maps"
	"slices"

	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// SetMany is [Cache.Set] for several keys, in no particular order. The errors are
// those of Set, joined; keys without one were set. No entries cost nothing.
//
// Under [Aside] it costs one round trip for each node of a cluster, and for each
// 200 keys, four of these at a time; with [Tagged] one more for all. Under
// [WriteThrough] and [WriteBehind] it costs what Set does for each key, eight at a
// time.
func (c *Cache[T]) SetMany(ctx context.Context, entries map[string]T, opts ...EntryOption) error {
	kept, err := c.config.entry.with(opts, c.region.Space)
	if err != nil {
		return &OpError{Op: "set", Err: err}
	}
	if err := c.usable(ctx); err != nil {
		return err
	}
	if err := c.agree(ctx, "set", ""); err != nil {
		return err
	}
	return c.strategy.setMany(ctx, c, entries, kept)
}

// setEach is setMany of a strategy that sets each key by itself.
func setEach[T any](ctx context.Context, c *Cache[T], s Strategy[T], entries map[string]T, kept entryPolicy) error {
	return forEach(slices.Sorted(maps.Keys(entries)), func(_ int, key string) error {
		return s.set(ctx, c, key, entries[key], kept)
	})
}

func (aside[T]) setMany(ctx context.Context, c *Cache[T], entries map[string]T, kept entryPolicy) error {
	return c.setEntries(ctx, entries, kept)
}

// setting is one key of a SetMany.
type setting[T any] struct {
	key   string
	value T
	entry *region.Entry
	err   error
}

// setEntries is setEntry for several keys, which all have the tokens that were
// captured before the first of them was sent.
func (c *Cache[T]) setEntries(ctx context.Context, values map[string]T, kept entryPolicy) error {
	if !kept.store || len(values) == 0 {
		return nil
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpPut)
	stamp, problem := c.region.Capture(ctx, kept.tags, kept.class.policy())
	if problem != nil {
		c.tel.redisFailed(telemetry.OpPut, problem)
	}
	keys := slices.Sorted(maps.Keys(values))
	all, entries := make([]setting[T], len(keys)), make([]*region.Entry, len(keys))
	for i, key := range keys {
		entries[i] = &region.Entry{Class: kept.class.policy(), Stamp: stamp, Size: -1}
		all[i] = setting[T]{key: key, value: values[key], entry: entries[i], err: problem}
	}
	inBatches(all, func(batch []setting[T]) { c.setBatch(ctx, batch) })
	c.region.Changed(keys...)
	errs, problems := []error(nil), make([]error, len(all))
	for i, s := range all {
		if problems[i] = s.err; s.err != nil {
			errs = append(errs, &OpError{Op: "set", Key: s.key, Err: s.err})
		}
	}
	err := joinErrors(errs, len(all))
	c.tel.EndPuts(ctx, span, len(entries), func(i int) telemetry.Put { return entries[i].Put(keys[i]) }, problems, err)
	return err
}

// setBatch encodes a batch, and sends what it may in one pipeline.
func (c *Cache[T]) setBatch(ctx context.Context, batch []setting[T]) {
	var sent []*setting[T]
	var entries []store.Entry
	for i := range batch {
		s := &batch[i]
		redisKey := c.region.RedisKey(s.key)
		if err := c.encode(s.entry, s.key, redisKey, s.value); err != nil {
			c.tel.unencodable(err)
			s.err = err
		}
		if s.err != nil {
			continue
		}
		sent, entries = append(sent, s), append(entries, c.region.ToStore(s.entry, s.key, redisKey))
	}
	c.region.Store.Set(ctx, entries)
	c.tel.redisFailed(telemetry.OpPut, region.ErrorsOf(entries, func(e *store.Entry) error { return e.Err })...)
	for i, s := range sent {
		if s.err = entries[i].Err; s.err == nil {
			c.notStored(entries[i].Answer)
		}
	}
}
