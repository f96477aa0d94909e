package cache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/meter"
	"github.com/larder-go/cache/internal/store"
)

// This file is what spans say of operations, and how those end for telemetry. What
// an operation that is not traced pays for is what it counts.

// endNear is endGet for a look-up that the L1 has answered.
func (c *Cache[T]) endNear(ctx context.Context, span trace.Span, began int64, key string, got answer[T], err error) {
	c.tel.lookedUp(ctx, began, key, got.outcome)
	if span == nil {
		return
	}
	c.tel.describeGet(span, got.outcome, got.size, got.ttl, key)
	c.tel.end(span, err)
}

// endGet counts a look-up and ends its span.
func (c *Cache[T]) endGet(ctx context.Context, span trace.Span, began int64, key string, got *answer[T], err error) {
	c.tel.lookedUp(ctx, began, key, got.outcome)
	if span == nil {
		return
	}
	c.tel.describeGet(span, got.outcome, c.sizeOf(key, got, err), got.ttl, key)
	switch {
	case got.refused:
		c.tel.describeBreaker(span)
	case got.asked:
		c.peer(ctx, span, c.redisKey(key))
	}
	c.tel.end(span, err)
}

// endGetMany counts the look-ups of a batch, measures it as one call, a hit if each
// of them is, and ends its span.
func (c *Cache[T]) endGetMany(ctx context.Context, span trace.Span, began int64, all []*call[T]) {
	o := outcomeMiss
	if c.countMany(all) {
		o = outcomeHit
	}
	c.tel.took(ctx, began, c.tel.groups.find(all[0].key), o)
	c.endSpanOfMany(ctx, span, all)
}

// countMany counts look-ups, and reports whether all are hits.
func (c *Cache[T]) countMany(all []*call[T]) bool {
	hit := true
	for _, l := range all {
		c.tel.groups.find(l.key).look(l.got.outcome)
		hit = hit && l.got.outcome != outcomeMiss
	}
	return hit
}

// endSpanOfMany ends the span of a batch: an error if the caller gets one.
func (c *Cache[T]) endSpanOfMany(ctx context.Context, span trace.Span, all []*call[T]) {
	if span == nil {
		return
	}
	keys, size := make([]string, len(all)), -1
	var failed error
	for i, l := range all {
		keys[i] = l.key
		if n := c.sizeOf(l.key, &l.got, l.err); n >= 0 {
			size = max(size, 0) + n
		}
		if l.err != nil && !isAbsent(l.err) {
			failed = l.err
		}
	}
	c.tel.describeGet(span, outcomeOfMany(all), size, all[0].got.ttl, keys...)
	asked := func(l *call[T]) bool { return l.got.asked && !l.got.refused }
	if i := slices.IndexFunc(all, asked); i >= 0 {
		c.peer(ctx, span, all[i].seen.redisKey)
	} else if slices.ContainsFunc(all, func(l *call[T]) bool { return l.got.refused }) {
		c.tel.describeBreaker(span)
	}
	c.tel.end(span, failed)
}

// outcomeOfMany is that of a batch: what all of its keys are, if they agree; else a
// miss if one of them is, and else a hit.
func outcomeOfMany[T any](all []*call[T]) outcome {
	o := all[0].got.outcome
	for _, l := range all {
		switch {
		case l.got.outcome == outcomeMiss:
			return outcomeMiss
		case l.got.outcome != o:
			o = outcomeHit
		}
	}
	return o
}

// sizeOf is the encoded size of what a look-up returns for a span, -1 if that
// is no value. A value that was loaded and not stored has not been encoded yet.
func (c *Cache[T]) sizeOf(key string, got *answer[T], err error) (size int) {
	switch {
	case err != nil:
		return -1
	case got.size >= 0 || !got.loaded:
		return got.size
	}
	size = -1
	_ = contain(func() error { // a codec that panics on the value: no size
		data, err := c.appendValue(nil, key, got.value)
		if err == nil {
			size = len(data)
		}
		return err
	})
	return size
}

// endPut ends the span of a write of an entry that a caller made, with the error
// that the caller gets.
func (c *Cache[T]) endPut(ctx context.Context, span trace.Span, key, redisKey string, entry *stored, err error) {
	c.tel.sized(ctx, entry.size, key)
	if span == nil {
		return
	}
	c.tel.describePut(span, entry.size, entry.soft, key)
	c.asked(ctx, span, redisKey, err)
	c.tel.end(span, err)
}

// spanOf is what a write by strategy is to those who look at spans: what the caller
// asked for, whatever record it leaves.
func spanOf(called string) op {
	if called == "set" {
		return opPut
	}
	return opRemove
}

