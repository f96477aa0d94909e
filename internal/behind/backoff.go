package behind

import (
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"
)

// retryAfter is how long a key rests after so many failures: the back-off
// doubles up to its maximum and is spread by ±20 %, so that keys which failed together do
// not come back together.
func (o *Options) retryAfter(key string, failures int) time.Duration {
	d := o.Backoff
	for n := 1; n < failures && d < o.MaxBackoff; n++ {
		d *= 2
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	spread := float64(h.Sum32()%1000)/1000*0.4 - 0.2
	return time.Duration(float64(min(d, o.MaxBackoff)) * (1 + spread))
}

// together is how many values may be in a batch with one that has failed so often. It
// shrinks to 1, so that nobody suffers for long for a neighbour that hangs.
func (o *Options) together(failures int) int { return max(o.BatchSize>>min(failures, 30), 1) }

// failures remembers the keys with which this process's sink has failed. The zero value is
// ready for use.
type failures struct {
	mu   sync.Mutex
	keys map[string]failure
}

type failure struct {
	count int
	taken int64 // what the sink had taken by the last one
	first time.Time
}

// mostFailures bounds the memory. To forget all costs each key a try that does not count.
const mostFailures = 10_000

// add notes one at which the sink had taken so much, and as much as since when the key was
// claimed. It reports how many the key has, and whether the sink has taken something since
// the last of them.
func (f *failures) add(key string, since, taken int64) (count int, progress bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, known := f.keys[key]
	if !known {
		was.taken, was.first = since, time.Now()
		if f.keys == nil || len(f.keys) >= mostFailures {
			f.keys = map[string]failure{}
		}
	}
	f.keys[key] = failure{count: was.count + 1, taken: taken, first: was.first}
	return was.count + 1, taken > was.taken
}

// forget is for a key that is settled.
func (f *failures) forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.keys, key)
}

// of is how many key has.
func (f *failures) of(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.keys[key].count
}

// oldest is for how long the key has failed that has done so for longest. It looks at all.
func (f *failures) oldest() (d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, failure := range f.keys {
		d = max(d, now.Sub(failure.first))
	}
	return d
}

// any reports whether there are some.
func (f *failures) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.keys) > 0
}

// pacer slows one down who meets nothing but failure, until the sink takes
// something from anybody.
type pacer struct {
	taken    *atomic.Int64 // values of this process that the sink took
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
