package cache

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is a cache's side of its L1: what it hears, and what it keeps and forgets.
// Hits are in localhit.go.

// localSide is a cache's side of its L1.
type localSide[T any] struct {
	*localTier
	cache     *Cache[T]
	probe     string                // the message by which the cache finds out that the L1 hears it
	confirmed atomic.Bool           // it came back
	tries     int                   // of the probe; the tick's
	deaf      atomic.Pointer[error] // why the L1 is not used; nil: it is, or will be in a moment
	used      atomic.Bool           // there was a hit since the last tick
}

// localEntry is a value in the memory, with its entry in front of it: what a hit reads lies
// together.
type localEntry[T any] struct {
	near.Entry
	calm  int64       // until then nobody is elected to read it again
	asked atomic.Bool // somebody was
	value T
}

// openLocal joins the L1, if the cache has one.
func (c *Cache[T]) openLocal() {
	if c.config.l1 == nil {
		return
	}
	n := &localSide[T]{cache: c, probe: region.NoticeProbe + envelope.NewToken().String()}
	n.localTier = c.config.l1.tier(n)
	c.local, c.region.Local = n, n.space
	n.join(c.region.Channel())
}

// onMessage takes a message. One that is not understood may mean anything.
func (n *localSide[T]) onMessage(message string) {
	key, ok := strings.CutPrefix(message, region.NoticeKey)
	switch {
	case ok:
		n.space.Drop(key)
	case message == n.probe:
		n.confirmed.Store(true)
	case strings.HasPrefix(message, region.NoticeProbe): // another process's
	default:
		n.space.DropAll()
		if message == region.NoticeClear {
			n.cache.region.Clear.Drop()
		}
	}
}

// onLost: the next connection has to show again that it hears this cache. After a
// failover it may be one to a primary that has been replaced.
func (n *localSide[T]) onLost() { n.confirmed.Store(false) }

// probes is how often the L1 is asked whether it hears the cache before the log is
// told that it does not.
const probes = 10

// tick renews the clear token for the hits of the next interval, and asks whether
// the L1 hears what this cache's client publishes, until it does: a cache on another
// Redis than its L1 would never be told of a change.
func (n *localSide[T]) tick() {
	c := n.cache
	if n.used.Swap(false) {
		c.region.RenewClear(context.Background())
	}
	if n.confirmed.Load() {
		n.tries = 0
		n.tell(nil)
		return
	}
	if !n.member.Up() {
		if why := n.l1.bus.Deaf(); why != nil {
			n.tell(why)
		}
		return
	}
	if !c.region.Background.Start() {
		return
	}
	if n.tries++; n.tries == probes {
		n.tell(errNotHeard)
	}
	if n.tries > probes && n.tries%probes != 0 {
		c.region.Background.End()
		return
	}
	go func() {
		defer c.region.Background.End()
		if err := c.region.Store.Publish(context.Background(), store.Notice{Channel: c.region.Channel(), Message: n.probe}); err != nil {
			c.tel.redisFailed(telemetry.OpGet, err)
		}
	}()
}

// errNotHeard is why an L1 is not used that is subscribed.
var errNotHeard = errors.New("it does not hear what this cache publishes: is it on the same Redis?")

// tell notes why the L1 is not used, nil if it is. The log has a line when that begins
// and one when it ends.
func (n *localSide[T]) tell(why error) {
	log, channel := n.cache.tel.Logger, n.cache.region.Channel()
	switch known := n.deaf.Load(); {
	case why == nil && known != nil:
		n.deaf.Store(nil)
		log.Info("the L1 hears of changes and is used again")
	case why != nil && known == nil:
		n.deaf.Store(&why)
		if redis.HasErrorPrefix(why, "NOPERM") {
			log.Warn("the L1 is not used: it may not subscribe to the channel of changes", "error", why, "mend", "ACL SETUSER <user> &"+channel)
		} else {
			log.Warn("the L1 is not used: it does not hear of changes", "error", why)
		}
	}
}

// problem is why the L1 is not used; "" if it is.
func (n *localSide[T]) problem() string {
	if why := n.deaf.Load(); why != nil {
		return (*why).Error()
	}
	return ""
}

// keepLocal puts what was read, or stored, into the L1, if nothing was dropped since
// then that may be the key's. left is for how long it is fresh. An entry of a
// sliding class is kept until it may be slid, which only a read from Redis does.
func (c *Cache[T]) keepLocal(key string, v T, e near.Entry, class *expiry.Policy, left time.Duration, then region.Moment) {
	n := c.local
	if n == nil || !n.confirmed.Load() || c.region.Pending.Has(pending.Key, key) {
		return
	}
	v, ok := n.clone(v)
	if !ok {
		return
	}
	h := &localEntry[T]{Entry: e, value: v}
	h.Value = h
	h.FreshUntil = then.At + int64(left)
	if class.Sliding && left > h.Soft/2 {
		left -= h.Soft / 2
	}
	h.Deadline = n.deadline(then.At, left)
	h.calm = n.calm(&h.Entry)
	n.space.Put(key, &h.Entry, then.Epoch)
}

// keepRead is keepLocal of a record that was read, if the look-up ended with it: err
// is the look-up's. With another one than ErrNotFound there is no value, though the
// record may be fresh.
func (c *Cache[T]) keepRead(call *call[T], then region.Moment) {
	seen, got := &call.lookup, &call.result
	if c.local == nil || seen.State != record.Fresh || c.config.replicaReads || call.err != nil && !isAbsent(call.err) {
		return
	}
	e := near.Entry{Size: int32(max(got.size, 0)), Absent: seen.Absent, Clear: seen.Body.Clear}
	if seen.Header.Kind == envelope.Dirty {
		c.keepDirty(call, got, e, then)
		return
	}
	if !seen.Timed {
		return
	}
	e.Soft, e.Delta = seen.Body.Soft, expiry.Cost(seen.Body.Delta, seen.Body.EWMA)
	c.keepLocal(call.key, got.value, e, call.entry.class.policy(), seen.Left, then)
}

// keepDirty keeps a write that is not flushed yet: it has no expiry of its own, and
// no clear token binds it, so it gets the one that is current.
func (c *Cache[T]) keepDirty(call *call[T], got *result[T], e near.Entry, then region.Moment) {
	clear, ok := c.region.Clear.Current()
	if !ok {
		return
	}
	e.Clear = clear
	c.keepLocal(call.key, got.value, e, call.entry.class.policy(), c.local.l1.o.TTL, then)
}

// localFallback is a value of the L1 that is not certain to be current, for a class that
// accepts that rather than an error.
func (c *Cache[T]) localFallback(key string, class *TTL) (v T, size int, age time.Duration, ok bool) {
	e, age := c.findFallback(key, class)
	if e == nil {
		return v, 0, 0, false
	}
	v, ok = c.local.clone(e.Value.(*localEntry[T]).value)
	return v, int(e.Size), age, ok
}

// findFallback is the entry of localFallback, nil if there is none.
func (c *Cache[T]) findFallback(key string, class *TTL) (e *near.Entry, age time.Duration) {
	if c.local == nil || class.StaleIfError <= 0 {
		return nil, 0
	}
	e, now := c.local.space.GetSuspect(key)
	if e == nil {
		e, now = c.local.space.Get(key)
	}
	if e == nil || e.Absent {
		return nil, 0
	}
	if e.Soft > 0 && !class.Sliding {
		age = e.Soft - time.Duration(e.FreshUntil-now)
	}
	if class.MaxAge > 0 && age > class.MaxAge {
		return nil, 0
	}
	return e, age
}
