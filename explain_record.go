package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
)

// This file is what Explain finds, here and in Redis.

// noteProcess notes what this process knows.
func (x *report[T]) noteProcess() {
	c := x.cache
	x.lookup.redisKey = x.RedisKey
	x.lookup.pending, x.lookup.epoch = c.region.Pending.Has(pending.Key, x.key), c.region.Pending.Epoch()
	x.Pending, x.Queued = x.lookup.pending, c.region.Pending.Len()
	x.BreakerOpen = c.region.Store.Open()
	x.Refused = c.region.Store.Refused(context.Background(), x.RedisKey)
	x.Loading = c.region.Flights.Foresee(x.key) != load.Lead
	x.Overdue, x.Refilling = c.region.Flights.Late(x.key), c.region.Flights.Places.Refilling()
	if c.local != nil {
		x.noteLocal()
	}
}

// noteLocal notes what the L1 has.
func (x *report[T]) noteLocal() {
	n, l1 := x.cache.local, &x.L1
	hit, now, why := x.cache.findLocal(x.key, x.class)
	l1.On = true
	l1.Problem = n.problem()
	l1.Hears = n.confirmed.Load() && n.member.Up()
	l1.Alive = l1.Hears && time.Duration(now-n.l1.bus.Proven()) <= l1Silence
	var e *near.Entry
	if why == localServes {
		e = &hit.Entry
		x.local, x.ending, x.asked = hit, n.ending(e, now), hit.asked.Load()
	} else {
		l1.Refused = localRefusals[why]
		if e, _ = n.space.Get(x.key); e == nil {
			if e, _ = n.space.GetSuspect(x.key); e != nil {
				l1.Refused = localRefusals[localUnproven]
			}
		}
	}
	if e == nil {
		l1.Refused = ""
		return
	}
	l1.Found, l1.Absent, l1.Size = true, e.Absent, int(e.Size)
	l1.SoftLeft, l1.Left = time.Duration(e.FreshUntil-now), time.Duration(e.Deadline-now)
	if e.Soft > 0 && !x.class.Sliding {
		l1.Age = e.Soft - l1.SoftLeft
	}
}

var localRefusals = [...]string{
	localUnasked:   "",
	localServes:    "",
	localNone:      "",
	localUnproven:  "its messages may be missing",
	localUncleared: "the clear token is another one, or not known to be current",
	localTooOld:    "it is past MaxAge",
}

// inspect reads the key's record and judges it as a look-up does.
func (x *report[T]) inspect(ctx context.Context) error {
	c := x.cache
	named := c.config.entry.tags
	ask := store.Inspect{Name: x.key, Tokens: append(region.TagKeys(named), c.region.Space.Clear())}
	if s, ok := c.strategy.(buffering); ok {
		ask.Behind = s.queue().PartitionOf(x.key)
	}
	if !c.region.Strategy.Known() {
		ask.Meta = c.region.Space.Meta()
	}
	var err error
	if x.found, err = c.region.Store.Inspect(ctx, x.RedisKey, ask); err != nil {
		return err
	}
	x.Exchanges = 1
	x.meta = c.region.Strategy.Problem()
	if ask.Meta != "" {
		var a region.StrategyRecord
		a.Decide(x.found.Meta)
		x.meta = a.Problem()
	}
	x.lookup.Record = c.region.Judge(ctx, x.class.policy(), x.RedisKey, &x.found.Record)
	x.describe()
	return x.verify(ctx, named)
}

// verify is [region.Region.Verify] with what Explain has read: it leaves the lease of the clear
// token as it is, and goes by it where the next look-up would.
func (x *report[T]) verify(ctx context.Context, named []region.Tag) error {
	rec := &x.lookup.Record
	if !rec.Dependent() {
		return nil
	}
	refs, values, err := x.tagTokens(ctx, named)
	if err != nil {
		return err
	}
	tokens := region.TokensOf(refs, values, x.found.Tokens[len(named)])
	valid, known := false, false
	if lease := &x.cache.region.Clear; !lease.Aging() {
		valid, known = lease.Valid(rec.Body.Clear)
	}
	if !known {
		valid, _ = tokens.Uncleared(rec.Body.Clear)
	}
	x.Record.Clear = "current"
	if !valid {
		x.Record.Clear = "replaced"
	}
	for i := range rec.Body.Tags.Len() {
		tag := rec.Body.Tags.At(i)
		ok, _ := tokens.Current(tag)
		x.Record.Tags = append(x.Record.Tags, ExplainedTag{Name: x.tagName(tag.ID), Valid: ok})
		valid = valid && ok
	}
	if !valid {
		rec.Revoke()
	}
	return nil
}