// endWrite ends the span of a write by strategy: sent is the entry that was to be
// stored, nil if there was none.
func (c *Cache[T]) endWrite(ctx context.Context, span trace.Span, op, key, redisKey string, sent *stored, err error) {
	if sent == nil {
		sent = &stored{size: -1}
	}
	if spanOf(op) == opPut {
		c.endPut(ctx, span, key, redisKey, sent, err)
		return
	}
	c.endRemove(ctx, span, redisKey, err, key)
}

// endPutMany ends the span of a write of several entries. errs are Redis's, err is
// what the caller gets.
func (c *Cache[T]) endPutMany(ctx context.Context, span trace.Span, keys []string, entries []*stored, errs []error, err error) {
	for i, e := range entries {
		c.tel.sized(ctx, e.size, keys[i])
	}
	if span == nil {
		return
	}
	size := -1
	for _, e := range entries {
		if e.size >= 0 {
			size = max(size, 0) + e.size
		}
	}
	c.tel.describePut(span, size, entries[0].soft, keys...)
	c.askedMany(ctx, span, keys, errs)
	if problem := cmp.Or(errs...); err == nil && problem != nil {
		c.tel.describeError(span, problem)
	}
	c.tel.end(span, err)
}

// endRemove ends the span of a removal, or of a flush of everything. redisKey is one
// of those that were asked for.
func (c *Cache[T]) endRemove(ctx context.Context, span trace.Span, redisKey string, err error, keys ...string) {
	if span == nil {
		return
	}
	c.tel.describeKey(span, keys...)
	c.asked(ctx, span, redisKey, err)
	c.tel.end(span, err)
}

// endRemoveMany is endRemove for several keys, with Redis's errors: aligned, or nil.
func (c *Cache[T]) endRemoveMany(ctx context.Context, span trace.Span, keys []string, errs []error, err error) {
	if span == nil {
		return
	}
	c.tel.describeKey(span, keys...)
	c.askedMany(ctx, span, keys, errs)
	c.tel.end(span, err)
}

// askedMany names the node of the first key that Redis was asked for.
func (c *Cache[T]) askedMany(ctx context.Context, span trace.Span, keys []string, errs []error) {
	first := slices.IndexFunc(errs, func(err error) bool { return !errors.Is(err, store.ErrOpen) })
	if first < 0 && len(errs) > 0 {
		c.tel.describeBreaker(span)
		return
	}
	c.peer(ctx, span, c.redisKey(keys[max(first, 0)]))
}

// asked names the node that was asked for redisKey, if it is not "", unless err says
// that none was.
func (c *Cache[T]) asked(ctx context.Context, span trace.Span, redisKey string, err error) {
	switch {
	case errors.Is(err, store.ErrOpen):
		c.tel.describeBreaker(span)
	case redisKey != "":
		c.peer(ctx, span, redisKey)
	}
}

// peer names the Redis node of a key.
func (c *Cache[T]) peer(ctx context.Context, span trace.Span, redisKey string) {
	if host, port := c.store.Peer(ctx, redisKey); host != "" {
		c.tel.describePeer(span, host, port)
	}
}

// describeGet adds what a look-up found. Never a value.
func (s *spans) describeGet(span trace.Span, o outcome, size int, ttl time.Duration, keys ...string) {
	s.describeKey(span, keys...)
	span.SetAttributes(
		attribute.Bool("cache.hit", o != outcomeMiss),
		attribute.String("cache.outcome", outcomeNames[o]),
		attribute.Int64("cache.ttl", int64(ttl/time.Second)),
	)
	if size >= 0 {
		span.SetAttributes(attribute.Int("cache.item_size", size))
	}
}

// describeBreaker says that Redis was not asked.
func (s *spans) describeBreaker(span trace.Span) {
	span.SetAttributes(attribute.String("cache.breaker", "open"))
}

// describePut adds what was written.
func (s *spans) describePut(span trace.Span, size int, ttl time.Duration, keys ...string) {
	s.describeKey(span, keys...)
	span.SetAttributes(attribute.Int64("cache.ttl", int64(ttl/time.Second)))
	if size >= 0 {
		span.SetAttributes(attribute.Int("cache.item_size", size))
	}
}

// describeKey adds the keys that an operation is about, as WithKeyAttribute
// shows them, and the group of the first.
func (s *spans) describeKey(span trace.Span, keys ...string) {
	shown := keys
	if s.keyAttribute != nil {
		shown = make([]string, 0, len(keys))
		for _, key := range keys {
			if k := s.keyAttribute(key); k != "" {
				shown = append(shown, k)
			}
		}
	}
	if len(shown) > 0 {
		span.SetAttributes(attribute.StringSlice("cache.key", shown))
	}
	if len(keys) == 0 {
		return
	}
	if g := s.groups.find(keys[0]); g.name != "" {
		span.SetAttributes(attribute.String(meter.Group, g.name))
	}
}

func (s *spans) describePeer(span trace.Span, host string, port int) {
	span.SetAttributes(
		attribute.String("network.peer.address", host),
		attribute.Int("network.peer.port", port),
	)
}
