package cache

import (
	"context"
	"errors"

	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/telemetry"
)

// Close ends the cache now: it refuses new calls, gives callers that wait for
// a load ErrClosed, cancels the loads and waits for them. It never closes the
// client. It may be called more than once and always returns the same: nil, or
// a [*RemainingError] that says how many invalidations Redis never accepted, and
// how many keys of a [WriteBehind] cache are not in the sink yet: those stay in
// Redis for other processes. Of a Redis that does not answer the number cannot be
// asked, which is an [*OpError].
func (c *Cache[T]) Close() error {
	c.close.Do(func() {
		c.closed.Store(true)
		c.region.Background.Shut()
		c.tel.Unwatch()
		if c.local != nil {
			c.local.leave()
		}
		c.region.Flights.Close()
		c.region.Flights.Places.Close()
		c.region.Background.Close()
		dirty, failed := c.strategy.shut()
		left := c.region.Pending.Close()
		c.left = errors.Join(remaining(dirty, left), failed, c.region.Store.Close())
	})
	return c.left
}

// remaining is a *RemainingError, or nil if nothing is left.
func remaining(dirty, pending int) error {
	if dirty == 0 && pending == 0 {
		return nil
	}
	return &RemainingError{Dirty: dirty, Pending: pending}
}

// Flush waits until everything that is dirty now is in the sink of a
// [WriteBehind] cache, in this version or a later one, or is a dead letter. If
// ctx ends first the error is ctx's, joined with a [*RemainingError], or with why
// Redis did not tell the number within 2 s; alone if ctx was over before the call.
// If Redis fails meanwhile it is an [*OpError]. Under the other strategies there
// is nothing to flush and it returns nil.
func (c *Cache[T]) Flush(ctx context.Context) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpFlush)
	dirty, err := c.strategy.flush(ctx)
	if err != nil {
		err = errors.Join(err, remaining(dirty, 0))
	}
	c.tel.End(span, err)
	return err
}

// Shutdown waits until everything dirty is flushed and the queued invalidations
// have landed, or ctx ends, then closes the cache. It returns what Close returns,
// joined with ctx's error if that ended first. Writes of other goroutines are
// refused from the moment on at which it begins to flush.
func (c *Cache[T]) Shutdown(ctx context.Context) error {
	if c.closed.Load() {
		return c.Close()
	}
	_, err := c.strategy.drain(ctx)
	err = errors.Join(err, c.region.Pending.Flush(ctx))
	return errors.Join(err, c.Close())
}

// usable is ErrClosed or ctx's error if no operation should be started.
func (c *Cache[T]) usable(ctx context.Context) error {
	if c.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// mayRemove is why a removal is not begun, nil if it may be. It has no use for its caller's
// cancellation: see [region.Removal].
func (c *Cache[T]) mayRemove(ctx context.Context, op string) error {
	if c.closed.Load() {
		return ErrClosed
	}
	return c.agree(region.Removal(ctx), op, "")
}
