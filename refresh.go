package cache

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// refreshIfDue returns a key that is to be refreshed in the background, because it is
// served stale, or because XFetch elects the call, and nil if there is none. It slides
// one that is in use.
func (c *Cache[T]) refreshIfDue(ctx context.Context, call *call[T], seen *lookup) *load.Key {
	if seen.State == record.Stale {
		c.tel.servedStale(ctx, call.key, seen.Age(), nil)
	}
	if call.loader == nil || !call.entry.store || seen.Header.Kind == envelope.Dirty {
		return nil
	}
	if seen.State == record.Stale {
		return c.toRefresh(call, seen, telemetry.CauseStale)
	}
	if class := call.entry.class; seen.Timed && class.Sliding && !seen.Absent {
		c.slideIfDue(ctx, call, seen, seen.Age())
	}
	left, soft, ok := seen.Remaining(call.entry.class.policy())
	if !ok {
		return nil
	}
	delta := expiry.Cost(seen.Body.Delta, seen.Body.EWMA)
	if call.early && left <= soft/2 || expiry.Early(left, soft, delta, c.config.beta, rand.ExpFloat64()) {
		return c.toRefresh(call, seen, telemetry.CauseEarly)
	}
	return nil
}

// toRefresh takes what a refresh needs: a slot, and a flight that nobody else has. A
// refresh that has none now is not made: the next reader asks again, after a while.
func (c *Cache[T]) toRefresh(call *call[T], seen *lookup, why telemetry.Cause) *load.Key {
	if !c.region.Flights.Refresh.Begin(call.key) {
		return nil
	}
	if !c.region.Background.Start() {
		c.region.Flights.Refresh.End()
		return nil
	}
	seat, ok := c.region.Flights.Begin(call.key, call.many)
	if !ok {
		c.region.Background.End()
		c.region.Flights.Refresh.End()
		return nil
	}
	seen.shared = true
	c.tel.Refreshes[why].Add(1)
	return keyOf(&seat, &call.entry, seen)
}

// refresh reloads entries in the background, under leases: at most one load of a key runs
// in the fleet, and at most as many refreshes in this process as the load limit. Keys
// that one call has found due are refreshed together.
func (c *Cache[T]) refresh(ctx context.Context, loader loader[T], keys []*load.Key) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	go func() {
		defer func() {
			for range keys {
				c.region.Flights.Refresh.End()
				c.region.Background.End()
			}
		}()
		ctx, span := c.tel.StartRoot(load.Outside(ctx), telemetry.OpRefresh)
		if span != nil {
			c.tel.DescribeKey(span, names...) // its spans may tell no other: a load that fails
		}
		defer c.tel.End(span, nil)
		c.run(ctx, loader, true, keys)
	}()
}

// slideIfDue prolongs a sliding entry that is in use, in the background: when
// less than half of its soft TTL is left it gets all of it again, counted from
// now, though never beyond MaxAge after its load, in Redis time. An entry whose
// load time is unknown is left alone.
func (c *Cache[T]) slideIfDue(ctx context.Context, call *call[T], seen *lookup, age time.Duration) {
	soft, class := seen.Body.Soft, call.entry.class
	if seen.Body.LoadedAt == 0 || seen.Left >= soft/2 {
		return
	}
	if age > 0 && class.MaxAge-age <= seen.Left {
		return // MaxAge is what ends it
	}
	if !c.slides.Begin(call.key) {
		return
	}
	c.slides.HoldOff(call.key, soft/8) // one slide for all hits of this moment
	if !c.region.Background.Start() {
		c.slides.End()
		return
	}
	redisKey, cid := seen.redisKey, seen.Header.CID
	life := expiry.AddDurations(soft, seen.Body.Grace)
	latest := seen.Body.LoadedAt + expiry.AddDurations(expiry.Bound(class.MaxAge), seen.Body.Grace).Milliseconds()
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer c.region.Background.End()
		defer c.slides.End()
		slides := [1]store.Slide{{Key: redisKey, CID: cid, Soft: soft, TTL: life, Latest: latest}}
		if c.region.Store.Slide(ctx, slides[:]); slides[0].Err != nil {
			c.tel.redisFailed(telemetry.OpSlide, slides[0].Err)
		}
	}()
}
