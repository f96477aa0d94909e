package load

import "time"

// Outcome is how a flight ended, for one key.
type Outcome uint8

const (
	Stored    Outcome = iota // loaded and committed
	Loaded                   // loaded, and not in Redis: no lease, refused, not encodable, Redis failed
	Found                    // another process's value, read by a poll or by acquire
	Failed                   // the loader's error or panic, its time, no place, closed
	Outdated                 // loaded, but the record is fresh and of a newer version
	Backoff                  // a load failed moments ago, and nobody may try yet
	Contended                // another process loads for longer than a caller waits
	Abandoned                // nothing was loaded, since nobody waited
)

// Result is what a flight found.
type Result struct {
	Outcome Outcome
	Value   any       // the loader's, or that which was read; nil with an error
	Size    int       // its encoded bytes; -1 where nothing was encoded
	Err     error     // the loader's, an absence included
	Problem error     // Redis's, why what was loaded is not in it
	Backoff time.Time // with Outcome Backoff: when it ends

	proof   int    // number of the command that proves it current; 0: none
	loadSeq uint64 // when the loader was called; 0: it was not
}

// Loaded reports whether the flight called the loader.
func (r *Result) Loaded() bool { return r.loadSeq != 0 }
