package cache

import (
	"context"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// fills is what a batch asks of Redis, and of the loader, about a cache's entries.
type fills[T any] struct {
	cache   *Cache[T]
	loader  loader[T]
	refresh bool // in the background
}

// fill is an entry on its way into Redis: what a batch knows of one key.
type fill struct {
	entry     entry
	redisKey  string
	seen      record.Record  // as last read: what acquire compares the record with
	token     envelope.Token // the lease's, unique per acquire
	grantedAt int64          // Redis time of the grant in ms
	tags      []tagRef       // those of the call and of the record that was seen
	asking    moment         // before the acquire, for the L1
	mark      int64          // of the queue, before the record was read
	stamp     stamp          // captured with the lease, before the loader is called
	stored    *stored
}

func fillOf(k *load.Key) *fill { return k.Item.(*fill) }

// keyOf is a key on its way into Redis, whose flight seat leads, after a look-up that has
// seen that.
func (c *Cache[T]) keyOf(seat *load.Seat, e entry, seen *sight) *load.Key {
	k := seat.Key(&fill{entry: e, redisKey: seen.redisKey, seen: seen.Record})
	k.Bypass = seen.unread || !e.store
	k.Cost = expiry.Cost(seen.Body.Delta, seen.Body.EWMA)
	note(k)
	return k
}

// note tells the batch what k's record, as last read, means to it.
func note(k *load.Key) {
	f := fillOf(k)
	k.Barred = !f.seen.State.Replaceable()
	k.Fallback = f.seen.State == record.StaleIfError
}

// Storable reports whether an entry of k may be made: not while an invalidation of it is
// queued. It works out the tags that it will have.
func (b *fills[T]) Storable(k *load.Key) bool {
	c, f := b.cache, fillOf(k)
	var fit bool
	if f.tags, fit = c.tagsInPlaceOf(&f.seen, f.entry.tags); !fit {
		f.seen.State = record.Invalid
		note(k)
	}
	if c.obstacle(k.Name, f.tags) != "" {
		return false
	}
	c.flights.Depend(k, tagIDs(f.tags))
	return true
}

// obstacle is why no entry of key with these tags may be made now, "" if one may.
func (c *Cache[T]) obstacle(key string, tags []tagRef) string {
	switch {
	case c.pending.Has(pending.Key, key):
		return "an invalidation of the key is queued here"
	case slices.ContainsFunc(tags, func(t tagRef) bool { return c.pending.Has(pending.Tag, t.key) }):
		return "an invalidation of one of its tags is queued here"
	}
	return ""
}

// Load calls the loader, with its span. A panic is its error.
func (b *fills[T]) Load(ctx context.Context, keys []*load.Key, spare load.Spare) {
	c := b.cache
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpLoad)
	event := LoadEvent{Key: names[0], Refresh: b.refresh, Err: errGoexit}
	if len(names) > 1 {
		event.Key, event.Keys = "", names
	}
	began := time.Now()
	defer func() {
		event.Took = time.Since(began)
		c.tel.loaded(ctx, span, event)
	}()
	err := contain(func() error {
		b.loader.fetch(ctx, names, spare, func(i int, v T, err error) { b.found(keys[i], v, err) })
		return nil
	})
	event.Err = nil
	for _, k := range keys {
		switch {
		case err != nil:
			k.Err, k.Absent = err, false
		case k.Err == load.ErrGoexit: //nolint:errorlint // it was not told of
			k.Err = &PanicError{Value: errGoexit}
		}
		if len(keys) == 1 || k.Err != nil && !k.Absent {
			event.Err = k.Err
		}
	}
}

// found takes what the loader found of k.
func (b *fills[T]) found(k *load.Key, v T, err error) {
	k.Err, k.Absent = err, isAbsent(err)
	switch {
	case err == nil:
		k.Value = v
	case !k.Absent && b.cache.config.notFound(err):
		k.Err, k.Absent = absentError{err}, true
	}
}

