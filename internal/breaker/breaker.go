// Package breaker keeps callers from waiting for a server that does not answer.
//
// A [Breaker] is closed as long as the server answers, and opens after five
// failures in a row, or when at least half of at least twenty operations within a
// second have failed. While it is open nothing is sent, so a caller loses no time;
// after a back-off, 200 ms doubled up to a second, give or take a fifth, one
// operation is let through as a probe: its success closes the breaker, its failure
// opens it again.
//
// The back-off that grows, and a closed breaker that costs a caller two atomic
// operations and no lock, are why this is not a library's: gobreaker has one fixed
// timeout and a mutex that all callers of a client would pass through.
package breaker

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/mono"
)

const (
	inARow = 5  // failures that open the breaker
	least  = 20 // operations of a window before their rate counts
	window = int64(time.Second)

	firstBackoff = 200 * time.Millisecond
	lastBackoff  = time.Second
)

// State is what a Breaker does with the next operation.
type State int32

const (
	// Closed: it is sent.
	Closed State = iota
	// Open: it is refused.
	Open
	// HalfOpen: it is refused, and a probe is on its way.
	HalfOpen
)

// String is the state's name in telemetry.
func (s State) String() string { return [...]string{"closed", "open", "half_open"}[s] }

// Breaker watches one server. It is safe for concurrent use; make it with [New].
type Breaker struct {
	changed func(from, to State)

	state  atomic.Int32
	row    atomic.Int32 // failures since the last success
	ops    atomic.Int32 // of the window
	failed atomic.Int32
	opened atomic.Int64 // when the window began

	mu      sync.Mutex // held to change the state; protects following
	backoff time.Duration
	until   int64
}

// New returns a closed breaker. changed, if not nil, is called after each change, on
// the goroutine of the operation that caused it and under no lock; calls for changes
// that follow each other closely may come in another order.
func New(changed func(from, to State)) *Breaker {
	return &Breaker{changed: changed}
}

// State is the state now.
func (b *Breaker) State() State { return State(b.state.Load()) }

// Pass is the right to one operation. The zero Pass is none.
type Pass uint8

const (
	refused Pass = iota
	ordinary
	probe
)

// OK reports whether the operation may be sent.
func (p Pass) OK() bool { return p != refused }

// Result is how an operation went.
type Result uint8

const (
	// Answered: the server answered, whatever it said.
	Answered Result = iota
	// Failed: it did not.
	Failed
	// Unknown: the caller did not wait to see.
	Unknown
)

// Allow asks for the right to one operation. Who is given it calls Done.
func (b *Breaker) Allow() Pass {
	if b.State() == Closed {
		return ordinary
	}
	return b.try()
}

// try lets one probe through once the back-off is over.
func (b *Breaker) try() Pass {
	b.mu.Lock()
	switch b.State() {
	case Closed:
		b.mu.Unlock()
		return ordinary
	case HalfOpen:
		b.mu.Unlock()
		return refused
	}
	if mono.Now() < b.until {
		b.mu.Unlock()
		return refused
	}
	b.state.Store(int32(HalfOpen))
	b.mu.Unlock()
	b.tell(Open, HalfOpen)
	return probe
}

// Done says how the operation of a Pass went.
func (b *Breaker) Done(p Pass, r Result) {
	switch {
	case p == probe:
		b.probed(r)
	case p == ordinary && r == Answered:
		b.answered()
	case p == ordinary && r == Failed:
		b.missed()
	}
}

func (b *Breaker) answered() {
	if b.row.Load() != 0 {
		b.row.Store(0)
	}
	b.count(0)
}

func (b *Breaker) missed() {
	row := b.row.Add(1)
	ops, failed := b.count(1)
	if row >= inARow || ops >= least && 2*failed >= ops {
		b.open(Closed, firstBackoff)
	}
}

// count adds one operation to the window, and begins a new one when its time is over.
// What two goroutines lose of it in that moment does not matter.
func (b *Breaker) count(failures int32) (ops, failed int32) {
	now, began := mono.Now(), b.opened.Load()
	if now-began >= window && b.opened.CompareAndSwap(began, now) {
		b.ops.Store(0)
		b.failed.Store(0)
	}
	ops = b.ops.Add(1)
	if failures == 0 {
		return ops, b.failed.Load()
	}
	return ops, b.failed.Add(failures)
}

// probed closes the breaker, or opens it again for longer.
func (b *Breaker) probed(r Result) {
	switch r {
	case Answered:
		b.mu.Lock()
		b.row.Store(0)
		b.ops.Store(0)
		b.failed.Store(0)
		b.backoff = 0
		b.state.Store(int32(Closed))
		b.mu.Unlock()
		b.tell(HalfOpen, Closed)
	case Failed:
		b.open(HalfOpen, firstBackoff)
	default:
		b.open(HalfOpen, 0) // the next operation is the probe
	}
}

// open opens the breaker if it is in state from: for least at least, and each time
// that a probe has failed for twice as long as before. 0 does not count as a failure.
func (b *Breaker) open(from State, first time.Duration) {
	b.mu.Lock()
	if b.State() != from {
		b.mu.Unlock()
		return
	}
	wait := time.Duration(0)
	if first > 0 {
		b.backoff = min(max(2*b.backoff, first), lastBackoff)
		wait = time.Duration(float64(b.backoff) * (0.8 + 0.4*rand.Float64()))
	}
	b.until = mono.Now() + int64(wait)
	b.state.Store(int32(Open))
	b.mu.Unlock()
	b.tell(from, Open)
}

func (b *Breaker) tell(from, to State) {
	if b.changed != nil {
		b.changed(from, to)
	}
}
