package cache

import "context"

// StartsSpan is the part of an operation that telemetry adds to a hit: it
// starts a span, counts a hit and ends the span. It reports whether there was
// one.
func StartsSpan[T any](ctx context.Context, c *Cache[T]) bool {
	began := c.tel.metrics.begin(ctx)
	ctx, span := c.tel.start(ctx, opGet)
	c.tel.lookedUp(ctx, began, "group:key", outcomeHit)
	c.tel.end(span, nil)
	return span != nil
}
