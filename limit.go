package cache

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"
)

// limitQueue is how long a load waits for a place before it is refused.
const limitQueue = 50 * time.Millisecond

// limiter bounds the loads that no lease bounds, so that a cache that is down
// or bypassed does not send its whole traffic to the system of record.
type limiter struct{ places *semaphore.Weighted }

func newLimiter(n int) *limiter { return &limiter{places: semaphore.NewWeighted(int64(n))} }

// enter takes a place. It fails with ErrOverloaded when the queue was too slow,
// and with ctx's error if that ended first.
func (l *limiter) enter(ctx context.Context) error {
	if l.places.TryAcquire(1) {
		return nil
	}
	queue, cancel := context.WithTimeout(ctx, limitQueue)
	defer cancel()
	if l.places.Acquire(queue, 1) == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrOverloaded
}

func (l *limiter) leave() { l.places.Release(1) }