// tagTokens are the tokens of the tags that are named, or that the entry has.
func (x *report[T]) tagTokens(ctx context.Context, named []region.Tag) (refs []region.Tag, tokens []envelope.Token, err error) {
	refs = x.cache.region.WithRecorded(named, x.lookup.Body.Tags)
	tokens = slices.Clone(x.found.Tokens[:len(named)])
	if len(refs) == len(named) {
		return refs, tokens, nil
	}
	more, err := x.cache.region.Store.ReadTokens(ctx, region.TagKeys(refs[len(named):]))
	if err != nil {
		return nil, nil, err
	}
	x.Exchanges++
	return refs, append(tokens, more...), nil
}

// tagName is a tag as people know it, if the options of New tell.
func (x *report[T]) tagName(id uint64) string {
	for _, name := range x.cache.config.entry.names {
		if keyspace.TagID(name) == id {
			return name
		}
	}
	return fmt.Sprintf("%016x", id)
}

// describe notes what the record says of itself.
func (x *report[T]) describe() {
	rec, r, now := &x.lookup.Record, &x.Record, x.found.Now
	h, b := rec.Header, rec.Body
	*r = ExplainedRecord{
		Asked: true, Kind: byte(h.Kind), Absent: rec.Absent, Dirty: h.Kind == envelope.Dirty, DeadLetter: x.found.Letter,
		LoadCost: b.Delta, MeanCost: b.EWMA, Version: h.Version, Codec: b.Codec, Schema: b.Schema,
		Size: len(x.found.Record.Data), Payload: len(b.Payload), Intents: envelope.Intents(x.found.Record.Data, now),
		HardLeft: x.found.Record.PTTL,
	}
	if h.CID != envelope.NoToken && b.LoadedAt > 0 {
		r.Age = time.Duration(now-b.LoadedAt) * time.Millisecond
	} else {
		r.Age = rec.Age()
	}
	if rec.Timed {
		r.SoftLeft = rec.Left
	}
	left := time.Duration(h.Until-now) * time.Millisecond
	switch {
	case h.Until == 0:
	case h.Kind == envelope.Intent:
		r.IntentsLeft = left
	case h.Kind == envelope.Dirty: // a mark, and no time
	case h.Token == envelope.NoToken:
		x.Lease = ExplainedLease{Left: left, Backoff: true}
	case h.Token.Local():
		x.Lease = ExplainedLease{Holder: "this process", Left: left}
	default:
		x.Lease = ExplainedLease{Holder: "another process", Left: left}
	}
}

// reason is why the record is not used, "" if it is.
func (x *report[T]) reason() string {
	rec := &x.lookup.Record
	switch rec.Why {
	case record.OtherType:
		return "the key holds another type than a string"
	case record.OtherBytes:
		return "the bytes are not this library's"
	case record.NewerProgram:
		return "it is of a newer program (" + rec.Err.Error() + ")"
	case record.BeingWritten:
		return "a write is in progress"
	case record.Damaged:
		return "it is damaged (" + rec.Err.Error() + ")"
	case record.NewerSchema:
		return fmt.Sprintf("it is of schema %d, and this program's is %d", rec.Body.Schema, x.cache.config.schema)
	case record.OtherCodec:
		return fmt.Sprintf("it is of codec %d, and this cache's is %d", rec.Body.Codec, x.cache.values.id)
	case record.OlderSchema:
		return fmt.Sprintf("it is of the older schema %d", rec.Body.Schema)
	case record.PastMaxAge:
		return "it is past MaxAge"
	case record.Revoked:
		if x.Record.Clear == "replaced" {
			return "the cache was cleared"
		}
		return "a tag of it was invalidated"
	case record.Undecodable:
		return "the codec cannot decode it"
	}
	return ""
}

// report is one Explain under way.
type report[T any] struct {
	Explanation
	cache *Cache[T]
	key   string
	class *TTL

	local  localHit[T] // what the L1 serves
	ending bool        // its time there is nearly over
	asked  bool        // somebody was elected to go to Redis for it

	lookup   lookup
	found    store.Inspection
	value    result[T]
	meta     error // why caches of the name disagree
	panicked any   // what the codec panicked with
}