// Encode makes k's entry.
func (b *fills[T]) Encode(k *load.Key) bool {
	c, f := b.cache, fillOf(k)
	cost := k.Asked + k.Took
	f.stored = &stored{
		class: f.entry.class, stamp: f.stamp, absent: k.Absent, loadedAt: f.grantedAt, began: k.Began, delta: cost, ewma: cost,
	}
	if f.seen.Body.EWMA > 0 {
		f.stored.ewma = expiry.Average(cost, f.seen.Body.EWMA)
	}
	err := contain(func() error { return c.encode(f.stored, k.Name, f.redisKey, valueOf[T](k.Value)) })
	if err != nil {
		c.tel.unencodable(err)
		return false
	}
	k.Size = f.stored.size
	return true
}

// Overtaken counts a value that is not stored.
func (b *fills[T]) Overtaken(k *load.Key) { b.cache.tel.refused(k.Name) }

// Commit sends the entries, and reads the tokens again that they depend on.
func (b *fills[T]) Commit(ctx context.Context, keys []*load.Key) {
	c := b.cache
	names, entries, commits := make([]string, len(keys)), make([]*stored, len(keys)), make([]store.Commit, len(keys))
	ctx, span := c.tel.Start(ctx, telemetry.OpPut)
	sent := time.Now()
	for i, k := range keys {
		names[i], entries[i] = k.Name, fillOf(k).stored
		commits[i] = c.commitOf(k, sent)
	}
	got := captured{tags: tagsOf(keys)}
	reread := tagKeys(got.tags)
	clear, held := c.clear.current()
	if !held {
		reread = append(reread, c.space.Clear())
	}
	tokens := c.store.Commit(ctx, commits, reread)
	got.clear, got.tokens, got.known = clear, tokens, tokens != nil || len(reread) == 0
	if !held && tokens != nil {
		got.clear = tokens[len(got.tags)]
		c.clear.learn(got.clear, sent)
	}
	errs := errorsOf(commits, func(c *store.Commit) error { return c.Err })
	c.tel.EndPuts(ctx, span, len(entries), func(i int) telemetry.Put { return entries[i].put(names[i]) }, errs, nil)
	c.tel.redisFailed(telemetry.OpPut, errs...)
	for i, k := range keys {
		k.Verdict, k.Problem = verdictOf(&commits[i], entries[i]), commits[i].Err
		b.conclude(k, &got, sent)
	}
}

func (c *Cache[T]) commitOf(k *load.Key, now time.Time) store.Commit {
	f := fillOf(k)
	soft, life := f.stored.times(now)
	f.stored.lives = life > 0
	return store.Commit{
		Key: f.redisKey, Token: f.token, TTL: life, Soft: soft, Version: f.stored.version,
		Record: f.stored.record, Absent: f.stored.absent, Notice: c.notice(k.Name),
	}
}

// verdictOf is what became of a commit.
func verdictOf(c *store.Commit, entry *stored) load.Verdict {
	switch {
	case c.Err != nil:
		return load.Unknown
	case c.Verdict == store.Older:
		return load.Older
	case c.Verdict != store.Committed:
		return load.Refused
	case !entry.lives:
		return load.Vanished
	}
	return load.Committed
}

// conclude says whether what was committed, with the tokens that were read behind the
// seal, is proven, and puts it into the L1 then: it was current when it was sent.
func (b *fills[T]) conclude(k *load.Key, got *captured, sent time.Time) {
	c, f := b.cache, fillOf(k)
	switch k.Verdict {
	case load.Committed, load.Vanished:
		k.Proven = got.known && got.clear == f.stored.stamp.clear && f.stored.stamp.valid(got.of(f.tags))
	case load.Refused, load.Older:
		c.tel.refused(k.Name)
	}
	if !k.Proven || c.near == nil {
		return
	}
	then := moment{Epoch: f.asking.Epoch, at: monotonic() - int64(time.Since(sent))}
	c.keepNear(k.Name, valueOf[T](k.Value), near.Entry{
		Size: int32(max(f.stored.size, 0)), Absent: f.stored.absent, Clear: f.stored.stamp.clear,
		Soft: f.stored.soft, Delta: expiry.Cost(f.stored.delta, f.stored.ewma),
	}, f.entry.class, f.stored.soft-sent.Sub(f.stored.began), then)
}

// tagIDs are the ids of tags.
func tagIDs(tags []tagRef) []uint64 {
	if len(tags) == 0 {
		return nil
	}
	ids := make([]uint64, len(tags))
	for i, tag := range tags {
		ids[i] = tag.id
	}
	return ids
}
