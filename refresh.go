package cache

import (
	"context"
	"sync"
	"time"

	"github.com/larder-go/cache/internal/holdoff"
	"github.com/larder-go/cache/internal/record"
)

// refresh reloads an entry in the background, under a lease: at most one load
// of a key runs in the fleet, and at most as many refreshes in this process as
// the load limit. A refresh that is not granted now is simply not made: the
// next reader asks again, after a while.
func (c *Cache[T]) refresh(ctx context.Context, r request[T], seen *sight) {
	if !c.refreshes.begin(r.key) {
		return
	}
	if !c.background.start() {
		c.refreshes.end()
		return
	}
	f := c.flights.begin(r.key)
	if f == nil {
		c.background.end()
		c.refreshes.end()
		return
	}
	seen.shared = true
	why := causeEarly
	if seen.State == record.Stale {
		why = causeStale
	}
	c.tel.stats.refreshes[why].Add(1)
	t := &trip[T]{
		request: r, cache: c, flight: f, redisKey: seen.redisKey, seen: seen.Record, refresh: true,
	}
	go func() {
		defer c.background.end()
		defer c.refreshes.end()
		ctx, span := c.tel.startRoot(outsideLoads(context.WithoutCancel(ctx)), opRefresh)
		if span != nil {
			c.tel.describeKey(span, r.key) // its spans may tell no other: a load that fails
		}
		defer c.tel.end(span, nil)
		t.run(ctx, false)
	}()
}

// cool keeps this process from trying to refresh the key again for d.
func (t *trip[T]) cool(d time.Duration) {
	if t.refresh && d > 0 {
		t.cache.refreshes.cool(t.key, d)
	}
}

// refreshes bounds the background refreshes of a cache and remembers which
// keys to leave alone.
type refreshes struct {
	limit int

	mu      sync.Mutex // protects following
	running int
	heldOff *holdoff.Table // by monotonic
}

func newRefreshes(limit int) *refreshes { return &refreshes{limit: limit, heldOff: holdoff.New()} }

// begin takes a place for a refresh of key, if there is one and the key is not
// cooling down.
func (r *refreshes) begin(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.readyLocked(key) {
		return false
	}
	r.heldOff.Drop(key)
	r.running++
	return true
}

// ready reports whether begin would take a place now.
func (r *refreshes) ready(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.readyLocked(key)
}

func (r *refreshes) readyLocked(key string) bool {
	return r.running < r.limit && monotonic() >= r.heldOff.Until(key)
}

func (r *refreshes) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
}

// cool leaves key alone for d from now on.
func (r *refreshes) cool(key string, d time.Duration) {
	until := monotonic() + int64(d)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heldOff.Set(key, until)
}
