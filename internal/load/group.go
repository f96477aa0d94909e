package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what waiters get when the group is closed, and who comes later.
var ErrClosed = errors.New("cache: closed")

// Settings are what the flights of a group keep to.
type Settings struct {
	Timeout time.Duration // of one call of the loader
	Wait    time.Duration // for the load of another process, at most; 0: not at all
	Places  *Places
	Refresh *Slots // of the loads in the background

	// Problem makes an error of this package that callers get one about key.
	Problem func(key string, err error) error
	// Hangs hears that a loader has not returned a moment after its context had ended,
	// and that it has.
	Hangs func(began bool)
}

// Group holds the flights of a cache. Make it with [NewGroup].
type Group struct {
	Settings

	seq atomic.Uint64 // loader calls so far: the clock of rule (b)

	mu      sync.Mutex // protects following
	current map[string]*Flight
	all     map[*Flight]struct{} // also those that were detached or replaced
	closed  bool
	idle    chan struct{} // closed when there is none any more after Close; nil before

	// overdue has, by key, the flights whose loader still runs although its context
	// has ended: the key is not loaded again before it returns.
	overdue map[string][]*Flight
	// abandoned has keys whose load was given up because nobody waited for it any
	// more. The next load of such a key is let finish: else callers that come one
	// after the other, each with less time than a load takes, would begin loads for
	// ever and never have one stored.
	abandoned map[string]struct{}
}

// maxAbandoned is how many keys abandoned holds; one more makes it forget the others.
const maxAbandoned = 1024

// NewGroup returns a group without flights.
func NewGroup(s Settings) *Group {
	return &Group{
		Settings: s,
		current:  map[string]*Flight{}, all: map[*Flight]struct{}{},
		overdue: map[string][]*Flight{}, abandoned: map[string]struct{}{},
	}
}

// Now is the time on the clock of rule (b): a caller notes it when its call begins.
func (g *Group) Now() uint64 { return g.seq.Load() }

// Foresee is the role of a caller that would come now.
func (g *Group) Foresee(key string) Role {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.current[key]; f != nil {
		return f.roleLocked(Caller{Began: g.Now()})
	}
	return Lead
}

// Begin makes a background flight of key, for a caller that is about several keys if it
// says so. It reports false if the key has a flight or the group is closed.
func (g *Group) Begin(key string, batch bool) (Seat, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.current[key] != nil {
		return Seat{}, false
	}
	f := g.newFlightLocked(key)
	f.background, f.batch = true, batch
	return Seat{flight: f, key: key}, true
}

// Lead makes a flight of key for a caller who has not looked the key up. It reports false
// if the key has one, which nobody joins who has not looked, or the group is closed.
func (g *Group) Lead(key string, c Caller) (Seat, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.current[key] != nil {
		return Seat{}, false
	}
	f := g.newFlightLocked(key)
	f.waiters = 1
	return Seat{Role: Lead, flight: f, key: key, began: c.Began}, true
}

func (g *Group) newFlightLocked(key string) *Flight {
	f := &Flight{done: make(chan struct{})}
	g.current[key] = f
	g.all[f] = struct{}{}
	return f
}

// InProgress is how many keys are being loaded, and how many callers wait for them.
func (g *Group) InProgress() (loading, waiting int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for f := range g.all {
		loading++
		if !f.finished {
			waiting += int64(f.waiters + f.attending)
		}
	}
	return loading, waiting
}

// Close refuses new flights, gives every waiter [ErrClosed], ends the loads' contexts
// and waits for the batches, until ctx ends. It returns for how many keys a loader still
// runs then. It is called once.
func (g *Group) Close(ctx context.Context) (left int) {
	g.mu.Lock()
	g.closed = true
	for f := range g.all {
		g.finishLocked("", f, Result{Outcome: Failed, Err: ErrClosed})
		f.abandonLocked()
	}
	clear(g.current)
	g.idle = make(chan struct{})
	g.endsLocked()
	g.mu.Unlock()
	select {
	case <-g.idle:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.all)
}

// endsLocked tells Close when the last flight has ended.
func (g *Group) endsLocked() {
	if g.idle != nil && len(g.all) == 0 {
		close(g.idle)
	}
}
