package cache

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

// backoff is for how long the fleet leaves a key alone after a failed load.
func (t *trip[T]) backoff() time.Duration {
	return min(max(t.loadTook, 100*time.Millisecond), time.Second)
}

// release gives the lease back, or turns it into a back-off.
func (t *trip[T]) release(ctx context.Context, backoff time.Duration) {
	t.held = false
	if _, err := t.cache.store.Release(ctx, t.redisKey, t.token, backoff); err != nil {
		t.cache.tel.redisFailed(opLoad, err)
		t.cache.releaseLater(ctx, t.redisKey, t.token)
	}
}

// releaseLater goes on trying to give back a lease in the background, for as long
// as the lease would stand: else every reader of the key waits for its end after
// an outage that was shorter. At most as many at a time as the load limit.
func (c *Cache[T]) releaseLater(ctx context.Context, redisKey string, token envelope.Token) {
	if !c.releases.begin(redisKey) {
		return
	}
	if !c.background.start() {
		c.releases.end()
		return
	}
	go func() {
		defer c.background.end()
		defer c.releases.end()
		end := time.Now().Add(leaseTime)
		for wait := 25 * time.Millisecond; time.Now().Before(end); wait *= 2 {
			if c.sleep(ctx, wait) != nil {
				return
			}
			if _, err := c.store.Release(ctx, redisKey, token, 0); err == nil {
				return
			}
		}
	}()
}

// keepLease renews the lease while its load runs.
func (t *trip[T]) keepLease(ctx context.Context) (stop func()) {
	return keepRenewing(ctx, func(ctx context.Context) bool {
		held, err := t.cache.store.Renew(ctx, t.redisKey, t.token, leaseTime, leaseRetain)
		return held || err != nil
	})
}

// keepLeases renews the leases of several trips together.
func (h *haul[T]) keepLeases(ctx context.Context, trips []*trip[T]) (stop func()) {
	keys, tokens := make([]string, len(trips)), make([]envelope.Token, len(trips))
	for i, t := range trips {
		keys[i], tokens[i] = t.redisKey, t.token
	}
	return keepRenewing(ctx, func(ctx context.Context) bool {
		held, errs := h.cache.store.RenewMany(ctx, keys, tokens, leaseTime, leaseRetain)
		for i := range held {
			if held[i] || errs[i] != nil {
				return true
			}
		}
		return false
	})
}

// keepRenewing calls renew every second until it reports false, stop is called or
// ctx ends. The goroutine is only started by a load that takes that long.
func keepRenewing(ctx context.Context, renew func(context.Context) bool) (stop func()) {
	halt, halted := make(chan struct{}), make(chan struct{})
	timer := time.AfterFunc(leaseRenew, func() {
		defer close(halted)
		tick := time.NewTicker(leaseRenew)
		defer tick.Stop()
		for ctx.Err() == nil {
			if !renew(ctx) {
				return // taken over or invalidated: the commit will be refused
			}
			select {
			case <-tick.C:
			case <-halt:
				return
			case <-ctx.Done():
			}
		}
	})
	return func() {
		close(halt)
		if !timer.Stop() {
			<-halted
		}
	}
}
