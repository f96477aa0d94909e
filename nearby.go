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
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is a cache's side of its L1: what it hears, and what it keeps and forgets.
// Hits are in nearhit.go.

// nearby is a cache's side of its L1.
type nearby[T any] struct {
	*localTier
	cache *Cache[T]
	probe string                // the message by which the cache finds out that the L1 hears it
	heeds atomic.Bool           // it came back
	tries int                   // of the probe; the tick's
	deaf  atomic.Pointer[error] // why the L1 is not used; nil: it is, or will be in a moment
	used  atomic.Bool           // there was a hit since the last tick
}

// held is a value in the memory, with its entry in front of it: what a hit reads lies
// together.
type held[T any] struct {
	near.Entry
	calm  int64       // until then nobody is elected to read it again
	asked atomic.Bool // somebody was
	value T
}

// openNearby joins the L1, if the cache has one.
func (c *Cache[T]) openNearby() {
	if c.config.l1 == nil {
		return
	}
	n := &nearby[T]{cache: c, probe: noticeProbe + envelope.NewToken().String()}
	n.localTier = c.config.l1.tier(n)
	c.near = n
	n.join(c.channel)
}

// hear takes a message. One that is not understood may mean anything.
func (n *nearby[T]) hear(message string) {
	key, ok := strings.CutPrefix(message, noticeKey)
	switch {
	case ok:
		n.space.Drop(key)
	case message == n.probe:
		n.heeds.Store(true)
	case strings.HasPrefix(message, noticeProbe): // another process's
	default:
		n.space.DropAll()
		if message == noticeClear {
			n.cache.clear.drop()
		}
	}
}

// lost: the next connection has to show again that it hears this cache. After a
// failover it may be one to a primary that has been replaced.
func (n *nearby[T]) lost() { n.heeds.Store(false) }

// probes is how often the L1 is asked whether it hears the cache before the log is
// told that it does not.
const probes = 10

// tick renews the clear token for the hits of the next interval, and asks whether
// the L1 hears what this cache's client publishes, until it does: a cache on another
// Redis than its L1 would never be told of a change.
func (n *nearby[T]) tick() {
	c := n.cache
	if n.used.Swap(false) {
		c.renewClear(context.Background())
	}
	if n.heeds.Load() {
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
	if !c.background.start() {
		return
	}
	if n.tries++; n.tries == probes {
		n.tell(errNotHeard)
	}
	if n.tries > probes && n.tries%probes != 0 {
		c.background.end()
		return
	}
	go func() {
		defer c.background.end()
		if err := c.store.Publish(context.Background(), store.Notice{Channel: c.channel, Message: n.probe}); err != nil {
			c.tel.redisFailed(telemetry.OpGet, err)
		}
	}()
}

// errNotHeard is why an L1 is not used that is subscribed.
var errNotHeard = errors.New("it does not hear what this cache publishes: is it on the same Redis?")

// tell notes why the L1 is not used, nil if it is. The log has a line when that begins
// and one when it ends.
func (n *nearby[T]) tell(why error) {
	log, channel := n.cache.tel.Logger, n.cache.channel
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
func (n *nearby[T]) problem() string {
	if why := n.deaf.Load(); why != nil {
		return (*why).Error()
	}
	return ""
}

// moment is one before a read, or a commit, of what may go into the L1: what is kept
// was current then, and is fresh for so long from then on.
type moment struct {
	near.Epoch
	at int64
}

// moment is the present. It is noted before the queue of invalidations is asked
// about the key:
//
//  1. R finds that none of its key is queued.
//  2. W invalidates the key; Redis fails; it is queued, and dropped here. W returns.
//  3. R notes the moment, and reads the old entry.
//  4. The queue drains: Redis has taken the invalidation, whose message is under way.
//  5. R finds the queue empty, and puts the old entry where the next caller finds it.
func (c *Cache[T]) moment(key string) (m moment) {
	if c.near != nil {
		m.Epoch, m.at = c.near.space.Epoch(key), monotonic()
	}
	return m
}

// keepNear puts what was read, or stored, into the L1, if nothing was dropped since
// then that may be the key's. left is for how long it is fresh. An entry of a
// sliding class is kept until it may be slid, which only a read from Redis does.
func (c *Cache[T]) keepNear(key string, v T, e near.Entry, class *TTL, left time.Duration, then moment) {
	n := c.near
	if n == nil || !n.heeds.Load() || c.pending.Has(pending.Key, key) {
		return
	}
	v, ok := n.clone(v)
	if !ok {
		return
	}
	h := &held[T]{Entry: e, value: v}
	h.Value = h
	h.FreshUntil = then.at + int64(left)
	if class.Sliding && left > h.Soft/2 {
		left -= h.Soft / 2
	}
	h.Deadline = n.deadline(then.at, left)
	h.calm = n.calm(&h.Entry)
	n.space.Put(key, &h.Entry, then.Epoch)
}

// keepRead is keepNear of a record that was read, if the look-up ended with it: err
// is the look-up's. With another one than ErrNotFound there is no value, though the
// record may be fresh.
func (c *Cache[T]) keepRead(call *call[T], then moment) {
	seen, got := &call.seen, &call.got
	if c.near == nil || seen.State != record.Fresh || c.config.replicaReads || call.err != nil && !isAbsent(call.err) {
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
	c.keepNear(call.key, got.value, e, call.entry.class, seen.Left, then)
}

// keepDirty keeps a write that is not flushed yet: it has no expiry of its own, and
// no clear token binds it, so it gets the one that is current.
func (c *Cache[T]) keepDirty(call *call[T], got *answer[T], e near.Entry, then moment) {
	clear, ok := c.clear.current()
	if !ok {
		return
	}
	e.Clear = clear
	c.keepNear(call.key, got.value, e, call.entry.class, c.near.l1.o.TTL, then)
}

// changed is called after each change that was made through this process, whatever
// Redis answered: flights of the keys do not store what they load, and the L1
// forgets them.
func (c *Cache[T]) changed(keys ...string) {
	if c.near != nil {
		for _, key := range keys {
			c.near.space.Drop(key)
		}
	}
	c.flights.Detach(keys...)
}

// changedTags is changed for all entries that may have one of the tags.
func (c *Cache[T]) changedTags(tags []tagRef) {
	if c.near != nil {
		c.near.space.DropAll()
	}
	c.flights.DetachTagged(tagIDs(tags))
}

// changedAll is changed for everything.
func (c *Cache[T]) changedAll() {
	c.clear.drop()
	if c.near != nil {
		c.near.space.DropAll()
	}
	c.flights.DetachAll()
}

// nearStale is a value of the L1 that is not certain to be current, for a class that
// accepts that rather than an error.
func (c *Cache[T]) nearStale(key string, class *TTL) (v T, size int, age time.Duration, ok bool) {
	e, age := c.findNearStale(key, class)
	if e == nil {
		return v, 0, 0, false
	}
	v, ok = c.near.clone(e.Value.(*held[T]).value)
	return v, int(e.Size), age, ok
}

// findNearStale is the entry of nearStale, nil if there is none.
func (c *Cache[T]) findNearStale(key string, class *TTL) (e *near.Entry, age time.Duration) {
	if c.near == nil || class.StaleIfError <= 0 {
		return nil, 0
	}
	e, now := c.near.space.GetSuspect(key)
	if e == nil {
		e, now = c.near.space.Get(key)
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
