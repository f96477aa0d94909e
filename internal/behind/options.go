package behind

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// Mutation is what the sink is to make true of one key.
type Mutation struct {
	Key string
	// Payload is the encoded value, nil if Deleted. It is the sink's to keep.
	Payload []byte
	// Codec and Schema are those of the envelope: what encoded the payload.
	Codec  uint8
	Schema uint16
	// Proof and Proven are those of the envelope: what authenticates the mutation.
	Proof, Proven []byte
	// Deleted says that the key is to be removed.
	Deleted bool
	// Version grows with every put of the key. A sink that has a higher one must
	// leave its row alone and count that as success.
	Version uint64
}

// Sink writes a batch, in which no key occurs twice. It returns nil only if all
// of it is written, or a [BatchError]; after another error, a panic or ctx's end the batch
// counts as not written, and is written again, whole or in parts. It runs on a goroutine of
// its own, under no lock, for as long as it takes: ctx asks it to end.
type Sink func(ctx context.Context, batch []Mutation) error

// Defaults of [Options].
const (
	DefaultWorkers     = 4
	DefaultBatchSize   = 256
	DefaultMaxDirty    = 100_000
	DefaultMaxAttempts = 10
	DefaultInterval    = 100 * time.Millisecond
	DefaultSinkTimeout = 10 * time.Second
	DefaultBackoff     = time.Second
	DefaultMaxBackoff  = time.Minute
	DefaultSampleEvery = time.Second
)

// Options configure an [Engine]. For numbers and durations zero means the
// default, and below zero is an error unless something else is said.
type Options struct {
	// Store is the way to Redis; it stays the caller's to close, after the engine.
	Store *store.Store
	// Partitions are the Redis keys; all processes must agree on them.
	Partitions []store.Partition
	// PartitionOf returns the index of a user key's partition.
	PartitionOf func(key string) int
	// Notice is what to publish for the L1 of others when the record of a user's
	// key changes. Nil: nothing.
	Notice func(key string) store.Notice

	// Hide and Show turn the reason of a dead letter into what Redis may keep, and back.
	// Nil: it is kept as it is.
	Hide, Show func(key, reason string) string

	// Sink is nil in a process that only puts.
	Sink Sink
	// Judge says what an error is that the sink returned about one value. Nil: Failed.
	Judge func(err error) Judgement
	// Workers write to the sink. Default 4; below zero this process only puts.
	Workers int
	// BatchSize is the most that the sink gets in one call. Default 256.
	BatchSize int
	// Interval is how long a worker pauses that finds less than a batch, so that keys
	// wait for company. Default 100 ms.
	Interval time.Duration
	// SinkTimeout is when the ctx of a call of the sink ends. Three times that is
	// how long a claim holds. Default 10 s.
	SinkTimeout time.Duration
	// MaxAttempts is how many tries with a value count before it is a dead letter.
	// Default 10.
	MaxAttempts int
	// Backoff is the wait before the second try, and doubles up to
	// MaxBackoff. Defaults 1 s and 60 s.
	Backoff, MaxBackoff time.Duration
	// MaxDirty bounds the keys that wait for the sink and the dead letters, of all
	// processes, divided evenly among the partitions. Default 100,000.
	MaxDirty int
	// Refuse makes a put above that fail at once; else it waits.
	Refuse bool

	// SampleEvery is the distance of the calls of Hooks.Sample. Default 1 s.
	SampleEvery time.Duration
	// Hooks tell what happens.
	Hooks Hooks
}

// Hooks are called by the workers and the sampler, which they delay; they must
// not panic. Any may be nil.
type Hooks struct {
	// Check is called before each sample.
	Check func(ctx context.Context) error
	// Sample has the state of all partitions.
	Sample func(Sample)
	// Batch has the outcome of a call of the sink.
	Batch func(Batch)
	// Overdue has a call of the sink that has not returned for so long, once.
	Overdue func(size int, d time.Duration)
	// DeadLetter has a value that was given up, and why. Version is 0 if it was lost.
	DeadLetter func(key string, version uint64, err error)
	// Error has what a worker or the sampler could not do in Redis. It tries again.
	Error func(op string, err error)
}

// Sample is the state of all partitions together.
type Sample struct {
	Dirty, DeadLetters int
	// Retrying are the dirty keys with tries that count.
	Retrying int
	// Lag is for how long the oldest dirty key has waited for the sink.
	Lag time.Duration
	// OldestRetry is for how long the sink of this process has failed with the same key, at
	// most.
	OldestRetry time.Duration
	// Taken is when the sample was.
	Taken time.Time
}

// Batch is the outcome of one call of the sink.
type Batch struct {
	Size    int
	Written int // of them
	Took    time.Duration
	Err     error
}

// putOnly reports whether this process leaves the writing to others.
func (o *Options) putOnly() bool { return o.Sink == nil || o.Workers < 0 }

// lease is how long a claim holds.
func (o *Options) lease() time.Duration { return 3 * o.SinkTimeout }

// room is how many dirty keys and dead letters a partition may have.
func (o *Options) room() int { return (o.MaxDirty + len(o.Partitions) - 1) / len(o.Partitions) }

// setDefaults fills in the defaults and reports all that is wrong.
func (o *Options) setDefaults() error {
	var errs []error
	if o.Store == nil || len(o.Partitions) == 0 || o.PartitionOf == nil {
		errs = append(errs, errors.New("store, partitions and PartitionOf are required"))
	}
	if o.Workers == 0 {
		o.Workers = DefaultWorkers
	}
	errs = append(errs,
		setDefault("BatchSize", &o.BatchSize, DefaultBatchSize),
		setDefault("MaxAttempts", &o.MaxAttempts, DefaultMaxAttempts),
		setDefault("MaxDirty", &o.MaxDirty, DefaultMaxDirty),
		setDefault("Interval", &o.Interval, DefaultInterval),
		setDefault("SinkTimeout", &o.SinkTimeout, DefaultSinkTimeout),
		setDefault("Backoff", &o.Backoff, DefaultBackoff),
		setDefault("MaxBackoff", &o.MaxBackoff, DefaultMaxBackoff),
		setDefault("SampleEvery", &o.SampleEvery, DefaultSampleEvery))
	return errors.Join(errs...)
}

// setDefault replaces a zero by the default.
func setDefault[T int | time.Duration](name string, value *T, other T) error {
	switch {
	case *value < 0:
		return fmt.Errorf("%s must not be negative, is %v", name, *value)
	case *value == 0:
		*value = other
	}
	return nil
}

func (o *Options) judge(err error) Judgement {
	if o.Judge == nil || err == nil {
		return Failed
	}
	return o.Judge(err)
}

// hide is the reason of a dead letter as Redis keeps it.
func (o *Options) hide(key, reason string) string {
	if o.Hide == nil {
		return reason
	}
	return o.Hide(key, reason)
}

// show is the reason of a dead letter, of what Redis has kept.
func (o *Options) show(key, reason string) string {
	if o.Show == nil || reason == "" {
		return reason
	}
	return o.Show(key, reason)
}

func (o *Options) notice(key string) store.Notice {
	if o.Notice == nil {
		return store.Notice{}
	}
	return o.Notice(key)
}
