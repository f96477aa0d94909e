package cache

import (
	"context"
	"iter"

	"github.com/larder-go/cache/internal/behind"
)

// DeadLetter is a value that the sink of a [WriteBehind] cache would not take.
// Its record is gone, and readers get what the system of record has. A later put of the
// key takes its place.
type DeadLetter struct {
	// ID names it for RetryDeadLetter and DropDeadLetter.
	ID, Key string
	// Version is the put's; 0 if the record was lost.
	Version uint64
	Deleted bool
	// Data is the value as the codec encoded it, so compressed or encrypted where
	// that is what the codec does: its Decode reads it, or its DecodeEntry if it is
	// an [EntryCodec]. nil if Deleted, or if the record was lost or is damaged, as
	// Reason then says.
	Data   []byte
	Reason string
}

// DeadLetters lists the dead letters of all processes that there are when it begins, in no
// particular order. It reads 64 in three round trips, and what they hold by a megabyte. An
// error is the last element: an [*OpError], or [errors.ErrUnsupported] in one for a cache
// that does not write behind.
func (c *Cache[T]) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		s, err := c.writesBehind(ctx, "dead letters")
		if err != nil {
			yield(DeadLetter{}, err)
			return
		}
		for l, err := range s.queue().DeadLetters(ctx) {
			if !yield(letterOf(l), s.translate(ctx, "dead letters", "", err)) {
				return
			}
		}
	}
}

func letterOf(l behind.DeadLetter) DeadLetter {
	return DeadLetter{ID: l.ID, Key: l.Key, Version: l.Version, Deleted: l.Deleted, Data: l.Payload, Reason: l.Reason}
}

// RetryDeadLetter gives a dead letter as many tries more as it had. It keeps its
// version, and readers see it again at once. It is refused, with an [*OpError],
// when the key is being written, or was written by Update since; the error Is
// [ErrNotFound] if there is no such letter, as after a later put. One round trip.
func (c *Cache[T]) RetryDeadLetter(ctx context.Context, id string) error {
	s, err := c.writesBehind(ctx, "retry dead letter")
	if err != nil {
		return err
	}
	return s.translate(ctx, "retry dead letter", id, s.queue().RetryDeadLetter(ctx, id))
}

// DropDeadLetter forgets a dead letter for good. The error Is [ErrNotFound] if
// there is none of that id. One round trip.
func (c *Cache[T]) DropDeadLetter(ctx context.Context, id string) error {
	s, err := c.writesBehind(ctx, "drop dead letter")
	if err != nil {
		return err
	}
	return s.translate(ctx, "drop dead letter", id, s.queue().DropDeadLetter(ctx, id))
}

// RetryDeadLetters does what [Cache.RetryDeadLetter] does with all dead letters that match,
// by their reason for example, and returns with how many it did. match gets them without
// Data, which is not read; nil matches all. What is refused is left as it is. It looks at
// those that there are when it begins: one that dies again meanwhile is not retried twice.
// Three round trips for 64.
func (c *Cache[T]) RetryDeadLetters(ctx context.Context, match func(DeadLetter) bool) (retried int, err error) {
	return c.eachLetter(ctx, "retry dead letters", (*behind.Engine).RetryDeadLetters, match)
}

// DropDeadLetters does what [Cache.DropDeadLetter] does with all dead letters that match,
// as RetryDeadLetters retries them.
func (c *Cache[T]) DropDeadLetters(ctx context.Context, match func(DeadLetter) bool) (dropped int, err error) {
	return c.eachLetter(ctx, "drop dead letters", (*behind.Engine).DropDeadLetters, match)
}

func (c *Cache[T]) eachLetter(
	ctx context.Context, op string,
	do func(*behind.Engine, context.Context, func(behind.DeadLetter) bool) (int, error), match func(DeadLetter) bool,
) (int, error) {
	s, err := c.writesBehind(ctx, op)
	if err != nil {
		return 0, err
	}
	n, err := do(s.queue(), ctx, func(l behind.DeadLetter) bool { return match == nil || match(letterOf(l)) })
	return n, s.translate(ctx, op, "", err)
}
