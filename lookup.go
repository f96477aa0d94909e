package cache

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is one look-up: a record is read, and judged.

// lookup is what a look-up saw of a key.
type lookup struct {
	record.Record
	redisKey string
	shared   bool  // a refresh has it, too
	bypass   bool  // load without a lease: it was not read, or is not to be used
	failure  error // why it was not read
	pending  bool  // an invalidation of the key was queued before the read
	epoch    int64 // of the queue, before the read
}

// request is one call for one key.
type request[T any] struct {
	key    string
	loader loader[T] // nil in Get: look only
	entry  entryPolicy
	early  bool // the L1 has drawn that it refreshes the entry, unless somebody did
	many   bool // one of several keys
	warms  bool // of Warm: nothing stale will do
}

// call is a request under way.
type call[T any] struct {
	request[T]
	began  uint64    // on the flights' clock: rule (b) of internal/load
	round  int       // 1 to rounds: how many look-ups it makes, this one included
	missed bool      // a look-up found nothing to serve
	joined bool      // it waited for another caller's flight
	waited bool      // it waited for a load that was not for it; it does so once
	until  time.Time // when it stops waiting for back-offs; zero: it did not yet

	lookup lookup // by the last look-up
	seat   load.Seat
	result result[T]
	err    error
}

// result is what a call ends with, for the caller and for telemetry.
type result[T any] struct {
	value   T
	outcome telemetry.Outcome
	size    int           // encoded bytes of the value; -1: not known
	ttl     time.Duration // until the soft expiry; of a miss, the class's Fresh
	asked   bool          // Redis was
	refused bool          // it was not, since the breaker is open
	loaded  bool          // the value is a load's
	kept    bool          // of a load: what it returned is in Redis
	problem error         // Redis's, why it is not
}

// lookupRoom is room for look-ups that leave together, which later ones use again.
type lookupRoom[T any] struct {
	single call[T] // of who asks for one key
	only   [1]*call[T]

	asked []*call[T]       // those whose records are read
	then  []region.Moment  // before that; this and what follows is aligned with asked
	seen  []*record.Record // nil where Redis did not tell
	errs  []error          // why
}

// takeRoom is room that an earlier call has given back, or new.
func (c *Cache[T]) takeRoom() *lookupRoom[T] {
	if l, ok := c.rooms.Get().(*lookupRoom[T]); ok {
		return l
	}
	return &lookupRoom[T]{}
}

// one is the call of r, which begins at began.
func (l *lookupRoom[T]) one(r request[T], began uint64) *call[T] {
	l.single.request, l.single.began, l.single.round = r, began, 1
	l.only[0] = &l.single
	return &l.single
}

// giveRoom gives room back, without what it holds.
func (c *Cache[T]) giveRoom(l *lookupRoom[T]) {
	l.single = call[T]{}
	l.forget()
	c.rooms.Put(l)
}

// forget drops what an earlier look-up has left.
func (l *lookupRoom[T]) forget() {
	clear(l.asked)
	clear(l.seen)
	clear(l.errs)
	l.asked, l.then, l.seen, l.errs = l.asked[:0], l.then[:0], l.seen[:0], l.errs[:0]
}

// lookup reads the keys of calls, which are of one request, once: one exchange, and one
// more for the tokens of tags that only entries name. What may be served is in a call's
// result. Its error is ErrNotFound for a remembered absence, ctx's, or ErrClosed.
func (c *Cache[T]) lookup(ctx context.Context, l *lookupRoom[T], calls []*call[T]) {
	l.forget()
	for _, call := range calls {
		if call.begin(c.region.RedisKey(call.key), c.usable(ctx)); call.err != nil {
			continue
		}
		then := c.region.Moment(call.key)
		if !c.bypassPending(call.key, &call.lookup) {
			call.result.asked = true
			l.asked, l.then = append(l.asked, call), append(l.then, then)
		}
	}
	if len(l.asked) > 0 {
		c.judge(ctx, l, c.read(ctx, l))
	}
}

// read reads and judges the records of those that are asked for.
func (c *Cache[T]) read(ctx context.Context, l *lookupRoom[T]) []store.Record {
	keys := make([]string, len(l.asked)) // who reads may have it after ctx has ended
	for i, call := range l.asked {
		keys[i] = call.lookup.redisKey
	}
	records, tokens := c.region.Read(ctx, keys, l.asked[0].entry.tags)
	for i, call := range l.asked {
		var seen *record.Record
		err := records[i].Err
		if err == nil {
			seen = &call.lookup.Record
			*seen = c.region.Judge(ctx, call.entry.class.policy(), keys[i], &records[i])
		}
		l.seen, l.errs = append(l.seen, seen), append(l.errs, err)
	}
	c.region.Verify(ctx, l.seen, tokens, l.errs)
	return records
}

