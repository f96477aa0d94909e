package cache

import (
	"context"
	"errors"
	"iter"
)

// DeadLetter is a value that the sink of a [WriteBehind] cache would not take.
// Its record is gone, and readers get what the system of record has.
type DeadLetter struct {
	// ID names it for RetryDeadLetter and DropDeadLetter.
	ID, Key string
	Version uint64
	Deleted bool
	// Data is the value as the codec encoded it, so compressed or encrypted where
	// that is what the codec does: its Decode reads it, or its DecodeEntry if it is
	// an [EntryCodec]. nil if Deleted, or if the record was lost or is damaged, as
	// Reason then says.
	Data   []byte
	Reason string
}

// DeadLetters lists the dead letters of all processes, in no particular order,
// 64 for each round trip. An error is the last element: an [*OpError], or
// [errors.ErrUnsupported] in one for a cache that does not write behind.
func (c *Cache[T]) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		s, err := c.writesBehind(ctx, "dead letters")
		if err != nil {
			yield(DeadLetter{}, err)
			return
		}
		for l, err := range s.queue().DeadLetters(ctx) {
			out := DeadLetter{ID: l.ID, Key: l.Key, Version: l.Version, Deleted: l.Deleted, Data: l.Payload, Reason: l.Reason}
			if !yield(out, s.translate(ctx, "dead letters", "", err)) {
				return
			}
		}
	}
}

// RetryDeadLetter gives a dead letter as many tries more as it had. It keeps its
// version, and readers see it again at once. It is refused, with an [*OpError],
// when something newer is there; the error Is [ErrNotFound] if there is no such
// letter. Two round trips.
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

// writesBehind is the strategy, if it is that of WriteBehind.
func (c *Cache[T]) writesBehind(ctx context.Context, op string) (buffering, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	if s, ok := c.strategy.(buffering); ok {
		return s, nil
	}
	return nil, &OpError{Op: op, Err: errors.ErrUnsupported}
}
