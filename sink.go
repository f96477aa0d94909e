package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/telemetry"
)

// Mutation is what the sink of a [WriteBehind] cache is to make true of one key.
type Mutation[T any] struct {
	Key string
	// Value is the latest value that was put; the zero value if Deleted.
	Value   T
	Deleted bool
	// Version grows with every put of the key. It is the sink's fence: a worker
	// that was paused may come late with an old value, so a sink that has a
	// higher version must leave its row alone (… WHERE version < ?) and count
	// that as success.
	Version uint64
}

// BatchWriter writes a batch to the system of record. No key occurs twice in it.
// nil means that all of it is written. A [BatchError] says which of it is not; after
// another error or a panic the batch is written again, in halves until the guilty are
// alone: it must be idempotent. A value that fails alone is tried again later, and given
// up after WriteBehindOptions.MaxAttempts, or at once if the error is a [PermanentError].
//
// A version that is higher than the mutation's is no failure: see [ErrHadNewer].
type BatchWriter[T any] func(ctx context.Context, batch []Mutation[T]) error

// ErrHadNewer is what a [BatchWriter] may say of a mutation, in a [BatchError] or of one
// that is alone, whose version is not higher than what the system of record has. The
// mutation counts as written; the cached value, which then is not what the system of record
// has, is removed. A writer that does not tell leaves it for its TTL: after Redis has come
// back as it was some time before, that is an old value.
var ErrHadNewer = errors.New("cache: the system of record has a newer version")

// PermanentError is what a [BatchWriter] may return, or wrap, of a mutation that no other
// try can bring to the system of record: it becomes a dead letter at once. Of a batch of
// several it says nothing until they are alone; a [BatchError] says of which.
type PermanentError struct {
	// Err is why; Unwrap returns it.
	Err error
}

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PermanentError) Unwrap() error { return e.Err }

// BatchError is what a [BatchWriter] may return that knows which mutations of the batch it
// has not written, by key, and why. All others are written.
type BatchError map[string]error

func (e BatchError) Error() string { return behind.BatchError(e).Error() }

// errSinkLeft is what the span of a sink says that panics or calls Goexit.
var errSinkLeft = errors.New("the sink did not return")

// sink gives a batch to the writer, in a span.
func (s *writeBehind[T]) sink(ctx context.Context, batch []behind.Mutation) (err error) {
	ctx, span := s.cache.tel.Start(ctx, telemetry.OpFlush)
	err = errSinkLeft // until it returns
	defer func() { s.cache.tel.End(span, err) }()
	err = s.give(ctx, batch)
	return err
}

// give writes what can be decoded. What cannot is told apart, unless the others have failed
// together: then the batch is halved, until it is.
func (s *writeBehind[T]) give(ctx context.Context, batch []behind.Mutation) (err error) {
	out, failed := s.decode(batch)
	if len(out) > 0 {
		err = s.writer(ctx, out)
	}
	var each BatchError
	if !errors.As(err, &each) && (err != nil || len(failed) == 0) {
		return err
	}
	for key, err := range each {
		failed[key] = err
	}
	return failed
}

// unreadableError is that of a value which this process cannot decode.
type unreadableError struct{ error }

func (e unreadableError) Unwrap() error { return e.error }

// otherFormat is why a value is not decoded that another program has put.
type otherFormat struct {
	codec, ourCodec   uint8
	schema, ourSchema uint16
}

func (e otherFormat) Error() string {
	return fmt.Sprintf("encoded by codec %d in schema %d, not %d and %d", e.codec, e.schema, e.ourCodec, e.ourSchema)
}

