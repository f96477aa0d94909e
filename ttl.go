package cache

import (
	"errors"
	"fmt"
	"time"
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

const (
	// minFresh is the shortest Fresh: Redis counts in milliseconds, and
	// go-redis raises anything shorter with a log line.
	minFresh = time.Millisecond

	// maxTTL bounds what is sent to Redis as PX. Redis itself refuses a PX
	// that overflows int64 milliseconds once the current time is added, which
	// is far away. The nearer limits are ours: a time in a record has 13
	// digits, and scripts add times as Lua numbers. Two spans of 100 years
	// (Fresh and grace) on top of the present have 13 digits, and their sum
	// still fits a time.Duration.
	maxTTL = 100 * 365 * 24 * time.Hour

	// defaultJitter is what Jitter 0 means.
	defaultJitter = 0.1

	// minGrace is the least that a record outlives its soft expiry by, when
	// the load timeout allows for it: room for a refresh.
	minGrace = time.Second
)

// defaultTTL is the class of a cache that names none.
var defaultTTL = &TTL{Name: "default", Fresh: 5 * time.Minute, Jitter: defaultJitter}

// validate reports everything that is wrong with t, joined, each problem naming
// its field; nil when there is nothing. It runs for each call that names a
// class, so it remembers nothing and, for a good class, allocates nothing.
func (t *TTL) validate() error {
	if t == nil {
		return errNilTTL
	}
	var bad []error
	if t.Fresh < minFresh {
		bad = append(bad, fmt.Errorf("TTL.Fresh: %v is below %v", t.Fresh, minFresh))
	}
	if !(t.Jitter < 1) { // Not ">= 1", which is false for NaN.
		bad = append(bad, fmt.Errorf("TTL.Jitter: %v is not below 1", t.Jitter))
	}
	switch {
	case t.MaxAge < 0:
		bad = append(bad, negativeTTL("MaxAge", t.MaxAge))
	case t.MaxAge > 0 && t.MaxAge < t.Fresh:
		bad = append(bad, fmt.Errorf("TTL.MaxAge: %v is below Fresh, %v", t.MaxAge, t.Fresh))
	}
	if t.Sliding && t.MaxAge == 0 {
		bad = append(bad, errors.New("TTL.Sliding: needs MaxAge"))
	}
	if t.Sliding && t.StaleWhileRevalidate > 0 {
		bad = append(bad, errors.New("TTL.Sliding: does not go with StaleWhileRevalidate"))
	}
	if t.StaleWhileRevalidate < 0 {
		bad = append(bad, negativeTTL("StaleWhileRevalidate", t.StaleWhileRevalidate))
	}
	if t.StaleIfError < 0 {
		bad = append(bad, negativeTTL("StaleIfError", t.StaleIfError))
	}
	if t.Absent < 0 {
		bad = append(bad, negativeTTL("Absent", t.Absent))
	}
	return errors.Join(bad...)
}

// errNilTTL is a variable so that refusing a nil class costs nothing either.
var errNilTTL = errors.New("TTL: the class is nil")

// negativeTTL says that a span which may be 0 is below it.
func negativeTTL(field string, d time.Duration) error {
	return fmt.Errorf("TTL.%s: %v is negative", field, d)
}

// soft draws how long an entry of this class is fresh: Fresh, shortened by the
// fraction u*Jitter, in whole milliseconds rounded down, at least 1 ms, at most
// Fresh and at most 100 years. u is a uniform variate in [0, 1); t is valid.
func (t *TTL) soft(u float64) time.Duration {
	fresh := boundTTL(t.Fresh)
	jitter := t.Jitter
	if jitter == 0 {
		jitter = defaultJitter
	}
	if jitter > 0 {
		// Above 2^53 ns the product is rounded, by microseconds at worst; the
		// bounds are integers' and hold all the same.
		fresh -= min(max(time.Duration(float64(fresh)*jitter*u), 0), fresh)
	}
	return max(fresh.Truncate(time.Millisecond), time.Millisecond)
}

// grace is how long a record is kept beyond its soft expiry, whether or not it
// may be served: as long as a stale window is open, and as long as a refresh
// takes. cost is what the last loads took, loadTimeout what a load may take at
// most. Whole milliseconds rounded up, never negative, at most 100 years.
func (t *TTL) grace(loadTimeout, cost time.Duration) time.Duration {
	cost = min(max(cost, 0), maxTTL/4) // So that four of them do not overflow.
	refresh := min(loadTimeout, max(minGrace, 4*cost))
	g := boundTTL(max(t.StaleWhileRevalidate, t.StaleIfError, refresh))
	if rest := g % time.Millisecond; rest > 0 {
		g += time.Millisecond - rest
	}
	return g
}

// longest is how long an entry of this class may live, as far as the class tells.
func (t *TTL) longest() time.Duration {
	lives := max(boundTTL(t.Fresh), boundTTL(t.MaxAge), boundTTL(t.Absent))
	return boundTTL(addDurations(lives, boundTTL(t.staleWindow())))
}

// boundTTL cuts d to what is sent to Redis: 0 to 100 years.
func boundTTL(d time.Duration) time.Duration {
	return min(max(d, 0), maxTTL)
}

// addDurations is a+b, or the nearest time.Duration where the sum has none.
func addDurations(a, b time.Duration) time.Duration {
	const (
		most  = time.Duration(1<<63 - 1)
		least = -most - 1
	)
	switch {
	case b > 0 && a > most-b:
		return most
	case b < 0 && a < least-b:
		return least
	default:
		return a + b
	}
}
