package cache

import (
	"context"
	"errors"
	"iter"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/telemetry"
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
		for l, err := range s.engine.DeadLetters(ctx) {
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
	return s.translate(ctx, "retry dead letter", id, s.engine.RetryDeadLetter(ctx, id))
}

// DropDeadLetter forgets a dead letter for good. The error Is [ErrNotFound] if
// there is none of that id. One round trip.
func (c *Cache[T]) DropDeadLetter(ctx context.Context, id string) error {
	s, err := c.writesBehind(ctx, "drop dead letter")
	if err != nil {
		return err
	}
	return s.translate(ctx, "drop dead letter", id, s.engine.DropDeadLetter(ctx, id))
}

// writesBehind is the strategy, if it is that of WriteBehind.
func (c *Cache[T]) writesBehind(ctx context.Context, op string) (*writeBehind[T], error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	if s, ok := c.strategy.(*writeBehind[T]); ok {
		return s, nil
	}
	return nil, &OpError{Op: op, Err: errors.ErrUnsupported}
}

// count adds what the keeper sampled last.
func (s *writeBehind[T]) count(to *Stats) {
	if sample := s.last.Load(); sample != nil {
		to.Dirty, to.DeadLetters, to.Lag = int64(sample.Dirty), int64(sample.DeadLetters), sample.Lag
	}
	to.Flushed, to.FlushErrors = s.written.Load(), s.refused.Load()
}

func (s *writeBehind[T]) sampled(sample behind.Sample) { s.last.Store(&sample) }

func (s *writeBehind[T]) flushed(b behind.Batch) {
	if b.Err != nil {
		s.refused.Add(1)
		s.cache.tel.Logger.Warn("the sink failed", "size", b.Size, "error", b.Err)
		return
	}
	s.written.Add(int64(b.Size))
}

func (s *writeBehind[T]) gaveUp(key string, version uint64, err error) {
	t := s.cache.tel
	t.Logger.Error("a value was given up: it is a dead letter", "version", version, "error", err)
	if f := t.hooks.DeadLetter; f != nil {
		t.call("DeadLetter", func() { f(key, version, err) })
	}
}

func (s *writeBehind[T]) failed(op string, err error) {
	s.cache.tel.redisFailed(telemetry.OpFlush, err)
}