// decode decodes a batch, and says why it could not.
func (s *writeBehind[T]) decode(batch []behind.Mutation) ([]Mutation[T], behind.BatchError) {
	c := s.cache
	out, failed := make([]Mutation[T], 0, len(batch)), behind.BatchError{}
	for _, m := range batch {
		one := Mutation[T]{Key: m.Key, Deleted: m.Deleted, Version: m.Version}
		if err := c.values.proven(m.Key, m.Proof, m.Proven, m.Payload); err != nil {
			failed[m.Key] = unreadableError{err}
			continue
		}
		if m.Deleted {
			out = append(out, one)
			continue
		}
		if m.Codec != c.values.id || m.Schema > c.config.schema || m.Schema < c.config.schema && c.migrate == nil {
			failed[m.Key] = unreadableError{otherFormat{m.Codec, c.values.id, m.Schema, c.config.schema}}
		} else if err := contain(func() error { return c.decodeSchema(m.Schema, m.Payload, m.Key, &one.Value) }); err != nil {
			failed[m.Key] = unreadableError{fmt.Errorf("decode: %w", err)}
		} else {
			out = append(out, one)
		}
	}
	return out, failed
}

// loggedBatch is logged for an error of the sink, or of what stands between it and Redis.
func loggedBatch(err error) string {
	if each, ok := errors.AsType[behind.BatchError](err); ok {
		for _, err := range each {
			return fmt.Sprintf("of %d values, of one: %s", len(each), loggedBatch(err))
		}
	}
	if panicked, ok := errors.AsType[*behind.PanicError](err); ok {
		return (&PanicError{Value: panicked.Value}).quiet()
	}
	if unreadable, ok := errors.AsType[unreadableError](err); ok {
		if other, ok := errors.AsType[otherFormat](unreadable.error); ok {
			return other.Error()
		}
		return "it cannot be decoded here: " + logged(unreadable.error)
	}
	return logged(err)
}

// judge says what the sink's error about one value means.
func judge(err error) behind.Judgement {
	var permanent *PermanentError
	var unreadable unreadableError
	switch {
	case errors.Is(err, ErrHadNewer):
		return behind.HadNewer
	case errors.As(err, &unreadable):
		return behind.Unreadable
	case errors.As(err, &permanent):
		return behind.Permanent
	}
	return behind.Failed
}

// flushed hears of each call of the sink. Of those that fail the log has one a second, and how
// many more there were before it.
func (s *writeBehind[T]) flushed(b behind.Batch) {
	s.cache.tel.SinkTook(b.Took)
	s.written.Add(int64(b.Written))
	if b.Written == b.Size {
		return
	}
	s.refused.Add(1)
	more, ok := s.failures.may()
	if !ok {
		return
	}
	about := []any{"size", b.Size, "written", b.Written, "error", loggedBatch(b.Err)}
	if more > 0 {
		about = append(about, "more", more)
	}
	s.cache.tel.Logger.Warn("the sink failed", about...)
}

func (s *writeBehind[T]) overdue(size int, d time.Duration) {
	s.cache.tel.Logger.Warn("the sink does not return", "size", size, "after", d)
}

func (s *writeBehind[T]) gaveUp(key string, version uint64, err error) {
	t := s.cache.tel
	t.Logger.Error("a value was given up: it is a dead letter", "version", version, "error", loggedBatch(err))
	if f := t.hooks.DeadLetter; f != nil {
		t.call("DeadLetter", func() { f(key, version, err) })
	}
}

func (s *writeBehind[T]) failed(op string, err error) {
	s.cache.tel.redisFailed(telemetry.OpFlush, err)
}

func (s *writeBehind[T]) hasSampled() bool {
	sample := s.last.Load()
	return sample != nil && time.Since(sample.Taken) < time.Minute
}

// count adds what was sampled last, and what is under way.
func (s *writeBehind[T]) count(to *Stats) {
	if sample := s.last.Load(); sample != nil {
		to.Dirty, to.DeadLetters, to.Lag = int64(sample.Dirty), int64(sample.DeadLetters), sample.Lag
		to.Retrying, to.OldestRetry = int64(sample.Retrying), sample.OldestRetry
	}
	to.SinkCalls, to.WaitingPuts = s.engine.SinkCalls(), s.engine.WaitingPuts()
	to.Flushed, to.FlushErrors = s.written.Load(), s.refused.Load()
}

func (s *writeBehind[T]) sampled(sample behind.Sample) { s.last.Store(&sample) }
