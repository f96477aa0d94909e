package behind

import (
	"hash/fnv"
	"sync/atomic"
	"time"
)

// retryAfter is how long a ticket rests after so many deliveries: the back-off
// doubles up to its maximum and is spread by ±20 %, the same for a ticket each
// time it is looked at. Drawn anew at each look the shortest would win.
func (o *Options) retryAfter(id string, deliveries int) time.Duration {
	d := o.Backoff
	for n := 1; n < deliveries && d < o.MaxBackoff; n++ {
		d *= 2
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	spread := float64(h.Sum32()%1000)/1000*0.4 - 0.2
	return time.Duration(float64(min(d, o.MaxBackoff)) * (1 + spread))
}

// takeover is how long the ticket of another process rests at least.
func (o *Options) takeover() time.Duration { return 3 * o.SinkTimeout }

// room is how many values may be in a batch with one that was delivered so
// often. It shrinks to 1, so that nobody is given up for a neighbour that hangs
// or kills the process.
func (o *Options) room(deliveries int) int {
	if deliveries >= o.MaxAttempts-1 && deliveries > 1 {
		return 1
	}
	return max(o.BatchSize>>max(deliveries-1, 0), 1)
}

// pacer slows one down who meets nothing but failure, until the sink takes
// something from anybody.
type pacer struct {
	taken    *atomic.Int64 // batches of this process that the sink took
	seen     int64         // of these, when the last failure was noted
	failures int
	first    time.Duration // rest after one failure, then doubled
	last     time.Duration // up to this
}

// newPacer makes rests of a tenth of the back-offs: one key in that time is
// enough to find out that an outage is over.
func (e *Engine) newPacer() pacer {
	return pacer{taken: &e.taken, first: e.o.Backoff / 10, last: e.o.MaxBackoff / 10}
}

// after notes an outcome.
func (p *pacer) after(failed bool) {
	p.seen = p.taken.Load()
	if failed {
		p.failures++
	} else {
		p.failures = 0
	}
}

// slow reports whether there was nothing but failure of late.
func (p *pacer) slow() bool {
	if p.taken.Load() != p.seen {
		p.failures = 0
	}
	return p.failures > 0
}

// unless returns wake, or after a failure nil: then there is no point in haste.
func (p *pacer) unless(wake <-chan struct{}) <-chan struct{} {
	if p.slow() {
		return nil
	}
	return wake
}

// rest is how long to wait before the next try, at least idle.
func (p *pacer) rest(idle time.Duration) time.Duration {
	if !p.slow() {
		return idle
	}
	return max(min(p.first<<min(p.failures-1, 10), p.last), idle)
}
