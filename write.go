package cache

import (
	"context"
	"reflect"

	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is the writes to the entries, which the strategies are made of.

// Versioned is optional on T, or on a pointer to it: the version of the row, as
// the system of record assigned it, never a clock of the application. An older
// version never replaces a newer one in the cache; after an eviction there is
// nothing to compare with. 0 means unversioned.
type Versioned interface{ CacheVersion() uint64 }

// versionOf finds out once how a T tells its version.
func versionOf[T any]() func(T) uint64 {
	versioned := reflect.TypeFor[Versioned]()
	t := reflect.TypeFor[T]()
	switch {
	case t.Implements(versioned) && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface):
		return func(v T) uint64 {
			if isNil(v) {
				return 0
			}
			return any(v).(Versioned).CacheVersion()
		}
	case t.Implements(versioned):
		return func(v T) uint64 { return any(v).(Versioned).CacheVersion() }
	case reflect.PointerTo(t).Implements(versioned):
		return func(v T) uint64 { return any(&v).(Versioned).CacheVersion() }
	}
	return func(T) uint64 { return 0 }
}

// aside is the strategy of Aside.
type aside[T any] struct{ unbuffered }

// Aside is cache-aside: the caller writes to the system of record and then
// invalidates the entry; GetOrLoad fills it.
func Aside[T any]() Strategy[T] { return aside[T]{} }

func (aside[T]) problem() string { return "" }

func (aside[T]) failClosed() bool { return false }

func (aside[T]) open(*Cache[T]) error { return nil }

func (aside[T]) set(ctx context.Context, c *Cache[T], key string, v T, kept entryPolicy) error {
	return c.setEntry(ctx, key, v, kept)
}

func (aside[T]) remove(ctx context.Context, c *Cache[T], op string, keys []string) error {
	return c.invalidate(ctx, op, keys)
}

// setEntry writes v's entry, whatever is there, but for an open write, a write
// that is not flushed yet, a newer version and what is not ours.
func (c *Cache[T]) setEntry(ctx context.Context, key string, v T, kept entryPolicy) error {
	if !kept.store {
		return nil
	}
	redisKey := c.region.RedisKey(key)
	ctx, span := c.tel.Start(ctx, telemetry.OpPut)
	entry := region.Entry{Class: kept.class.policy()}
	err := c.setStamped(ctx, key, redisKey, v, kept, &entry)
	c.region.Changed(key)
	if entry.Record() == nil {
		redisKey = "" // it cannot be encoded, and was not sent
	}
	c.tel.EndPut(ctx, span, redisKey, entry.Put(key), err)
	return err
}

// setStamped captures the tokens that the entry depends on, and sends it.
func (c *Cache[T]) setStamped(ctx context.Context, key, redisKey string, v T, kept entryPolicy, entry *region.Entry) (err error) {
	entry.Stamp, err = c.region.Capture(ctx, kept.tags, kept.class.policy())
	if err := c.encode(entry, key, redisKey, v); err != nil {
		c.tel.unencodable(err)
		return &OpError{Op: "set", Key: key, Err: err}
	}
	if err != nil {
		c.tel.redisFailed(telemetry.OpPut, err)
		return &OpError{Op: "set", Key: key, Err: err}
	}
	entries := [1]store.Entry{c.region.ToStore(entry, key, redisKey)}
	if c.region.Store.Set(ctx, entries[:]); entries[0].Err != nil {
		c.tel.redisFailed(telemetry.OpPut, entries[0].Err)
		return &OpError{Op: "set", Key: key, Err: entries[0].Err}
	}
	c.notStored(entries[0].Answer)
	return nil
}

// notStored counts what set left alone.
func (c *Cache[T]) notStored(answer store.SetAnswer) {
	switch answer {
	case store.SetForeign:
		c.tel.Foreign.Add(1)
		c.tel.Bypassed.Add(1)
	case store.SetDirty:
		c.tel.Bypassed.Add(1)
	}
}

// invalidate removes entries, and the leases of loads that run for them.
func (c *Cache[T]) invalidate(ctx context.Context, op string, keys []string) error {
	return c.remove(ctx, op, keys, c.region.Invalidate)
}

// Expire makes entries stale now. Where the cache's own class (that of New, not
// one given to a call) has a stale window,
// callers are served the old value for as long as the window allows while one
// of them refreshes it, or while loads fail; where it has none, Expire is
// [Cache.Invalidate]. What becomes of ctx, the errors
// and the round trips are those of Invalidate.
func (c *Cache[T]) Expire(ctx context.Context, keys ...string) error {
	if err := c.mayRemove(ctx, "expire"); err != nil {
		return err
	}
	window := c.config.entry.class.policy().StaleWindow()
	if window <= 0 {
		return c.invalidate(ctx, "expire", keys)
	}
	return c.remove(ctx, "expire", keys, func(ctx context.Context, keys []string) []error {
		return c.region.Expire(ctx, keys, window)
	})
}

// remove is what invalidate and Expire have in common.
func (c *Cache[T]) remove(ctx context.Context, op string, keys []string, send func(context.Context, []string) []error) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpRemove)
	failed := send(ctx, keys)
	err := changeError(op, keys, failed)
	c.tel.EndRemoves(ctx, span, keys, failed, err)
	return err
}

// changeError joins the errors of a change of keys, which are queued; without keys they
// are of what has none.
func changeError(op string, keys []string, failed []error) error {
	var all []error
	for i, err := range failed {
		if err == nil {
			continue
		}
		own := &OpError{Op: op, Err: err}
		if keys != nil {
			own.Key = keys[i]
		}
		all = append(all, own)
	}
	return joinErrors(all, len(failed))
}
