package cache

import (
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/telemetry"
)

// Close ends the cache now: it refuses new calls, gives callers that wait for
// a load ErrClosed, ends the contexts of loads and of the sink's calls and waits for them,
// for ten seconds at most. It never closes the client. It may be called more than once and
// always returns the same: nil, or a [*RemainingError] that says how many invalidations
// Redis never accepted, how many keys of a [WriteBehind] cache are not in the sink yet,
// which stay in Redis for other processes, and how much of your code still runs although
// its context has ended. Of a Redis that does not answer the number of keys cannot be
// asked, which is an [*OpError].
func (c *Cache[T]) Close() error { return c.end(context.Background()) }

// Close and Shutdown wait for code that does not look at its context for closeTime at most,
// and not longer than lastMoment after the end of Shutdown's.
const (
	closeTime  = 10 * time.Second
	lastMoment = time.Second
)

// end closes the cache, once.
func (c *Cache[T]) end(ctx context.Context) error {
	c.close.Do(func() {
		ctx, cancel := lastMomentOf(ctx)
		defer cancel()
		c.closed.Store(true)
		c.region.Background.Shut()
		c.tel.Unwatch()
		if c.local != nil {
			c.local.leave()
		}
		left := RemainingError{Running: c.region.Flights.Close(ctx)}
		c.region.Flights.Places.Close()
		c.region.Background.Close()
		failed := c.strategy.shut(ctx, &left)
		left.Pending = c.region.Pending.Close()
		c.left = errors.Join(left.orNil(), failed, c.region.Store.Close())
	})
	return c.left
}

// lastMomentOf is a context for what is done at the end of ctx, and a moment longer.
func lastMomentOf(ctx context.Context) (context.Context, context.CancelFunc) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastMoment, cancel) })
	return last, func() { stop(); cancel() }
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
		err = errors.Join(err, (&RemainingError{Dirty: dirty}).orNil())
	}
	c.tel.End(span, err)
	return err
}

// Shutdown waits until everything dirty is flushed and the queued invalidations
// have landed, or ctx ends, then closes the cache. It returns what Close returns,
// joined with ctx's error if that ended first. Writes of other goroutines are
// refused from the moment on at which it begins to flush.
//
// It returns a few seconds after ctx's end at the latest, whatever loaders and the sink do.
// The context of a signal handler is over already: give it one with a timeout, which is
// shorter than what the process is given to end in.
func (c *Cache[T]) Shutdown(ctx context.Context) error {
	if c.closed.Load() {
		return c.Close()
	}
	err := c.strategy.drain(ctx)
	err = errors.Join(err, c.region.Pending.Flush(ctx))
	return errors.Join(err, c.end(ctx))
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
