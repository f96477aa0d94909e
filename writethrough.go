package cache

import (
	"context"
	"errors"

	"github.com/larder-go/cache/internal/region"
)

// Writer writes to the system of record on behalf of [Cache.Set] and
// [Cache.Delete]. A write that returned nil is committed. Its context ends after
// 29 s, before the write intent does.
type Writer[T any] interface {
	Write(ctx context.Context, key string, v T) error
	Delete(ctx context.Context, key string) error
}

// ReturningWriter is optional on a [Writer]: stored is what the system of record
// now holds, with its defaults, its triggers' work and the version it assigned.
// The cache keeps stored instead of v.
type ReturningWriter[T any] interface {
	WriteReturning(ctx context.Context, key string, v T) (stored T, err error)
}

// WriteThroughOption is an option of [WriteThrough].
type WriteThroughOption interface{ apply(*writeThroughOptions) }

// writeThroughOptions are what the options add up to: refuse writes that cannot
// be guarded.
type writeThroughOptions struct{ refuse bool }

type writeThroughOption func(*writeThroughOptions)

func (f writeThroughOption) apply(o *writeThroughOptions) { f(o) }

// FailClosed refuses a write, also one of Update, while Redis does not take its
// intent: the error is an [*OpError] and nothing was written. By default the
// write is made and its invalidation queued, which is reported as [ErrPending].
func FailClosed() WriteThroughOption {
	return writeThroughOption(func(o *writeThroughOptions) { o.refuse = true })
}

// writeThrough is the strategy of WriteThrough.
type writeThrough[T any] struct {
	writer    Writer[T]
	returning ReturningWriter[T] // nil: the value is stored as it was given
	writeThroughOptions
	unbuffered
}

// WriteThrough is the strategy whose Set and Delete write the system of record
// first, through w, and the cache second:
//
//  1. A write intent goes into the key's record: from then on readers load
//     without storing, and running loads store nothing.
//  2. w writes.
//  3. The intent is replaced by the new value, if no other write overlapped,
//     else removed.
//
// A process that dies on the way leaves nothing stale behind: the intent ends by
// itself after 30 s. w's error is returned unchanged, and nothing is cached. If
// Redis fails, see [FailClosed].
func WriteThrough[T any](w Writer[T], opts ...WriteThroughOption) Strategy[T] {
	s := &writeThrough[T]{writer: w}
	s.returning, _ = w.(ReturningWriter[T])
	for _, option := range opts {
		if option != nil {
			option.apply(&s.writeThroughOptions)
		}
	}
	return s
}

func (s *writeThrough[T]) problem() string {
	if isNil(s.writer) {
		return "WriteThrough: the writer is nil"
	}
	return ""
}

func (s *writeThrough[T]) failClosed() bool { return s.refuse }

func (s *writeThrough[T]) open(*Cache[T]) error { return nil }

func (s *writeThrough[T]) set(ctx context.Context, c *Cache[T], key string, v T, kept entryPolicy) error {
	return c.writeGuarded(ctx, "set", key, kept, func(ctx context.Context) (T, error) { return s.write(ctx, key, v) })
}

func (s *writeThrough[T]) setMany(ctx context.Context, c *Cache[T], entries map[string]T, kept entryPolicy) error {
	return setEach(ctx, c, s, entries, kept)
}

// write calls the writer and returns what the system of record now holds.
func (s *writeThrough[T]) write(ctx context.Context, key string, v T) (T, error) {
	if s.returning != nil {
		return s.returning.WriteReturning(ctx, key, v)
	}
	return v, s.writer.Write(ctx, key, v)
}

func (s *writeThrough[T]) remove(ctx context.Context, c *Cache[T], op string, keys []string) error {
	return forEach(keys, func(_ int, key string) error {
		return c.writeGuarded(ctx, op, key, c.config.entry, func(ctx context.Context) (v T, err error) {
			if err := s.writer.Delete(ctx, key); err != nil {
				return v, err
			}
			return v, errDeleted
		})
	})
}

// writeGuarded makes a write under an intent and then stores what write
// returned. After errDeleted the absence is stored, if the class remembers it.
func (c *Cache[T]) writeGuarded(ctx context.Context, op, key string, kept entryPolicy, write func(context.Context) (T, error)) (err error) {
	ctx, span := c.tel.Start(ctx, spanOf(op))
	var sent *region.Entry
	err = errWriteLeft // until it returns
	defer func() { c.tel.endWrite(ctx, span, op, key, c.region.RedisKey(key), sent, err) }()
	sent, err = c.guarded(ctx, op, key, kept, write)
	return err
}

// guarded returns what was sent to be stored, too.
func (c *Cache[T]) guarded(ctx context.Context, op, key string, kept entryPolicy, write func(context.Context) (T, error)) (*region.Entry, error) {
	wanted := kept.wanted()
	g, err := c.guard(ctx, op, key, &wanted)
	if err != nil {
		return nil, err
	}
	err = g.run(ctx, op, key, func(ctx context.Context) (entry *region.Entry, err error) {
		err = contain(func() error {
			v, err := write(ctx)
			if err == nil || err == errDeleted { //nolint:errorlint // ours, and never wrapped
				entry, err = c.entryOf(kept, g.Stamp, key, v, err != nil), nil
			}
			return err
		})
		return entry, err
	})
	return g.entry, err
}

// errDeleted is what a write returns in place of a value that it deleted.
var errDeleted = errors.New("deleted")

// entryOf encodes what a write left in the system of record, or returns nil if
// that is not to be stored or cannot be encoded.
func (c *Cache[T]) entryOf(kept entryPolicy, stamp region.Stamp, key string, v T, absent bool) *region.Entry {
	if !kept.store || absent && kept.class.Absent <= 0 {
		return nil
	}
	entry := &region.Entry{Class: kept.class.policy(), Stamp: stamp, Absent: absent}
	if err := contain(func() error { return c.encode(entry, key, c.region.RedisKey(key), v) }); err != nil {
		c.tel.unencodable(err)
		return nil
	}
	return entry
}
