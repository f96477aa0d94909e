package cache

import (
	"context"
	"errors"

	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/telemetry"
)

// InvalidateAll makes all entries of the cache invalid, in all processes, whatever
// their number, and fills of loads that are running now with them. It mints a new
// token for the cache and then waits for one second, for as long other processes
// may hold the old one; when it has returned nil, no call that starts later is
// served an older entry. What was invalidated is not removed from Redis: it is
// replaced by the next load, or expires. Writes of a [WriteBehind] cache that are
// not flushed yet are not touched.
//
// If ctx ends during the second, or has ended before, the error is ctx's: the new token
// is minted all the same, and is everywhere within the second. If Redis fails, or is
// turned back five times while the call waits, the error is an [*OpError] that Is
// [ErrPending]: it is made again until Redis accepts it, and until then this
// process reads nothing from Redis. Two round trips and the second; as often again for
// each failover that loses the token.
func (c *Cache[T]) InvalidateAll(ctx context.Context) error {
	if err := c.mayRemove(ctx, "invalidate all"); err != nil {
		return err
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpFlush)
	err := c.region.InvalidateAll(ctx)
	if errors.As(err, &pending.Error{}) {
		err = &OpError{Op: "invalidate all", Err: err}
	}
	c.tel.EndRemove(ctx, span, c.region.Space.Clear(), err)
	return err
}
