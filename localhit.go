package cache

import (
	"context"
	"math"
	"time"

	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is a hit in the L1.

// localState is what the L1 says to a look-up. It is asked once: whom it has elected, it
// would serve the next time, and nobody would do what he was elected for.
type localState uint8

const (
	localUnasked   localState = iota
	localServes               // a hit
	localNone                 // nothing is there
	localUnproven             // its messages may be missing
	localUncleared            // the clear token is another one, or not known to be current
	localTooOld               // past the class's MaxAge
	localEnds                 // this caller reads it again, whose time here nears its end; others are served
	localElects               // this caller refreshes it early; others are served
)

// localHit is an entry that the L1 serves.
type localHit[T any] struct {
	*localEntry[T]
	left time.Duration // until the soft expiry
}

// err is the error that a hit comes with.
func (h *localEntry[T]) err() error {
	if h.Absent {
		return ErrNotFound
	}
	return nil
}

// hitLocal is the short way to a hit: of a caller whom nobody watches, and who gets the
// value as it is. Else it is nil, and what the L1 has said; where it was not asked,
// serveLocal asks it. A hit allocates nothing, and its value is copied once: to the caller.
func (c *Cache[T]) hitLocal(ctx context.Context, key string, class *TTL) (*localEntry[T], localState) {
	n := c.local
	if n == nil || n.l1.o.Clone != nil || c.usable(ctx) != nil || !c.tel.Unwatched(ctx) {
		return nil, localUnasked
	}
	hit, said := c.lookLocal(key, class)
	if said != localServes {
		return nil, said
	}
	outcome := telemetry.HitL1
	if hit.Absent {
		outcome = telemetry.Absent
	}
	c.tel.Look(key, outcome)
	return hit.localEntry, localServes
}

// serveLocal is the long way, of which the caller's span and the like are told.
func (c *Cache[T]) serveLocal(ctx context.Context, key string, class *TTL) (got result[T], said localState, err error) {
	if c.local == nil || c.usable(ctx) != nil {
		return got, localUnasked, nil
	}
	hit, said := c.lookLocal(key, class)
	if said != localServes {
		return got, said, nil
	}
	got = result[T]{outcome: telemetry.HitL1, size: int(hit.Size), ttl: hit.left}
	if hit.Absent {
		got.outcome, got.size = telemetry.Absent, -1
		return got, localServes, ErrNotFound
	}
	var ok bool
	if got.value, ok = c.local.clone(hit.value); !ok {
		return got, localNone, nil
	}
	return got, localServes, nil
}

// lookLocal looks key up in the L1. It finds nothing where the subscription is not
// certain, or the clear token is another one or not known to be current; and nothing
// for one caller each where XFetch elects it to refresh the entry, or the coming end
// of the entry to read it again: the others go on with what is here.
func (c *Cache[T]) lookLocal(key string, class *TTL) (hit localHit[T], said localState) {
	n := c.local
	hit, now, said := c.findLocal(key, class)
	if said != localServes {
		return hit, said
	}
	if now >= hit.calm {
		if said = c.electLocal(&hit, now, class); said != localServes {
			return hit, said
		}
	}
	if !n.used.Load() {
		n.used.Store(true)
	}
	return hit, localServes
}

// findLocal looks for what the L1 may serve of a key, and changes nothing. The hit is
// complete where localServes is said.
func (c *Cache[T]) findLocal(key string, class *TTL) (hit localHit[T], now int64, why localState) {
	n := c.local
	proven := n.l1.bus.Proven() // before what it is to vouch for is looked at
	e, now := n.space.Get(key)
	if e == nil {
		return hit, now, localNone
	}
	if time.Duration(now-proven) > l1Silence {
		return hit, now, localUnproven
	}
	if clear, ok := c.region.Clear.CurrentAt(now); !ok || clear != e.Clear {
		return hit, now, localUncleared
	}
	hit = localHit[T]{localEntry: e.Value.(*localEntry[T]), left: time.Duration(e.FreshUntil - now)}
	if class.MaxAge > 0 && !class.Sliding && e.Soft-hit.left > class.MaxAge {
		return hit, now, localTooOld
	}
	return hit, now, localServes
}

// electLocal decides whether this caller is not served, because he is the one to read the
// entry again.
func (c *Cache[T]) electLocal(hit *localHit[T], now int64, class *TTL) localState {
	early := c.drawsLocal(hit, class)
	switch {
	case !early && !c.local.ending(&hit.Entry, now), !hit.asked.CompareAndSwap(false, true):
		return localServes
	case early:
		return localElects
	}
	return localEnds
}

// drawsLocal draws XFetch for an L1 hit. A sliding entry is drawn for where it is
// read from Redis, which is where its age is known.
func (c *Cache[T]) drawsLocal(hit *localHit[T], class *TTL) bool {
	if class.Sliding || hit.Delta == 0 || hit.left > hit.Soft/2 {
		return false
	}
	return c.config.elects(hit.left, hit.Soft, hit.Delta)
}

// ending reports whether an entry's time in the L1 nears its end before its soft
// expiry does.
func (n *localSide[T]) ending(e *near.Entry, now int64) bool {
	return e.Deadline < e.FreshUntil && e.Deadline-now < int64(n.l1.o.TTL)/4
}

// calm is until when neither drawsLocal nor ending can hold for an entry, whatever the
// class of its reader.
func (n *localSide[T]) calm(e *near.Entry) int64 {
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
func (n *localSide[T]) clone(v T) (out T, ok bool) {
	if n.l1.o.Clone == nil {
		return v, true
	}
	err := contain(func() error { out, ok = n.l1.o.Clone(v).(T); return nil })
	return out, ok && err == nil
}
