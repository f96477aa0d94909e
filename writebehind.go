package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// WriteBehindOptions configure [WriteBehind]. Zero means the default; below zero
// is an error unless something else is said.
type WriteBehindOptions struct {
	// Partitions is fixed by the first process of a name: New fails in one that
	// says otherwise. Default 16.
	Partitions int
	// Workers write to the sink, in this process. Default 4; -1 puts only.
	Workers int
	// BatchSize is the most that the sink gets in one call. Default 256.
	BatchSize int
	// MaxDirty bounds the keys that wait for the sink and the dead letters, of all
	// processes. It is divided evenly among the partitions and rounded up, so keys that
	// crowd in one of them are refused before. Default 100,000.
	MaxDirty int
	// MaxAttempts is how often the sink may fail with a value before it is a dead
	// letter. A failure counts only if the sink has taken something else of this process
	// since the one before: while it takes nothing there is an outage, which lasts as long
	// as it lasts. Default 10.
	MaxAttempts int
	// Interval is how long a dirty key waits for company in a batch. Default
	// 100 ms.
	Interval time.Duration
	// SinkTimeout is when the context of a call of the sink ends. Other workers take over
	// what one has held for three times that without a sign of life. Default 10 s.
	SinkTimeout time.Duration
	// Refuse makes Set fail with ErrBackpressure at once when MaxDirty keys are
	// dirty. By default it waits until there is room or its context ends.
	Refuse bool
	// AcceptVolatile is a sentence that names what may be lost. It makes New accept
	// a Redis that may evict unflushed writes, that has no append-only file,
	// or that does not tell.
	AcceptVolatile string
}

const defaultPartitions = 16

// writeBehind is the strategy of WriteBehind.
type writeBehind[T any] struct {
	writer BatchWriter[T]
	o      WriteBehindOptions

	engine *behind.Engine // set by open, before the cache is used
	cache  *Cache[T]

	last             atomic.Pointer[behind.Sample]
	written, refused atomic.Int64 // values the sink took; calls of it that failed
	failures         sparing      // of these, in the log
}

// WriteBehind is the strategy whose Set and Delete write to Redis alone and
// return; workers bring the latest value of each key to w, the sink, in batches.
//
// When Set returns nil the value is readable at once, by all processes, and will
// be in the sink at least once in its latest version, across crashes of any
// process; versions in between may never reach it. Lost is what Redis loses:
// with appendfsync everysec up to about 2 s of acknowledged writes at a power
// failure, with a failover the tail that was not replicated.
//
// A value that the sink refuses ten times, while it takes others, becomes a dead letter,
// see [Cache.DeadLetters], and readers get what the system of record has. An outage of the
// sink makes no dead letters: puts go on until MaxDirty, and Stats.Lag grows.
//
// New checks within 2 s that Redis will neither evict nor forget unflushed
// writes, and fails otherwise, or if it cannot ask: see AcceptVolatile. A nil w,
// or Workers -1, makes a process that puts and leaves the sink to others.
func WriteBehind[T any](w BatchWriter[T], o WriteBehindOptions) Strategy[T] {
	if o.Partitions == 0 {
		o.Partitions = defaultPartitions
	}
	return &writeBehind[T]{writer: w, o: o}
}

func (s *writeBehind[T]) problem() string {
	var all []string
	if s.o.Partitions < 0 || s.o.Partitions > 1<<10 {
		all = append(all, fmt.Sprintf("WriteBehindOptions.Partitions: %d is not between 1 and 1024", s.o.Partitions))
	}
	for _, n := range []struct {
		field string
		value int64
		least int64
	}{
		{"Workers", int64(s.o.Workers), -1},
		{"BatchSize", int64(s.o.BatchSize), 0},
		{"MaxDirty", int64(s.o.MaxDirty), 0},
		{"MaxAttempts", int64(s.o.MaxAttempts), 0},
		{"Interval", int64(s.o.Interval), 0},
		{"SinkTimeout", int64(s.o.SinkTimeout), 0},
	} {
		if n.value < n.least {
			all = append(all, fmt.Sprintf("WriteBehindOptions.%s: %d is below %d", n.field, n.value, n.least))
		}
	}
	return strings.Join(all, "; ")
}

func (s *writeBehind[T]) failClosed() bool { return false }

// openTime is what New may take to check the server and to join the workers.
const openTime = 2 * time.Second

