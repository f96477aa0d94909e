package cache

import (
	"time"

	"github.com/larder-go/cache/internal/expiry"
)

// TTL is an expiry class: how long entries of one kind are fresh, and what may
// be done with them afterwards. Declare a class once, as a package variable,
// share it, and never modify it: caches compare classes by pointer and read
// them from many goroutines without a lock.
//
//	var profiles = &cache.TTL{Name: "profiles", Fresh: 10 * time.Minute, StaleIfError: time.Hour}
//
// Redis keeps an entry for Fresh (after jitter) plus a grace, which is at least
// the longer one of the two stale windows. Times go to Redis in whole
// milliseconds, and none is longer than 100 years: longer ones are cut to that.
//
// A bad class is refused where it is first seen, by New or by the call, with an
// error that names each bad field.
type TTL struct {
	// Name labels this class in Stats, spans and metrics, so keep the number
	// of different names small. It may be empty.
	Name string

	// Fresh is how long an entry is served without question, counted from the
	// start of the load that produced it. Required: zero is an error, as is
	// anything below 1 ms. A fraction of a millisecond is dropped.
	Fresh time.Duration

	// Jitter shortens Fresh, entry by entry, by a random fraction of up to
	// this much, so that what was loaded together does not expire together. It
	// never prolongs. 0 means 0.1 (up to 10 %), a negative value none; 1 and
	// above, and NaN, are errors.
	Jitter float64

	// Sliding moves the end of Fresh on a hit, when less than half of it is
	// left, and never beyond MaxAge. It needs MaxAge, and does not go with
	// StaleWhileRevalidate: an entry that is in use would never become stale.
	// Default false.
	Sliding bool

	// MaxAge is the age, counted from the start of the load, after which an
	// entry is not served at all: neither slid nor stale. 0 means no such
	// limit; else it is at least Fresh, and less is an error.
	MaxAge time.Duration

	// StaleWhileRevalidate is how long after Fresh a reader still gets the old
	// value at once, while one process refreshes it (RFC 5861). 0 means never;
	// negative is an error.
	StaleWhileRevalidate time.Duration

	// StaleIfError is how long after Fresh the old value stands in for a load
	// that fails (RFC 5861). 0 means never; negative is an error. Absence is
	// no failure: a loader that returns ErrNotFound is believed.
	StaleIfError time.Duration

	// Absent is how long "no such record" is remembered. It has neither jitter
	// nor a stale window. 0 means that absence is not remembered; negative is
	// an error.
	Absent time.Duration
}

// defaultTTL is the class of a cache that names none.
var defaultTTL = &TTL{Name: "default", Fresh: 5 * time.Minute, Jitter: expiry.DefaultJitter}

// policy is t as the inner packages know it.
func (t *TTL) policy() *expiry.Policy { return (*expiry.Policy)(t) }
