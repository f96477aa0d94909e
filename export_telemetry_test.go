package cache

import (
	"context"
	"time"
)

// StartsSpan is the part of an operation that telemetry adds to a hit: it
// starts a span, counts a hit, says what was found and ends the span. It reports
// whether there was one.
func StartsSpan[T any](ctx context.Context, c *Cache[T]) bool {
	began := c.tel.metrics.begin(ctx)
	ctx, span := c.tel.start(ctx, opGet)
	c.endNear(ctx, span, began, "group:key", answer[T]{outcome: outcomeHit, size: 1000, ttl: time.Minute}, nil)
	return span != nil
}

// BreakerOpen reports whether Redis is not asked.
func BreakerOpen[T any](c *Cache[T]) bool { return c.store.Open() }
