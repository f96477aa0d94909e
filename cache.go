package cache

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Cache is a cache of values of type T under one name in a Redis. Make it with
// [New]; its methods may be called concurrently.
//
// Every method returns [ErrClosed] after Close, and ctx's error when ctx ends
// first. No key is refused: it may be empty, long, or no text at all.
type Cache[T any] struct {
	name     string
	client   redis.UniversalClient
	migrate  Migration[T] // of unflushed writes of an older schema; nil: there is none
	config   config
	values   valueCodec
	strategy Strategy[T]
	tel      *reporter
	version  func(T) uint64
	region   *region.Region
	local    *localSide[T] // nil: no L1
	slides   *load.Slots
	rooms    sync.Pool // of *lookupRoom[T]

	closed atomic.Bool
	close  sync.Once
	left   error // what Close returns
}

// New returns a cache of the given name over client, which may be any client
// of go-redis and stays the caller's to close. The name, 1 to 64 bytes, is the
// namespace in Redis: caches of the same name share their entries, in all
// processes, and must agree on the strategy.
//
// New sends nothing to Redis, except under [WriteBehind]: a Redis that is down is
// no error. It reports all bad arguments and options at once, joined, and warns through the logger
// about a client whose settings would make calls hang; [Tune] mends them.
func New[T any](client redis.UniversalClient, name string, s Strategy[T], opts ...Option) (*Cache[T], error) {
	config, space, err := newConfig(client, name, s, reflect.TypeFor[T](), opts)
	if err != nil {
		return nil, err
	}
	c := &Cache[T]{
		name: name, client: client, config: config, strategy: s, values: valueCodecFor(config.codec, decodedAs(reflect.TypeFor[T](), config.l1 != nil), space),
		tel: newReporter(config.hooks, config.telemetry(name)), version: versionOf[T](), slides: load.NewSlots(config.loadLimit),
	}
	if c.migrate, err = migrationFor[T](name, config.migration); err != nil {
		return nil, err
	}
	c.region = region.New(c.regionOptions(space))
	config.budgets.Breaker = c.breakerChanged
	config.budgets.Unpublished = c.unpublished
	c.region.Store = store.New(client, config.budgets)
	c.tel.Peer = c.region.Store.Peer
	c.tel.RedisKey = func(key string) string { return c.region.RedisKey(key) }
	if err := s.open(c); err != nil {
		_ = c.Close() // nothing of it has been used
		return nil, &OpError{Op: "new", Key: name, Err: err}
	}
	c.openLocal()
	c.tel.Watch(c.reading)
	for _, warning := range c.region.Store.Warnings() {
		c.tel.Logger.Warn("the Redis client is not set up for a cache", "problem", warning, "mend", "cache.Tune")
	}
	return c, nil
}

// regionOptions are what the cache's region is made of.
func (c *Cache[T]) regionOptions(space keyspace.Space) region.Options {
	return region.Options{
		Space: space, Class: c.config.entry.class.policy(), Codec: c.values.id, Schema: c.config.schema,
		ProofSize: c.values.proofs(), Migrates: c.migrate != nil,
		Loads: c.loads(), LoadTimeout: c.config.loadTimeout, Logger: c.tel.Logger,
		Telemetry: &c.tel.Recorder, Failed: c.tel.redisFailed, Refused: c.tel.refused,
	}
}

// breakerChanged hears whether Redis is asked. Queued invalidations are sent as soon as it
// is again.
func (c *Cache[T]) breakerChanged(open bool) {
	if !open {
		c.region.Hurry()
	}
	c.tel.breakerChanged(open)
}

// agree reads the meta record before a write, if no read has done so yet.
func (c *Cache[T]) agree(ctx context.Context, op, key string) error {
	if err := c.region.CheckStrategy(ctx); err != nil {
		return &OpError{Op: op, Key: key, Err: err}
	}
	return nil
}

// unpublished hears that changes are made, but nobody is told.
func (c *Cache[T]) unpublished(code string) {
	c.tel.Logger.Warn("changes of entries take effect, but Redis does not publish them: an L1 serves what was changed until its TTL",
		"reply", code, "mend", "allow the user the channels of the cache: ACL SETUSER user &"+c.region.Channel())
}

