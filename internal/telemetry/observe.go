package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/larder-go/cache/internal/meter"
)

// This file is what is read when metrics are collected.

// Reading is what a cache tells of itself at one moment, beside what its recorder counts.
type Reading struct {
	Stats   Stats
	Open    bool       // the breaker is
	Behind  bool       // the cache writes behind
	Sampled bool       // and has sampled what is dirty within a minute
	Near    *NearStats // nil: no L1
}

// NearStats are the figures of a cache's part of its L1.
type NearStats struct{ Entries, Bytes, Evictions int64 }

// Watch has the cache observed from now on, which is read by each collection; those may
// be several at once. It is called once.
func (r *Recorder) Watch(read func() Reading) {
	all := make([]metric.Observable, 0, len(r.integers))
	for _, i := range r.integers {
		if i != nil {
			all = append(all, i)
		}
	}
	for _, i := range r.seconds {
		if i != nil {
			all = append(all, i)
		}
	}
	registration, err := r.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		r.observe(observation{o, &r.instruments}, read())
		return nil
	}, all...)
	if err != nil {
		r.Logger.Warn("the meter provider refuses the counters", "error", err)
		return
	}
	r.registration = registration
}

// Unwatch ends what Watch began. A collection that is under way is waited for.
func (r *Recorder) Unwatch() {
	if r.registration == nil {
		return
	}
	if err := r.registration.Unregister(); err != nil {
		r.Logger.Warn("the meter provider keeps the counters of a cache that is closed", "error", err)
	}
}

func (r *Recorder) observe(to observation, now Reading) {
	to.groups(r.groups)
	to.stats(&now.Stats)
	to.split(&r.Counts)
	open := int64(0)
	if now.Open {
		open = 1
	}
	to.add(meter.BreakerOpen, open, to.name)
	if now.Behind {
		to.behind(&now.Stats, now.Sampled)
	}
	if now.Near != nil {
		to.near(now.Near)
	}
}

// observation is one reading of a cache's counters.
type observation struct {
	metric.Observer
	*instruments
}

// add reports one figure.
func (o observation) add(id meter.ID, n int64, l labels) {
	if i := o.integers[id]; i != nil {
		o.ObserveInt64(i, n, l.observe...)
	}
}

// last reports one duration.
func (o observation) last(id meter.ID, d time.Duration) {
	if i := o.seconds[id]; i != nil {
		o.ObserveFloat64(i, d.Seconds(), o.name.observe...)
	}
}

// groups are the counters that are kept by group. The groups that each cache with
// groups has are left out as long as they are empty.
func (o observation) groups(all *groups) {
	for _, g := range all.all() {
		if (g == all.none || g == all.other) && all.of != nil && !g.used() {
			continue
		}
		for i := range g.outcomes {
			o.add(meter.Requests, g.outcomes[i].Load(), g.labels.outcomes[i])
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
func (o observation) split(c *Counts) {
	for i := range c.Refreshes {
		o.add(meter.Refreshes, c.Refreshes[i].Load(), o.causes[i])
	}
	for failed, n := range c.redisErrors {
		o.add(meter.RedisErrors, n.Load(), o.ops[failed])
	}
}

// behind are those of write-behind. What is sampled is left out until it was, and
// while it is not any more: what stands still looks well.
func (o observation) behind(s *Stats, sampled bool) {
	o.add(meter.Flushed, s.Flushed, o.name)
	o.add(meter.FlushErrors, s.FlushErrors, o.name)
	o.add(meter.SinkCalls, s.SinkCalls, o.name)
	o.add(meter.WaitingPuts, s.WaitingPuts, o.name)
	if !sampled {
		return
	}
	o.add(meter.Dirty, s.Dirty, o.name)
	o.add(meter.DeadLetters, s.DeadLetters, o.name)
	o.add(meter.Retrying, s.Retrying, o.name)
	o.last(meter.Lag, s.Lag)
	o.last(meter.OldestRetry, s.OldestRetry)
}

// near are those of the cache's part of its L1.
func (o observation) near(s *NearStats) {
	o.add(meter.L1Entries, s.Entries, o.name)
	o.add(meter.L1Size, s.Bytes, o.name)
	o.add(meter.L1Evictions, s.Evictions, o.name)
}
