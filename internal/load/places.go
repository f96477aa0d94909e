package load

import (
	"container/list"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/larder-go/cache/internal/mono"
)

// ErrOverloaded is what a load gets that finds no place in time.
var ErrOverloaded = errors.New("cache: overloaded")

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

// Places bound the loader calls of a cache in this process: those that no lease
// bounds, so that a cache that is down does not send its whole traffic to the system
// of record; while the cache refills after it was emptied all of them, of which there
// are as many as keys; and all of them at any time where that is asked for. A call for
// several keys is one. Make them with [NewPlaces].
type Places struct {
	limit int              // unleased loads, and all loads as a refill begins
	most  int              // all loads; 0: any number
	tell  func(began bool) // that a refill holds loads up, and that it does so no more

	mu      sync.Mutex // protects following
	running [len(boundNames)]int
	waiting [len(boundNames)]list.List // of chan struct{}, closed when there is a place
	emptied int64                      // when the refill began, on the monotonic clock; 0: none
	told    bool
	closed  bool
	next    *time.Timer // lets waiters in as the refill goes on, and ends it
}

// bound says which limit a load keeps.
type bound uint8

const (
	leased   bound = iota // there are at most as many as keys
	unleased              // nothing else bounds them
)

var boundNames = [...]string{"leased", "unleased"}

// NewPlaces returns places for limit loads without a lease, and for most loads
// altogether, 0 for any number. tell hears that a refill holds loads up, and that it
// does so no more.
func NewPlaces(limit, most int, tell func(began bool)) *Places {
	return &Places{limit: limit, most: most, tell: tell}
}

// Limit is for how many loads without a lease there are places.
func (p *Places) Limit() int { return p.limit }

// allowed is how many loads may run at once when a refill began since ago: it starts
// slowly, doubles each second, and then ends.
func (p *Places) allowed(since time.Duration) int {
	steps := int(min(since, refillTime) / time.Second)
	if p.limit > math.MaxInt>>steps {
		return math.MaxInt
	}
	return p.limit << steps
}

// Refill notes that the cache is, or was a moment ago, emptier than its readers
// expect: the clear token is missing, or another one than before, or Redis is back
// after it did not answer.
func (p *Places) Refill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.emptied = mono.Now()
	p.wakeAtNextStepLocked()
}

// Refilling is for how long a refill still goes on, 0 if there is none.
func (p *Places) Refilling() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.emptied == 0 {
		return 0
	}
	return max(refillTime-p.sinceLocked(), 0)
}

func (p *Places) sinceLocked() time.Duration { return time.Duration(mono.Now() - p.emptied) }

// enter takes a place, which leave gives back. wait says whether the load may wait for
// one: up to 50 ms, or a second if it has a lease and the cache refills. The error is
// ErrOverloaded if that was too short, or ctx's if that ended first.
func (p *Places) enter(ctx context.Context, b bound, wait bool) error {
	p.mu.Lock()
	if p.freeLocked(b) {
		p.running[b]++
		p.mu.Unlock()
		return nil
	}
	if !wait {
		p.mu.Unlock()
		return ErrOverloaded
	}
	most := placeWait
	refills := p.emptied != 0
	if refills && b == leased {
		most = refillWait
	}
	place := make(chan struct{})
	seat := p.waiting[b].PushBack(place)
	began := refills && !p.told
	p.told = p.told || began
	p.mu.Unlock()
	if began {
		p.tell(true)
	}
	return p.await(ctx, b, place, seat, most)
}

// Spare takes places beside that of a load, without waiting: for a loader that could be
// called several times at once. Leave gives it back; nil: there is none.
type Spare func() (leave func())

// spare are places of a kind.
func (p *Places) spare(b bound) Spare {
	return func() func() {
		if p.enter(context.Background(), b, false) != nil {
			return nil
		}
		return func() { p.leave(b) }
	}
}

// await waits for a place that leave or the next step of a refill gives.
func (p *Places) await(ctx context.Context, b bound, place chan struct{}, seat *list.Element, most time.Duration) error {
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
	p.waiting[b].Remove(seat)
	return err
}

// freeLocked reports whether a load of that kind may run now.
func (p *Places) freeLocked(b bound) bool {
	all := p.running[leased] + p.running[unleased]
	switch {
	case p.most > 0 && all >= p.most:
		return false
	case b == unleased && p.running[unleased] >= p.limit:
		return false
	}
	return p.emptied == 0 || all < p.allowed(p.sinceLocked())
}

// leave gives a place back.
func (p *Places) leave(b bound) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[b]--
	p.admitLocked()
}

// admitLocked lets in those who wait and for whom there is a place now, of both classes
// by turns.
func (p *Places) admitLocked() {
	for admitted := true; admitted; {
		admitted = false
		for b := range p.waiting {
			queue := &p.waiting[b]
			if queue.Len() > 0 && p.freeLocked(bound(b)) {
				close(queue.Remove(queue.Front()).(chan struct{}))
				p.running[b]++
				admitted = true
			}
		}
	}
}

// wakeAtNextStepLocked has step called when more loads may run.
func (p *Places) wakeAtNextStepLocked() {
	since := p.sinceLocked()
	in := since.Truncate(time.Second) + time.Second - since
	if p.next == nil {
		p.next = time.AfterFunc(in, p.step)
		return
	}
	p.next.Reset(in)
}

// step lets loads in as a refill goes on, once a second, and ends it.
func (p *Places) step() {
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

// Close ends the refill's timer. Loads that wait end with their contexts.
func (p *Places) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		p.next.Stop()
	}
	p.closed, p.emptied = true, 0
}
