package cache

import (
	"context"

	"go.opentelemetry.io/otel/metric"

	"github.com/larder-go/cache/internal/meter"
)

// This file is what is read when metrics are collected.

// watch has the cache observed from now on. It is called once, when New has
// succeeded.
func (c *Cache[T]) watch() {
	m := &c.tel.metrics
	all := make([]metric.Observable, 0, len(m.integers)+1)
	for _, i := range m.integers {
		if i != nil {
			all = append(all, i)
		}
	}
	if m.lag != nil {
		all = append(all, m.lag)
	}
	registration, err := m.meter.RegisterCallback(c.observe, all...)
	if err != nil {
		c.tel.logger.Warn("the meter provider refuses the counters", "error", err)
		return
	}
	m.registration = registration
}

// unwatch ends what watch began. A collection that is under way is waited for.
func (c *Cache[T]) unwatch() {
	m := &c.tel.metrics
	if m.registration == nil {
		return
	}
	if err := m.registration.Unregister(); err != nil {
		c.tel.logger.Warn("the meter provider keeps the counters of a cache that is closed", "error", err)
	}
}

// observe is called by each collection, which may be several at once.
func (c *Cache[T]) observe(_ context.Context, o metric.Observer) error {
	s := c.Stats()
	to := observation{o, &c.tel.metrics}
	to.groups(c.tel.groups)
	to.stats(&s)
	to.split(&c.tel.stats)
	to.add(meter.BreakerOpen, gauge(c.store.Open()), to.name)
	if behind, ok := c.strategy.(*writeBehind[T]); ok {
		to.behind(&s, behind.last.Load() != nil)
	}
	if c.near != nil {
		to.near(c.near.localTier)
	}
	return nil
}

// gauge is a state as a number.
func gauge(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// observation is one reading of a cache's counters.
type observation struct {
	metric.Observer
	*metrics
}

// add reports one figure.
func (o observation) add(id meter.ID, n int64, l labels) {
	if i := o.integers[id]; i != nil {
		o.ObserveInt64(i, n, l.observe...)
	}
}

// groups are the counters that are kept by group. The groups that each cache with
// groups has are left out as long as they are empty.
func (o observation) groups(all *keyGroups) {
	for _, g := range all.all() {
		if (g == all.none || g == all.other) && all.of != nil && !g.used() {
			continue
		}
		for i := range g.outcomes {
			o.add(meter.Requests, g.outcomes[i].load(), g.labels.outcomes[i])
		}
		for i := range g.loads {
			o.add(meter.Loads, g.loads[i].Load(), g.labels.results[i])
		}
	}
}

// stats are the counters that are kept for the cache alone.
func (o observation) stats(s *Stats) {
	o.add(meter.Coalesced, s.Coalesced, o.name)
	o.add(meter.LockWaits, s.LockWaits, o.name)
	o.add(meter.RefusedFills, s.RefusedFills, o.name)
	o.add(meter.Bypassed, s.Bypassed, o.name)
	o.add(meter.Corrupt, s.Corrupt, o.name)
	o.add(meter.Foreign, s.Foreign, o.name)
	o.add(meter.Unencodable, s.Unencodable, o.name)
	o.add(meter.Unpublished, s.Unpublished, o.name)
	o.add(meter.Pending, s.Pending, o.name)
	o.add(meter.Loading, s.Loading, o.name)
	o.add(meter.Waiting, s.Waiting, o.name)
	o.add(meter.Overdue, s.Overdue, o.name)
	o.add(meter.Refilling, s.Refilling, o.name)
}

// split are those that Stats has the sums of.
func (o observation) split(s *stats) {
	for i := range s.refreshes {
		o.add(meter.Refreshes, s.refreshes[i].Load(), o.causes[i])
	}
	for failed, n := range s.redisErrors {
		o.add(meter.RedisErrors, n.Load(), o.ops[failed])
	}
}

// behind are those of write-behind. What the workers sample is left out where none
// has sampled yet, or runs.
func (o observation) behind(s *Stats, sampled bool) {
	o.add(meter.Flushed, s.Flushed, o.name)
	o.add(meter.FlushErrors, s.FlushErrors, o.name)
	if !sampled {
		return
	}
	o.add(meter.Dirty, s.Dirty, o.name)
	o.add(meter.DeadLetters, s.DeadLetters, o.name)
	if o.lag != nil {
		o.ObserveFloat64(o.lag, seconds(s.Lag), o.name.observe...)
	}
}

// near are those of the cache's part of its L1.
func (o observation) near(t *localTier) {
	s := t.space.Stats()
	o.add(meter.L1Entries, int64(s.Entries), o.name)
	o.add(meter.L1Size, s.Bytes, o.name)
	o.add(meter.L1Evictions, s.Evictions, o.name)
}
