package cache

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/expiry"
)

// slideIfDue prolongs a sliding entry that is in use, in the background: when
// less than half of its soft TTL is left it gets all of it again, counted from
// now, though never beyond MaxAge after its load, in Redis time. An entry whose
// load time is unknown is left alone.
func (c *Cache[T]) slideIfDue(ctx context.Context, call *call[T], seen *sight, age time.Duration) {
	soft, class := seen.Body.Soft, call.entry.class
	if seen.Body.LoadedAt == 0 || seen.Left >= soft/2 {
		return
	}
	if age > 0 && class.MaxAge-age <= seen.Left {
		return // MaxAge is what ends it
	}
	if !c.slides.begin(call.key) {
		return
	}
	c.slides.cool(call.key, soft/8) // one slide for all hits of this moment
	if !c.background.start() {
		c.slides.end()
		return
	}
	redisKey, cid := seen.redisKey, seen.Header.CID
	life := expiry.AddDurations(soft, seen.Body.Grace)
	latest := seen.Body.LoadedAt + expiry.AddDurations(expiry.Bound(class.MaxAge), seen.Body.Grace).Milliseconds()
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer c.background.end()
		defer c.slides.end()
		if _, err := c.store.Slide(ctx, redisKey, cid, soft, life, latest); err != nil {
			c.tel.redisFailed(opSlide, err)
		}
	}()
}
