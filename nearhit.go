package cache

import (
	"context"
	"math"
	"time"

	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is a hit in the L1.

// nearState is what the L1 says to a look-up. It is asked once: whom it has elected, it
// would serve the next time, and nobody would do what he was elected for.
type nearState uint8

const (
	nearUnasked   nearState = iota
	nearServes              // a hit
	nearNone                // nothing is there
	nearUnproven            // its messages may be missing
	nearUncleared           // the clear token is another one, or not known to be current
	nearTooOld              // past the class's MaxAge
	nearEnds                // this caller reads it again, whose time here nears its end; others are served
	nearElects              // this caller refreshes it early; others are served
)

// nearHit is an entry that the L1 serves.
type nearHit[T any] struct {
	*held[T]
	left time.Duration // until the soft expiry
}

// answer is the error that a hit comes with.
func (h *held[T]) answer() error {
	if h.Absent {
		return ErrNotFound
	}
	return nil
}

// hitNear is the short way to a hit: of a caller whom nobody watches, and who gets the
// value as it is. Else it is nil, and what the L1 has said; where it was not asked,
// serveNear asks it. A hit allocates nothing, and its value is copied once: to the caller.
func (c *Cache[T]) hitNear(ctx context.Context, key string, class *TTL) (*held[T], nearState) {
	n := c.near
	if n == nil || n.l1.o.Clone != nil || c.usable(ctx) != nil || !c.tel.Unwatched(ctx) {
		return nil, nearUnasked
	}
	hit, said := c.lookNear(key, class)
	if said != nearServes {
		return nil, said
	}
	outcome := telemetry.HitL1
	if hit.Absent {
		outcome = telemetry.Absent
	}
	c.tel.Look(key, outcome)
	return hit.held, nearServes
}

// serveNear is the long way, of which the caller's span and the like are told.
func (c *Cache[T]) serveNear(ctx context.Context, key string, class *TTL) (got answer[T], said nearState, err error) {
	if c.near == nil || c.usable(ctx) != nil {
		return got, nearUnasked, nil
	}
	hit, said := c.lookNear(key, class)
	if said != nearServes {
		return got, said, nil
	}
	got = answer[T]{outcome: telemetry.HitL1, size: int(hit.Size), ttl: hit.left}
	if hit.Absent {
		got.outcome, got.size = telemetry.Absent, -1
		return got, nearServes, ErrNotFound
	}
	var ok bool
	if got.value, ok = c.near.clone(hit.value); !ok {
		return got, nearNone, nil
	}
	return got, nearServes, nil
}

// lookNear looks key up in the L1. It finds nothing where the subscription is not
// certain, or the clear token is another one or not known to be current; and nothing
// for one caller each where XFetch elects it to refresh the entry, or the coming end
// of the entry to read it again: the others go on with what is here.
func (c *Cache[T]) lookNear(key string, class *TTL) (hit nearHit[T], said nearState) {
	n := c.near
	hit, now, said := c.findNear(key, class)
	if said != nearServes {
		return hit, said
	}
	if now >= hit.calm {
		if said = c.electNear(&hit, now, class); said != nearServes {
			return hit, said
		}
	}
	if !n.used.Load() {
		n.used.Store(true)
	}
	return hit, nearServes
}

// findNear looks for what the L1 may serve of a key, and changes nothing. The hit is
// complete where nearServes is said.
func (c *Cache[T]) findNear(key string, class *TTL) (hit nearHit[T], now int64, why nearState) {
	n := c.near
	proven := n.l1.bus.Proven() // before what it is to vouch for is looked at
	e, now := n.space.Get(key)
	if e == nil {
		return hit, now, nearNone
	}
	if time.Duration(now-proven) > l1Silence {
		return hit, now, nearUnproven
	}
	if clear, ok := c.region.Clear.CurrentAt(now); !ok || clear != e.Clear {
		return hit, now, nearUncleared
	}
	hit = nearHit[T]{held: e.Value.(*held[T]), left: time.Duration(e.FreshUntil - now)}
	if class.MaxAge > 0 && !class.Sliding && e.Soft-hit.left > class.MaxAge {
		return hit, now, nearTooOld
	}
	return hit, now, nearServes
}

// electNear decides whether this caller is not served, because he is the one to read the
// entry again.
func (c *Cache[T]) electNear(hit *nearHit[T], now int64, class *TTL) nearState {
	early := c.drawsNear(hit, class)
	switch {
	case !early && !c.near.ending(&hit.Entry, now), !hit.asked.CompareAndSwap(false, true):
		return nearServes
	case early:
		return nearElects
	}
	return nearEnds
}

// drawsNear draws XFetch for an L1 hit. A sliding entry is drawn for where it is
// read from Redis, which is where its age is known.
func (c *Cache[T]) drawsNear(hit *nearHit[T], class *TTL) bool {
	if class.Sliding || hit.Delta == 0 || hit.left > hit.Soft/2 {
		return false
	}
	return c.config.elects(hit.left, hit.Soft, hit.Delta)
}

// ending reports whether an entry's time in the L1 nears its end before its soft
// expiry does.
func (n *nearby[T]) ending(e *near.Entry, now int64) bool {
	return e.Deadline < e.FreshUntil && e.Deadline-now < int64(n.l1.o.TTL)/4
}

// calm is until when neither drawsNear nor ending can hold for an entry, whatever the
// class of its reader.
func (n *nearby[T]) calm(e *near.Entry) int64 {
	calm := int64(math.MaxInt64)
	if e.Delta != 0 {
		calm = e.FreshUntil - int64(e.Soft/2)
	}
	if e.Deadline < e.FreshUntil {
		calm = min(calm, e.Deadline-int64(n.l1.o.TTL)/4)
	}
	return calm
}

// clone is the value that a caller gets. A Clone that panics, or returns something
// else than it was given, makes it a miss.
func (n *nearby[T]) clone(v T) (out T, ok bool) {
	if n.l1.o.Clone == nil {
		return v, true
	}
	err := contain(func() error { out, ok = n.l1.o.Clone(v).(T); return nil })
	return out, ok && err == nil
}
