package cache

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	// placeWait is how long a load waits for a place before it is refused.
	placeWait = 50 * time.Millisecond
	// refillWait is how long one waits that has a lease, while the cache refills:
	// what it loads will be stored, so those who wait for it are worth more than
	// in an outage. It is well below the time of a lease.
	refillWait = time.Second
	// refillTime is how long a refill lasts. Its end does not depend on what is
	// asked of the cache: if it did, steady load could keep it up for ever.
	refillTime = 6 * time.Second
)

// places bounds the loader calls of a cache in this process: those that no lease
// bounds, so that a cache that is down does not send its whole traffic to the system
// of record; while the cache refills after it was emptied all of them, of which there
// are as many as keys; and all of them at any time where that is asked for.
type places struct {
	limit int              // unleased loads, and all loads as a refill begins
	most  int              // all loads; 0: any number
	tell  func(began bool) // that a refill holds loads up, and that it does so no more

	mu      sync.Mutex // protects following
	running [len(classNames)]int
	waiting [len(classNames)]list.List // of chan struct{}, closed when there is a place
	emptied int64                      // when the refill began, on the monotonic clock; 0: none
	told    bool
	closed  bool
	next    *time.Timer // lets waiters in as the refill goes on, and ends it
}

// WithLoadLimit bounds the loads of this cache in this process that run
// without a lease, which are all its loads while Redis is unavailable. The default is
// 64; n must be at least 1. Set it to what the database can bear, divided by the number
// of processes.
//
// It also is where a refill begins: after Redis was flushed, replaced or unavailable,
// and after InvalidateAll, at most n loads run at once in the first second, with a lease
// or without, twice as many in the next, and so on; after six seconds those with a lease
// are as many as keys again, whatever is asked of the cache. Not counted are, for a
// second at most, loads that begin before a flush is noticed.
//
// A load that finds no place within 50 ms, or one with a lease within a second while the
// cache refills, fails with [ErrOverloaded], unless a stale value may be served. A load
// that is made by the loader of another one of the same cache needs no place.
func WithLoadLimit(n int) Option {
	return optionFunc(func(c *config) {
		if n < 1 {
			c.refuse("WithLoadLimit", fmt.Sprintf("%d is below 1", n))
			return
		}
		c.loadLimit = n
	})
}

// WithMaxLoads bounds all loads of this cache that run at once in this process, with a
// lease or without: without it a scan of keys that are not cached makes as many as it
// asks for at once. 0, the default, is no bound; below 0 is refused. A load that
// finds no place within 50 ms fails as under [WithLoadLimit]; keys that are cached are
// served. A call of a [BatchLoader] counts as one.
func WithMaxLoads(n int) Option {
	return optionFunc(func(c *config) {
		if n < 0 {
			c.refuse("WithMaxLoads", fmt.Sprintf("%d is below 0", n))
			return
		}
		c.maxLoads = n
	})
}

// placeClass says which bound a load keeps.
type placeClass uint8

const (
	leased   placeClass = iota // there are at most as many as keys
	unleased                   // nothing else bounds them
)

var classNames = [...]string{"leased", "unleased"}

func newPlaces(limit, most int, tell func(began bool)) *places {
	return &places{limit: limit, most: most, tell: tell}
}

// allowed is how many loads may run at once when a refill began since ago: it starts
// slowly, doubles each second, and then ends.
func (p *places) allowed(since time.Duration) int {
	steps := int(min(since, refillTime) / time.Second)
	if p.limit > math.MaxInt>>steps {
		return math.MaxInt
	}
	return p.limit << steps
}

// refill notes that the cache is, or was a moment ago, emptier than its readers
// expect: the clear token is missing, or another one than before, or Redis is back
// after it did not answer.
func (p *places) refill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.emptied = monotonic()
	p.wakeAtNextStepLocked()
}

// refilling is for how long a refill still goes on, 0 if there is none.
func (p *places) refilling() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.emptied == 0 {
		return 0
	}
	return max(refillTime-p.sinceLocked(), 0)
}

func (p *places) sinceLocked() time.Duration { return time.Duration(monotonic() - p.emptied) }

// enter takes a place, which leave gives back. wait says whether the load may wait for
// one: up to 50 ms, or a second if it has a lease and the cache refills. The error is
// ErrOverloaded if that was too short, or ctx's if that ended first.
func (p *places) enter(ctx context.Context, class placeClass, wait bool) error {
	p.mu.Lock()
	if p.freeLocked(class) {
		p.running[class]++
		p.mu.Unlock()
		return nil
	}
	if !wait {
		p.mu.Unlock()
		return ErrOverloaded
	}
	most := placeWait
	refills := p.emptied != 0
	if refills && class == leased {
		most = refillWait
	}
	place := make(chan struct{})
	seat := p.waiting[class].PushBack(place)
	began := refills && !p.told
	p.told = p.told || began
	p.mu.Unlock()
	if began {
		p.tell(true)
	}
	return p.await(ctx, class, place, seat, most)
}

// await waits for a place that leave or the next step of a refill gives.
func (p *places) await(ctx context.Context, class placeClass, place chan struct{}, seat *list.Element, most time.Duration) error {
	late := time.NewTimer(most)
	defer late.Stop()
	err := ErrOverloaded
	select {
	case <-place:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-late.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-place: // given meanwhile
		return nil
	default:
	}
	p.waiting[class].Remove(seat)
	return err
}

// freeLocked reports whether a load of that class may run now.
func (p *places) freeLocked(class placeClass) bool {
	all := p.running[leased] + p.running[unleased]
	switch {
	case p.most > 0 && all >= p.most:
		return false
	case class == unleased && p.running[unleased] >= p.limit:
		return false
	}
	return p.emptied == 0 || all < p.allowed(p.sinceLocked())
}

// leave gives a place back.
func (p *places) leave(class placeClass) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[class]--
	p.admitLocked()
}

// admitLocked lets in those who wait and for whom there is a place now, of both classes
// by turns.
func (p *places) admitLocked() {
	for admitted := true; admitted; {
		admitted = false
		for class := range p.waiting {
			queue := &p.waiting[class]
			if queue.Len() > 0 && p.freeLocked(placeClass(class)) {
				close(queue.Remove(queue.Front()).(chan struct{}))
				p.running[class]++
				admitted = true
			}
		}
	}
}

// wakeAtNextStepLocked has step called when more loads may run.
func (p *places) wakeAtNextStepLocked() {
	since := p.sinceLocked()
	in := since.Truncate(time.Second) + time.Second - since
	if p.next == nil {
		p.next = time.AfterFunc(in, p.step)
		return
	}
	p.next.Reset(in)
}

// step lets loads in as a refill goes on, once a second, and ends it.
func (p *places) step() {
	p.mu.Lock()
	ended := false
	if p.emptied != 0 && p.sinceLocked() >= refillTime {
		ended, p.told = p.told, false
		p.emptied = 0
	}
	p.admitLocked()
	if p.emptied != 0 {
		p.wakeAtNextStepLocked()
	}
	p.mu.Unlock()
	if ended {
		p.tell(false)
	}
}

// close ends the refill's timer. Loads that wait end with their contexts.
func (p *places) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		p.next.Stop()
	}
	p.closed, p.emptied = true, 0
}
