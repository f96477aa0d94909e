package cache

import (
	"context"
	"reflect"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/pending"
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

func (aside[T]) set(ctx context.Context, c *Cache[T], key string, v T, kept entry) error {
	return c.setEntry(ctx, key, v, kept)
}

func (aside[T]) remove(ctx context.Context, c *Cache[T], op string, keys []string) error {
	ctx, err := c.removal(ctx)
	if err != nil {
		return err
	}
	return c.invalidate(ctx, op, keys)
}

// setEntry writes v's entry, whatever is there, but for an open write, a write
// that is not flushed yet, a newer version and what is not ours.
func (c *Cache[T]) setEntry(ctx context.Context, key string, v T, kept entry) error {
	if !kept.store {
		return nil
	}
	redisKey := c.redisKey(key)
	ctx, span := c.tel.Start(ctx, telemetry.OpPut)
	entry := stored{class: kept.class}
	err := c.setStamped(ctx, key, redisKey, v, kept, &entry)
	c.changed(key)
	if entry.record == nil {
		redisKey = "" // it cannot be encoded, and was not sent
	}
	c.tel.EndPut(ctx, span, redisKey, entry.put(key), err)
	return err
}

// setStamped captures the tokens that the entry depends on, and sends it.
func (c *Cache[T]) setStamped(ctx context.Context, key, redisKey string, v T, kept entry, entry *stored) (err error) {
	entry.stamp, err = c.capture(ctx, kept)
	if err := c.encode(entry, key, redisKey, v); err != nil {
		c.tel.unencodable(err)
		return &OpError{Op: "set", Key: key, Err: err}
	}
	if err != nil {
		c.tel.redisFailed(telemetry.OpPut, err)
		return &OpError{Op: "set", Key: key, Err: err}
	}
	entries := [1]store.Entry{c.entryToStore(key, redisKey, entry)}
	if c.store.Set(ctx, entries[:]); entries[0].Err != nil {
		c.tel.redisFailed(telemetry.OpPut, entries[0].Err)
		return &OpError{Op: "set", Key: key, Err: entries[0].Err}
	}
	c.notStored(entries[0].Answer)
	return nil
}

// entryToStore is entry as the store sends it without a lease.
func (c *Cache[T]) entryToStore(key, redisKey string, entry *stored) store.Entry {
	soft, life := entry.times(entry.began)
	return store.Entry{
		Key: redisKey, Version: entry.version, TTL: life, Soft: soft, CID: envelope.NewToken(), Record: entry.record, Notice: c.notice(key),
	}
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

// invalidate removes entries and leases, then detaches the keys' flights: also
// when Redis did not answer, for then their commits must not follow. What
// failed is queued.
func (c *Cache[T]) invalidate(ctx context.Context, op string, keys []string) error {
	return c.remove(ctx, op, keys, c.sendInvalidations)
}

// sendInvalidations sends one for each key. The errors are aligned with the keys; nil if
// there is none.
func (c *Cache[T]) sendInvalidations(ctx context.Context, keys []string) []error {
	changes := c.changes(keys)
	if c.config.replicas.N > 0 {
		c.store.InvalidateConfirmed(ctx, changes, c.config.replicas)
	} else {
		c.store.Invalidate(ctx, changes)
	}
	return changeErrors(changes)
}

// Expire makes entries stale now. Where the cache's own class (that of New, not
// one given to a call) has a stale window,
// callers are served the old value for as long as the window allows while one
// of them refreshes it, or while loads fail; where it has none, Expire is
// [Cache.Invalidate]. What becomes of ctx, the errors
// and the round trips are those of Invalidate.
func (c *Cache[T]) Expire(ctx context.Context, keys ...string) error {
	ctx, err := c.removal(ctx)
	if err != nil {
		return err
	}
	if err := c.agree(ctx, "expire", ""); err != nil {
		return err
	}
	window := c.config.entry.class.policy().StaleWindow()
	if window <= 0 {
		return c.invalidate(ctx, "expire", keys)
	}
	return c.remove(ctx, "expire", keys, func(ctx context.Context, keys []string) []error {
		changes := c.changes(keys)
		c.store.Expire(ctx, changes, window)
		return changeErrors(changes)
	})
}

// remove is what invalidate and Expire have in common.
func (c *Cache[T]) remove(ctx context.Context, op string, keys []string, send func(context.Context, []string) []error) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpRemove)
	failed := send(ctx, keys)
	err := c.queueFailed(op, keyTargets(keys), failed)
	c.changed(keys...)
	c.tel.EndRemoves(ctx, span, keys, failed, err)
	return err
}

// changes are those of keys, as the store is told of them.
func (c *Cache[T]) changes(keys []string) []store.Change {
	changes := make([]store.Change, len(keys))
	for i, key := range keys {
		changes[i] = store.Change{Key: c.redisKey(key), Notice: c.notice(key)}
	}
	return changes
}

func changeErrors(changes []store.Change) []error {
	return errorsOf(changes, func(c *store.Change) error { return c.Err })
}

// errorsOf are the errors of what Redis was asked, aligned with it; nil if there is none.
func errorsOf[Q any](asked []Q, of func(*Q) error) (errs []error) {
	for i := range asked {
		if err := of(&asked[i]); err != nil {
			if errs == nil {
				errs = make([]error, len(asked))
			}
			errs[i] = err
		}
	}
	return errs
}

// queueFailed queues the invalidations that failed, and joins their errors.
func (c *Cache[T]) queueFailed(op string, targets []pending.Target, failed []error) error {
	var all []error
	for i, err := range failed {
		if err != nil {
			all = append(all, c.queue(op, targets[i], err))
		}
	}
	c.tel.redisFailed(telemetry.OpRemove, failed...)
	return joinErrors(all, len(targets))
}

// queue keeps an invalidation that failed with cause for later and returns the
// error to report. intents are write intents of ours that may still be open.
func (c *Cache[T]) queue(op string, about pending.Target, cause error, intents ...envelope.Token) error {
	c.pending.Add(about, intents...)
	err := &OpError{Op: op, Err: pendingError{cause}}
	if about.Kind == pending.Key {
		err.Key = about.Name
	}
	return err
}

// newQueue is the queue of what Redis does not accept.
func (c *Cache[T]) newQueue() *pending.Queue {
	return pending.New(pending.Options{
		Keys: c.sendInvalidations,
		Tags: c.replaceTags,
		All:  c.clearAgain,
		End: func(ctx context.Context, keys []string, intents []envelope.Token) []error {
			ends := make([]store.EndWrite, len(intents))
			for i, intent := range intents {
				ends[i] = store.EndWrite{Key: c.redisKey(keys[i]), Token: intent}
			}
			c.store.EndWrite(ctx, ends)
			return errorsOf(ends, func(e *store.EndWrite) error { return e.Err })
		},
		Unasked: store.ErrOpen,
		Closing: c.closing,
		Closed:  ErrClosed,
		Logger:  c.tel.Logger,
	})
}

// keyTargets are what invalidations of keys are about.
func keyTargets(keys []string) []pending.Target {
	all := make([]pending.Target, len(keys))
	for i, key := range keys {
		all[i].Name = key
	}
	return all
}