// refusal is an answer of Redis for which New fails: it would be the same again.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// open checks the server, claims the name and starts the workers. A Redis that
// does not answer at once is asked again until the time is over; the error is
// then why, not that it is over.
func (s *writeBehind[T]) open(c *Cache[T]) (err error) {
	s.cache = c
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	for {
		failed := s.join(ctx, c)
		if failed == nil {
			return nil
		}
		if err == nil || store.Ended(ctx) == nil {
			err = failed
		}
		if errors.As(failed, &refusal{}) || !store.Infrastructure(failed) || c.region.Background.Sleep(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

// join makes one attempt. Each of its steps may be repeated.
func (s *writeBehind[T]) join(ctx context.Context, c *Cache[T]) error {
	if s.o.AcceptVolatile == "" {
		if err := c.region.Store.CheckDurability(ctx); err != nil {
			said := fmt.Errorf("%w; or accept that with WriteBehindOptions.AcceptVolatile", err)
			if errors.Is(err, store.ErrVolatile) {
				return refusal{said}
			}
			return said
		}
	}
	if err := s.claim(ctx, true); err != nil {
		return err
	}
	engine, err := behind.New(ctx, s.options())
	if err != nil {
		return err
	}
	s.engine = engine
	c.region.RedisKey, c.region.Buffered = engine.RecordKey, true
	c.region.Strategy.Own()
	return nil
}

// claim writes the meta record, or compares with the one that is there, in place of which
// it may write it if that says retired.
func (s *writeBehind[T]) claim(ctx context.Context, retired bool) error {
	r, want := s.cache.region, region.StrategyText(s.o.Partitions)
	found, err := r.Store.ClaimMeta(ctx, r.Space.Meta(), want)
	if err == nil && found == region.StrategyRetired && retired {
		if err = behind.Reopen(ctx, r.Store, s.partitions()); err == nil {
			found, err = r.Store.ReplaceMeta(ctx, r.Space.Meta(), region.StrategyRetired, want)
		}
	}
	switch {
	case err != nil || found == want:
		return err
	case found == region.StrategyRetired:
		return refusal{errRetired}
	}
	return refusal{fmt.Errorf("the cache of this name is %q, not %q: strategy and partitions are fixed by its first process", found, want)}
}

var errRetired = errors.New("write-behind of this name was retired: use another strategy, or start WriteBehind anew")

// recheck claims the name again, should Redis have been emptied: else a process of other
// partitions could take it meanwhile. If one has, or write-behind was retired, the calls of
// this cache fail.
func (s *writeBehind[T]) recheck(ctx context.Context) error {
	err, known := s.claim(ctx, false), s.cache.region.Strategy.Problem()
	switch refused := (refusal{}); {
	case errors.As(err, &refused):
		if known == nil {
			s.cache.tel.Logger.Warn("writes are refused, and reads go past Redis", "why", refused.error)
		}
		s.cache.region.Strategy.Refuse(refused.error)
		return nil // Redis has answered
	case err == nil && known != nil:
		s.cache.tel.Logger.Info("write-behind under this name goes on")
		s.cache.region.Strategy.Own()
	}
	return err
}

func (s *writeBehind[T]) options() behind.Options {
	o := behind.Options{
		Partitions:  s.partitions(),
		Store:       s.cache.region.Store,
		PartitionOf: func(key string) int { return keyspace.PartitionOf(key, s.o.Partitions) },
		Workers:     s.o.Workers, BatchSize: s.o.BatchSize, MaxAttempts: s.o.MaxAttempts,
		Notice:   s.cache.region.Notice,
		Interval: s.o.Interval, SinkTimeout: s.o.SinkTimeout, MaxDirty: s.o.MaxDirty, Refuse: s.o.Refuse,
		Judge: judge, Hide: s.cache.values.sealText, Show: s.cache.values.openText,
		Hooks: behind.Hooks{
			Check: s.recheck, Sample: s.sampled, Batch: s.flushed, Overdue: s.overdue, DeadLetter: s.gaveUp, Error: s.failed,
		},
	}
	if s.writer != nil {
		o.Sink = s.sink
	}
	return o
}

func (s *writeBehind[T]) partitions() []store.Partition {
	all := make([]store.Partition, s.o.Partitions)
	for i := range all {
		p := s.cache.region.Space.Partition(i)
		all[i] = store.Partition{
			Records: p.Record(""), Letter: p.Letter(""), Dirty: p.Dirty(), Schedule: p.Schedule(), Tries: p.Tries(),
			Clock: p.Clock(), Letters: p.DeadLetters(), Reasons: p.Reasons(),
		}
	}
	return all
}

// set puts a value.
func (s *writeBehind[T]) set(ctx context.Context, c *Cache[T], key string, v T, kept entryPolicy) error {
	return s.put(ctx, "set", key, v, kept, region.Entry{Class: kept.class.policy(), Behind: true})
}

func (s *writeBehind[T]) setMany(ctx context.Context, c *Cache[T], entries map[string]T, kept entryPolicy) error {
	return setEach(ctx, c, s, entries, kept)
}

// remove puts tombstones: deletes reach the sink like values.
func (s *writeBehind[T]) remove(ctx context.Context, c *Cache[T], op string, keys []string) error {
	return forEach(keys, func(_ int, key string) error {
		var none T
		return s.put(ctx, op, key, none, c.config.entry, region.Entry{Class: c.config.entry.class.policy(), Behind: true, Absent: true})
	})
}

// put captures the tokens that the value will depend on once it is flushed.
func (s *writeBehind[T]) put(ctx context.Context, op, key string, v T, kept entryPolicy, entry region.Entry) error {
	c := s.cache
	ctx, span := c.tel.Start(ctx, spanOf(op))
	redisKey := c.region.RedisKey(key)
	entry.Size = -1
	err := s.send(ctx, op, key, redisKey, v, kept, &entry)
	if entry.Record() == nil {
		redisKey = "" // nothing was sent
	}
	c.tel.endWrite(ctx, span, op, key, redisKey, &entry, err)
	return err
}

func (s *writeBehind[T]) send(ctx context.Context, op, key, redisKey string, v T, kept entryPolicy, entry *region.Entry) (err error) {
	c := s.cache
	if entry.Stamp, err = c.region.Capture(ctx, kept.tags, kept.class.policy()); err != nil {
		return s.translate(ctx, op, key, err)
	}
	if err := c.encode(entry, key, redisKey, v); err != nil {
		c.tel.unencodable(err)
		return &OpError{Op: op, Key: key, Err: err}
	}
	_, err = s.engine.Put(ctx, key, entry.Record()[envelope.HeaderSize:])
	c.region.Changed(key)
	return s.translate(ctx, op, key, err)
}

// translate turns the engine's errors into the cache's.
func (s *writeBehind[T]) translate(ctx context.Context, op, key string, err error) error {
	over := store.Ended(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, behind.ErrBackpressure) && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrBackpressure, ctx.Err())
	case errors.Is(err, behind.ErrBackpressure):
		return ErrBackpressure
	case errors.Is(err, behind.ErrClosed), errors.Is(err, store.ErrClosed):
		return ErrClosed
	case errors.Is(err, behind.ErrNoLetter):
		return &OpError{Op: op, Key: key, Err: ErrNotFound}
	case over != nil && errors.Is(err, over):
		return err
	case errors.Is(err, store.ErrForeign):
		s.cache.tel.Foreign.Add(1)
	case errors.Is(err, store.ErrNewer), errors.Is(err, store.ErrLost), errors.Is(err, store.ErrRetired),
		errors.Is(err, behind.ErrLetters): // Redis has answered
	default:
		s.cache.tel.redisFailed(telemetry.OpPut, err)
	}
	return &OpError{Op: op, Key: key, Err: err}
}

func (s *writeBehind[T]) flush(ctx context.Context) (dirty int, err error) {
	err = s.engine.Flush(ctx)
	if err == nil || store.Ended(ctx) == nil { // of a Redis that fails no number can be asked
		return 0, s.translate(ctx, "flush", "", err)
	}
	sample, failed := s.engine.Sample(context.WithoutCancel(ctx))
	return sample.Dirty, errors.Join(s.translate(ctx, "flush", "", err), failed)
}

func (s *writeBehind[T]) drain(ctx context.Context) error {
	return s.translate(ctx, "shutdown", "", s.engine.Drain(ctx))
}

func (s *writeBehind[T]) shut(ctx context.Context, left *RemainingError) error {
	if s.engine == nil {
		return nil
	}
	dirty, calls, err := s.engine.Close(ctx)
	left.Dirty, left.Running = dirty, left.Running+calls
	if err != nil {
		return &OpError{Op: "close", Err: err}
	}
	return nil
}

// RetireWriteBehind ends write-behind under the cache's name, in all processes, so that
// caches of another strategy may use the name, or none. It waits until everything dirty is
// in the sink, of whichever process, and refuses puts meanwhile: they fail with an
// [*OpError], and nothing of them was stored. Then it invalidates what other strategies have
// left under the name from before.
//
// After nil, write-behind caches of the name refuse writes with an [*OpError], and within a
// second read past Redis, also in other processes; close them. Caches of other strategies
// begin to use Redis within ten. Start [WriteBehind] anew to take the name back.
//
// It fails with an [*OpError] while there are dead letters, and for a cache that does not
// write behind ([errors.ErrUnsupported]), with ctx's error, or as [Cache.InvalidateAll]
// does. Then puts are taken again, after a minute at the latest, unless the error says that
// it is retired but for some keys. It may be called again, by
// any process whose sink works, or beside one.
func (c *Cache[T]) RetireWriteBehind(ctx context.Context) error {
	s, err := c.writesBehind(ctx, "retire write-behind")
	if err != nil {
		return err
	}
	return s.retire(ctx)
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

// retire ends write-behind under this name. What other strategies have left there from
// before is older than what was put, so that is invalidated first.
func (s *writeBehind[T]) retire(ctx context.Context) error {
	r := s.cache.region
	return s.translate(ctx, "retire write-behind", "", s.engine.Retire(ctx, r.InvalidateAll, func(ctx context.Context) error {
		found, err := r.Store.ReplaceMeta(ctx, r.Space.Meta(), region.StrategyText(s.o.Partitions), region.StrategyRetired)
		if err == nil && found != region.StrategyRetired {
			err = fmt.Errorf("the cache of this name is %q by now", found)
		}
		if err == nil {
			r.Strategy.Refuse(errRetired)
		}
		return err
	}))
}

func (s *writeBehind[T]) queue() *behind.Engine { return s.engine }