// judge decides what the records are good for, and has refreshed what is due.
func (c *Cache[T]) judge(ctx context.Context, l *lookupRoom[T], records []store.Record) {
	var due []*load.Key
	defer func() { // also if a codec panics: those that are due have flights by now
		if len(due) > 0 {
			c.refresh(ctx, l.asked[0].loader, due)
		}
	}()
	if store.Ended(ctx) == nil {
		c.tel.redisFailed(telemetry.OpGet, l.errs...)
	}
	for i, call := range l.asked {
		if l.errs[i] == nil {
			c.region.Expected.Note(call.lookup.State == record.Missing)
		}
		if k := c.classify(ctx, call, l.errs[i]); k != nil {
			due = append(due, k)
		}
		c.keepRead(call, l.then[i])
		call.done(&records[i])
	}
}

// begin forgets what an earlier look-up has found.
func (c *call[T]) begin(redisKey string, err error) {
	c.result, c.lookup, c.err = c.miss(), lookup{redisKey: redisKey}, err
}

// done gives back the buffer of the record that the call has decoded, unless a refresh
// looks at it, too.
func (c *call[T]) done(rec *store.Record) {
	if c.result.outcome == telemetry.Hit && !c.lookup.shared {
		rec.Release()
	}
}

// miss is the answer of a look-up that has found nothing yet.
func (c *call[T]) miss() result[T] {
	return result[T]{outcome: telemetry.Miss, size: -1, ttl: c.entry.class.Fresh}
}

// bypassPending reports whether Redis is not asked about key, because an invalidation of it
// is queued. A strategy with unflushed writes is asked all the same: a put is newer
// than what was invalidated.
func (c *Cache[T]) bypassPending(key string, seen *lookup) bool {
	seen.pending, seen.epoch = c.region.Pending.Has(pending.Key, key), c.region.Pending.Epoch()
	if c.region.Buffered || !seen.pending {
		return false
	}
	c.tel.Bypassed.Add(1)
	seen.bypass = true
	return true
}

// classify decides what the record that was read, or failed to be with problem, is good
// for, and decodes what may be served. It returns a key that is to be refreshed, or nil.
func (c *Cache[T]) classify(ctx context.Context, call *call[T], problem error) (due *load.Key) {
	seen := &call.lookup
	if disagreed := c.region.Strategy.Problem(); disagreed != nil {
		c.bypassed(ctx, call, disagreed)
		return nil
	}
	if problem != nil {
		c.bypassed(ctx, call, problem)
		return nil
	}
	if c.overtaken(seen) {
		c.tel.Bypassed.Add(1)
		*seen = lookup{redisKey: seen.redisKey, bypass: true}
		return nil
	}
	if call.loader == nil && seen.State == record.Stale || call.warms && seen.State > record.Fresh {
		seen.State = record.Expired // Get looks for fresh entries only, and Warm makes them
	}
	if seen.State.Serves() {
		call.err = c.decode(call.key, &seen.Record, &call.result)
	}
	c.tel.saw(&seen.Record)
	if seen.State.Serves() {
		due = c.refreshIfDue(ctx, call, seen)
	}
	if call.missed && call.result.outcome != telemetry.Stale {
		call.result.outcome = telemetry.Miss // what the first read found is what counts
	}
	return due
}

// bypassed is classify for a record that Redis did not tell.
func (c *Cache[T]) bypassed(ctx context.Context, call *call[T], problem error) {
	if call.err = store.Ended(ctx); call.err != nil {
		return
	}
	c.tel.Bypassed.Add(1)
	call.result.refused = errors.Is(problem, store.ErrOpen)
	call.lookup = lookup{redisKey: call.lookup.redisKey, bypass: true, failure: problem}
	if call.warms {
		call.err = &OpError{Op: "warm", Key: call.key, Err: problem}
	}
}

// overtaken reports whether the record must not be used, because an invalidation that
// concerns it is queued, or was when it was read.
func (c *Cache[T]) overtaken(seen *lookup) bool {
	return seen.Header.Kind != envelope.Dirty && (seen.pending || c.region.Pending.Overtook(c.region.Space, seen.Body.Tags, seen.epoch))
}

// decodeSchema decodes a value that a program of that schema has encoded.
func (c *Cache[T]) decodeSchema(schema uint16, payload []byte, key string, v *T) (err error) {
	if schema == c.config.schema {
		return c.values.decode(payload, key, v)
	}
	*v, err = c.migrate(schema, func(old any) error { return c.values.decode(bytes.Clone(payload), key, old) })
	return err
}

// decode decodes a record that may be served into got. One that does not decode
// is invalid from here on, or bypassed if it is a write that is not flushed yet.
func (c *Cache[T]) decode(key string, rec *record.Record, got *result[T]) error {
	body := &rec.Body
	if c.values.proven(key, body.Proof, body.Proven, body.Payload) != nil {
		rec.Undecodable()
		return nil
	}
	if rec.Timed {
		got.ttl = max(rec.Left, 0)
	}
	if rec.Absent {
		got.outcome = telemetry.Absent
		return ErrNotFound
	}
	var v T // decoding into got would move it to the heap at each miss, too
	if err := c.decodeSchema(body.Schema, body.Payload, key, &v); err != nil {
		rec.Undecodable()
		return nil
	}
	got.value, got.size, got.outcome = v, len(body.Payload), telemetry.Hit
	if rec.State == record.Stale {
		got.outcome = telemetry.Stale
	}
	return nil
}
