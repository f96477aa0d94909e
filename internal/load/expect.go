package load

import "sync/atomic"

// Expectation is a moving average of how many of the last look-ups have found nothing, of
// which one in 32 is the latest. Look-ups that are noted at the same time may count once.
type Expectation struct{ nothing atomic.Uint32 }

const (
	expectOne  = 1 << 16           // all of them
	expectMost = expectOne / 8 * 7 // above it, asking for a lease at once costs less than looking first
	expectStep = 5                 // 1/32
)

// Note takes what a look-up has found.
func (e *Expectation) Note(nothing bool) {
	now := e.nothing.Load()
	switch {
	case nothing && now < expectOne:
		e.nothing.Store(now + (expectOne-now)>>expectStep + 1)
	case !nothing && now > 0: // a cache that hits writes nothing
		e.nothing.Store(now - now>>expectStep - 1)
	}
}

// Nothing reports whether the next look-up is expected to find nothing.
func (e *Expectation) Nothing() bool { return e.nothing.Load() > expectMost }
