package cache

import "time"

// loadOutcome is how a flight ended for one key. The table below says what a caller
// does next about it; a caller is entitled to what a flight found by the rule at the
// top of singleflight.go.
//
//	outcome                 entitled  rounds 1 and 2             round 3
//	stored, only, found     yes       return it                  return it
//	stored, only, found     no        look again                 cannot be: its own load
//	failed                  all       the stale value that may   the same
//	                                  be served instead, else
//	                                  the error
//	outdated                -         look again: a fresh        return what was loaded,
//	                                  record is there            unstored
//	backoff                 -         the stale value; else      the stale value, else
//	                                  sleep and look again, or   ErrBackoff
//	                                  ErrBackoff if that is too
//	                                  long
//	contended               -         the stale value if it      cannot be: it loads
//	                                  decodes; else round 3      without a lease
//	abandoned; it waited    -         look again                 cannot be: it joins no
//	for a load or a commit                                       flight that ends so
//	that is not for it
//
// Every row of rounds 1 and 2 ends the call or leads to a later round, and every row
// of round 3 ends it: a call makes at most three look-ups and waits for at most three
// loads (internal/model, variants 80 to 84).
type loadOutcome uint8

const (
	loadStored    loadOutcome = iota // loaded and committed
	loadOnly                         // loaded, and not in Redis: no lease, refused, not encodable, Redis failed
	loadFound                        // another process's value, read by a poll or by acquire
	loadFailed                       // the loader's error or panic, its time, no place, closed
	loadOutdated                     // loaded, but the record is fresh and of a newer version
	loadBackoff                      // a load failed moments ago, and nobody may try yet
	loadContended                    // another process loads for longer than Lock.Wait
	loadAbandoned                    // nothing was loaded, since nobody waited
)

// rounds is how many look-ups a call makes at most, each with at most one flight. In
// the last it is solo: it joins only a flight to whose end it is entitled whatever that
// is, and one of its own ends with a value or an error.
const rounds = 3

// step is what a caller does next.
type step uint8

const (
	stepReturn         step = iota // what was found, or the error
	stepLookAgain                  // in the next round
	stepWaitOutBackoff             // the stale value, or wait and look again
	stepStaleOrSolo                // the stale value, or the last round at once
)

// next is the table above.
func next(outcome loadOutcome, entitled bool, round int) step {
	switch outcome {
	case loadFailed:
		return stepReturn
	case loadStored, loadOnly, loadFound:
		if entitled {
			return stepReturn
		}
	case loadOutdated:
		if round == rounds {
			return stepReturn
		}
	case loadBackoff:
		return stepWaitOutBackoff
	case loadContended:
		return stepStaleOrSolo
	}
	return stepLookAgain
}

// landing is what a flight found.
type landing[T any] struct {
	outcome loadOutcome
	value   T
	size    int   // encoded bytes; -1 where nothing was encoded
	problem error // Redis's, why what was loaded is not in it
	err     error // the loader's, ErrNotFound included
	proof   int   // number of the command that proves the result current; 0: none
	loadSeq uint64
	backoff time.Duration // until the fleet's back-off ends
}

// entitles reports whether a caller that joined at ticket, and whose call began
// at call, may have what was found: rules (a) and (b) at the top of singleflight.go.
func (l *landing[T]) entitles(ticket int, call uint64) bool {
	return l.proof > ticket || l.loadSeq > call
}

// answers reports whether f must end with a value or an error, since a call in its last
// round waits for it.
func (g *group[T]) answers(f *flight[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.solo
}
