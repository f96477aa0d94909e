package telemetry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/meter"
)

// This file is what spans say of operations, and how those end for telemetry. What
// an operation that is not traced pays for is what it counts.

// Lookup is how a look-up of a key ended.
type Lookup struct {
	Key     string
	Outcome Outcome
	Size    int           // encoded bytes of the value; -1: none
	TTL     time.Duration // until its soft expiry
	Asked   bool          // Redis was
	Refused bool          // by the breaker
	Err     error
}

// Put is an entry on its way into Redis.
type Put struct {
	Key  string
	Size int           // encoded bytes of the value; -1: none
	TTL  time.Duration // until its soft expiry
}

// Look counts a look-up. It is the one place where they are counted.
func (r *Recorder) Look(key string, o Outcome) *Group {
	g := r.groups.find(key)
	g.outcomes[o].Add()
	return g
}

// Unwatched reports that a look-up under ctx has no span and is not timed: it is told of
// by [Recorder.Look] alone.
func (r *Recorder) Unwatched(ctx context.Context) bool {
	return r.silent(ctx) && !r.getTime.Enabled(ctx)
}

// LookedUp counts the look-up of a call that began then: 0 if its time is not
// measured.
func (r *Recorder) LookedUp(ctx context.Context, began int64, key string, o Outcome) {
	r.took(ctx, began, r.Look(key, o), o)
}

// LookedUpMany measures a call of several look-ups, which are counted already; key is
// the first's. It is a hit if each of them is.
func (r *Recorder) LookedUpMany(ctx context.Context, began int64, key string, hit bool) {
	o := Miss
	if hit {
		o = Hit
	}
	r.took(ctx, began, r.groups.find(key), o)
}

// EndLookup ends the span of a look-up.
func (r *Recorder) EndLookup(ctx context.Context, span trace.Span, l Lookup) {
	if span == nil {
		return
	}
	r.describeGet(span, l.Outcome, l.Size, l.TTL, l.Key)
	switch {
	case l.Refused:
		r.describeBreaker(span)
	case l.Asked:
		r.peer(ctx, span, r.RedisKey(l.Key))
	}
	r.End(span, l.Err)
}

// EndLookups ends the span of a batch: an error if the caller gets one.
func (r *Recorder) EndLookups(ctx context.Context, span trace.Span, all []Lookup) {
	if span == nil {
		return
	}
	keys, size := make([]string, len(all)), -1
	var failed error
	for i, l := range all {
		keys[i] = l.Key
		if l.Size >= 0 {
			size = max(size, 0) + l.Size
		}
		if l.Err != nil && !r.answer(l.Err) {
			failed = l.Err
		}
	}
	r.describeGet(span, outcomeOfMany(all), size, all[0].TTL, keys...)
	asked := func(l Lookup) bool { return l.Asked && !l.Refused }
	if i := slices.IndexFunc(all, asked); i >= 0 {
		r.peer(ctx, span, r.RedisKey(all[i].Key))
	} else if slices.ContainsFunc(all, func(l Lookup) bool { return l.Refused }) {
		r.describeBreaker(span)
	}
	r.End(span, failed)
}

// outcomeOfMany is that of a batch: what all of its keys are, if they agree; else a
// miss if one of them is, and else a hit.
func outcomeOfMany(all []Lookup) Outcome {
	o := all[0].Outcome
	for _, l := range all {
		switch {
		case l.Outcome == Miss:
			return Miss
		case l.Outcome != o:
			o = Hit
		}
	}
	return o
}

// EndPut ends the span of a write of an entry that a caller made, with the error
// that the caller gets. redisKey is "" if nothing was sent.
func (r *Recorder) EndPut(ctx context.Context, span trace.Span, redisKey string, p Put, err error) {
	r.sized(ctx, p.Size, p.Key)
	if span == nil {
		return
	}
	r.describePut(span, p.Size, p.TTL, p.Key)
	r.asked(ctx, span, redisKey, err)
	r.End(span, err)
}

// EndPuts ends the span of a write of n entries. errs are Redis's, err is
// what the caller gets.
func (r *Recorder) EndPuts(ctx context.Context, span trace.Span, n int, put func(i int) Put, errs []error, err error) {
	for i := range n {
		p := put(i)
		r.sized(ctx, p.Size, p.Key)
	}
	if span == nil {
		return
	}
	keys, size := make([]string, n), -1
	for i := range n {
		p := put(i)
		keys[i] = p.Key
		if p.Size >= 0 {
			size = max(size, 0) + p.Size
		}
	}
	r.describePut(span, size, put(0).TTL, keys...)
	r.askedMany(ctx, span, keys, errs)
	if problem := cmp.Or(errs...); err == nil && problem != nil {
		r.describeError(span, problem)
	}
	r.End(span, err)
}

// EndRemove ends the span of a removal, or of a flush of everything. redisKey is one
// of those that were asked for.
func (r *Recorder) EndRemove(ctx context.Context, span trace.Span, redisKey string, err error, keys ...string) {
	if span == nil {
		return
	}
	r.DescribeKey(span, keys...)
	r.asked(ctx, span, redisKey, err)
	r.End(span, err)
}

// EndRemoves is EndRemove for several keys, with Redis's errors: aligned, or nil.
func (r *Recorder) EndRemoves(ctx context.Context, span trace.Span, keys []string, errs []error, err error) {
	if span == nil {
		return
	}
	r.DescribeKey(span, keys...)
	r.askedMany(ctx, span, keys, errs)
	r.End(span, err)
}

// askedMany names the node of the first key that Redis was asked for.
func (r *Recorder) askedMany(ctx context.Context, span trace.Span, keys []string, errs []error) {
	first := slices.IndexFunc(errs, func(err error) bool { return !errors.Is(err, r.Unasked) })
	if first < 0 && len(errs) > 0 {
		r.describeBreaker(span)
		return
	}
	r.peer(ctx, span, r.RedisKey(keys[max(first, 0)]))
}

// asked names the node that was asked for redisKey, if it is not "", unless err says
// that none was.
func (r *Recorder) asked(ctx context.Context, span trace.Span, redisKey string, err error) {
	switch {
	case errors.Is(err, r.Unasked):
		r.describeBreaker(span)
	case redisKey != "":
		r.peer(ctx, span, redisKey)
	}
}

// peer names the Redis node of a key.
func (r *Recorder) peer(ctx context.Context, span trace.Span, redisKey string) {
	if host, port := r.Peer(ctx, redisKey); host != "" {
		r.describePeer(span, host, port)
	}
}

// describeGet adds what a look-up found. Never a value.
func (s *spans) describeGet(span trace.Span, o Outcome, size int, ttl time.Duration, keys ...string) {
	s.DescribeKey(span, keys...)
	span.SetAttributes(
		attribute.Bool("cache.hit", o != Miss),
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
	s.DescribeKey(span, keys...)
	span.SetAttributes(attribute.Int64("cache.ttl", int64(ttl/time.Second)))
	if size >= 0 {
		span.SetAttributes(attribute.Int("cache.item_size", size))
	}
}

// DescribeKey adds the keys that an operation is about, as WithKeyAttribute
// shows them, and the group of the first.
func (s *spans) DescribeKey(span trace.Span, keys ...string) {
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