// Get looks key up and loads nothing. It returns [ErrMiss], bare, if there is
// no fresh entry, and [ErrNotFound], bare, for a remembered absence. A Redis
// that does not answer is an [*OpError]. It costs one round trip.
func (c *Cache[T]) Get(ctx context.Context, key string) (T, error) {
	hit, said := c.hitLocal(ctx, key, c.config.entry.class)
	if hit != nil {
		return hit.value, hit.err()
	}
	began := c.tel.Begin(ctx)
	ctx, span := c.tel.Start(ctx, telemetry.OpGet)
	if said == localUnasked {
		if got, said, err := c.serveLocal(ctx, key, c.config.entry.class); said == localServes {
			c.endLocal(ctx, span, began, key, got, err)
			return got.value, err
		}
	}
	l := c.takeRoom()
	defer c.giveRoom(l)
	call := l.one(request[T]{key: key, entry: c.config.entry}, 0)
	c.lookup(ctx, l, l.only[:])
	err := call.err
	switch {
	case err != nil:
	case call.lookup.failure != nil:
		err = &OpError{Op: "get", Key: key, Err: call.lookup.failure}
	case call.lookup.State != record.Fresh:
		err = ErrMiss
	}
	c.endGet(ctx, span, began, key, &call.result, err)
	return call.result.value, err
}

// Set stores v under key, by strategy. Under [Aside] it writes the entry and
// nothing else, and is not ordered against other writers or against loads of
// other processes that began before it: after a write to the system of record
// use Update or [Cache.Invalidate]. A value whose CacheVersion is older than
// that of the entry is not stored, which is no error.
//
// The error is an [*OpError]: the value cannot be encoded, or Redis did not
// answer, and then the write may still take effect. It costs one round trip.
func (c *Cache[T]) Set(ctx context.Context, key string, v T, opts ...EntryOption) error {
	kept, err := c.config.entry.with(opts, c.region.Space)
	if err != nil {
		return &OpError{Op: "set", Key: key, Err: err}
	}
	if err := c.usable(ctx); err != nil {
		return err
	}
	if err := c.agree(ctx, "set", key); err != nil {
		return err
	}
	return c.strategy.set(ctx, c, key, v, kept)
}

// Delete removes records by strategy. Under [Aside] it is [Cache.Invalidate]:
// it removes the entries, and the rows stay in the system of record.
func (c *Cache[T]) Delete(ctx context.Context, keys ...string) error {
	if err := c.mayRemove(ctx, "delete"); err != nil {
		return err
	}
	return c.strategy.remove(ctx, c, "delete", keys)
}

// Invalidate removes the entries of keys, and the leases of loads that are
// running for them anywhere: what those loaded is not stored. Call it after
// the change has been committed. When it has returned nil, no call that starts
// later is served an older entry. It does not stop when ctx does, since the change has
// been made: ctx's values are what it uses.
//
// The errors are one [*OpError] for each key that failed, joined; each Is
// [ErrPending], because its invalidation is queued and retried until Redis
// accepts it: meanwhile this process does not read the key from Redis, and
// other processes may be served the old entry. It costs one round trip for each
// 256 keys, one after the other, on a cluster for each node; one that fails
// concerns its own keys only.
func (c *Cache[T]) Invalidate(ctx context.Context, keys ...string) error {
	if err := c.mayRemove(ctx, "invalidate"); err != nil {
		return err
	}
	return c.invalidate(ctx, "invalidate", keys)
}

// Stats returns a snapshot of the counters, and of what is under way. It asks nobody.
func (c *Cache[T]) Stats() Stats {
	s := Stats(c.tel.Snapshot())
	s.Pending = c.region.Pending.Len()
	s.Loading, s.Waiting = c.region.Flights.InProgress()
	s.Unpublished = c.region.Store.Unpublished()
	s.Overdue = int64(c.region.Flights.Overdue())
	if c.region.Flights.Places.Refilling() > 0 {
		s.Refilling = 1
	}
	c.strategy.count(&s)
	return s
}

// reading is what the cache tells of itself when metrics are collected.
func (c *Cache[T]) reading() telemetry.Reading {
	now := telemetry.Reading{Stats: telemetry.Stats(c.Stats()), Open: c.region.Store.Open()}
	if s, ok := c.strategy.(buffering); ok {
		now.Behind, now.Sampled = true, s.hasSampled()
	}
	if c.local != nil {
		s := c.local.space.Stats()
		now.Near = &telemetry.NearStats{Entries: int64(s.Entries), Bytes: s.Bytes, Evictions: s.Evictions}
	}
	return now
}
