package cache

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// limitQueue is how long a load waits for a place before it is refused.
	limitQueue = 50 * time.Millisecond
	// refillQueue is how long one waits that has a lease, while the cache refills:
	// what it loads will be stored, so those who wait for it are worth more than
	// in an outage. It is well below the time of a lease.
	refillQueue = time.Second
	// refillTime is how long a refill goes on after the last sign of one.
	refillTime = time.Second
)

// limiter bounds the loads that no lease bounds, so that a cache that is down
// or bypassed does not send its whole traffic to the system of record; and, while
// the cache refills after it was emptied, those under a lease too, of which there
// are as many as keys.
type limiter struct {
	places    *semaphore.Weighted
	refilling atomic.Int64 // until when, on the monotonic clock
}

func newLimiter(n int) *limiter { return &limiter{places: semaphore.NewWeighted(int64(n))} }

// enter takes a place. It fails with ErrOverloaded when the queue was too slow,
// and with ctx's error if that ended first.
func (l *limiter) enter(ctx context.Context) error {
	if l.places.TryAcquire(1) {
		return nil
	}
	return l.wait(ctx, limitQueue)
}

func (l *limiter) wait(ctx context.Context, most time.Duration) error {
	queue, cancel := context.WithTimeout(ctx, most)
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

// refill notes that the cache is, or was a moment ago, emptier than its readers
// expect: the clear token is missing, or another one than before, or Redis is back
// after it did not answer.
func (l *limiter) refill() { l.refilling.Store(monotonic() + int64(refillTime)) }

// enterLeased is enter for a load under a lease. It costs nothing unless the cache
// refills, and then waits up to a second, or not at all if nobody waits for the
// load. The refill is over when for a second no load had to wait.
func (l *limiter) enterLeased(ctx context.Context, waitedFor bool) (leave func(), err error) {
	if until := l.refilling.Load(); until == 0 || monotonic() >= until {
		return func() {}, nil
	}
	if !l.places.TryAcquire(1) {
		l.refill()
		if !waitedFor {
			return nil, ErrOverloaded
		}
		if err := l.wait(ctx, refillQueue); err != nil {
			return nil, err
		}
	}
	return l.leave, nil
}
