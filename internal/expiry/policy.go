// Package expiry is the arithmetic of expiry: how long an entry of a class is fresh, how
// long its record is kept beyond that, and when a read refreshes it early. All of it is
// pure: it asks no clock and draws no numbers.
package expiry

import (
	"errors"
	"fmt"
	"time"
)

// Policy is an expiry class: the root package's TTL, whose comments say what the fields
// mean. The two have the same fields in the same order, so that a *TTL is converted for
// nothing, and does not compile where they differ.
type Policy struct {
	Name                 string
	Fresh                time.Duration
	Jitter               float64
	Sliding              bool
	MaxAge               time.Duration
	StaleWhileRevalidate time.Duration
	StaleIfError         time.Duration
	Absent               time.Duration
}

const (
	// MinFresh is the shortest Fresh: Redis counts in milliseconds, and
	// go-redis raises anything shorter with a log line.
	MinFresh = time.Millisecond

	// Max bounds what is sent to Redis as PX. Redis itself refuses a PX
	// that overflows int64 milliseconds once the current time is added, which
	// is far away. The nearer limits are ours: a time in a record has 13
	// digits, and scripts add times as Lua numbers. Two spans of 100 years
	// (Fresh and grace) on top of the present have 13 digits, and their sum
	// still fits a time.Duration.
	Max = 100 * 365 * 24 * time.Hour

	// DefaultJitter is what Jitter 0 means.
	DefaultJitter = 0.1

	// MinGrace is the least that a record outlives its soft expiry by, when
	// the load timeout allows for it: room for a refresh.
	MinGrace = time.Second
)

// Validate reports everything that is wrong with p, joined, each problem naming
// the TTL's field; nil when there is nothing. It runs for each call that names a
// class, so it remembers nothing and, for a good class, allocates nothing.
func (p *Policy) Validate() error {
	if p == nil {
		return errNil
	}
	var bad []error
	if p.Fresh < MinFresh {
		bad = append(bad, fmt.Errorf("TTL.Fresh: %v is below %v", p.Fresh, MinFresh))
	}
	if !(p.Jitter < 1) { // Not ">= 1", which is false for NaN.
		bad = append(bad, fmt.Errorf("TTL.Jitter: %v is not below 1", p.Jitter))
	}
	switch {
	case p.MaxAge < 0:
		bad = append(bad, negative("MaxAge", p.MaxAge))
	case p.MaxAge > 0 && p.MaxAge < p.Fresh:
		bad = append(bad, fmt.Errorf("TTL.MaxAge: %v is below Fresh, %v", p.MaxAge, p.Fresh))
	}
	if p.Sliding && p.MaxAge == 0 {
		bad = append(bad, errors.New("TTL.Sliding: needs MaxAge"))
	}
	if p.Sliding && p.StaleWhileRevalidate > 0 {
		bad = append(bad, errors.New("TTL.Sliding: does not go with StaleWhileRevalidate"))
	}
	if p.StaleWhileRevalidate < 0 {
		bad = append(bad, negative("StaleWhileRevalidate", p.StaleWhileRevalidate))
	}
	if p.StaleIfError < 0 {
		bad = append(bad, negative("StaleIfError", p.StaleIfError))
	}
	if p.Absent < 0 {
		bad = append(bad, negative("Absent", p.Absent))
	}
	return errors.Join(bad...)
}

// errNil is a variable so that refusing a nil class costs nothing either.
var errNil = errors.New("TTL: the class is nil")

// negative says that a span which may be 0 is below it.
func negative(field string, d time.Duration) error {
	return fmt.Errorf("TTL.%s: %v is negative", field, d)
}

// Soft draws how long an entry of this class is fresh: Fresh, shortened by the
// fraction u*Jitter, in whole milliseconds rounded down, at least 1 ms, at most
// Fresh and at most 100 years. u is a uniform variate in [0, 1); p is valid.
func (p *Policy) Soft(u float64) time.Duration {
	fresh := Bound(p.Fresh)
	jitter := p.Jitter
	if jitter == 0 {
		jitter = DefaultJitter
	}
	if jitter > 0 {
		// Above 2^53 ns the product is rounded, by microseconds at worst; the
		// bounds are integers' and hold all the same.
		fresh -= min(max(time.Duration(float64(fresh)*jitter*u), 0), fresh)
	}
	return max(fresh.Truncate(time.Millisecond), time.Millisecond)
}

// Grace is how long a record is kept beyond its soft expiry, whether or not it
// may be served: as long as a stale window is open, and as long as a refresh
// takes. cost is what the last loads took, loadTimeout what a load may take at
// most. Whole milliseconds rounded up, never negative, at most 100 years.
func (p *Policy) Grace(loadTimeout, cost time.Duration) time.Duration {
	cost = min(max(cost, 0), Max/4) // So that four of them do not overflow.
	refresh := min(loadTimeout, max(MinGrace, 4*cost))
	g := Bound(max(p.StaleWindow(), refresh))
	if rest := g % time.Millisecond; rest > 0 {
		g += time.Millisecond - rest
	}
	return g
}

// StaleWindow is the longest time for which the class serves anything stale.
func (p *Policy) StaleWindow() time.Duration {
	return max(p.StaleWhileRevalidate, p.StaleIfError)
}

// Longest is how long an entry of this class may live, as far as the class tells.
func (p *Policy) Longest() time.Duration {
	lives := max(Bound(p.Fresh), Bound(p.MaxAge), Bound(p.Absent))
	return Bound(AddDurations(lives, Bound(p.StaleWindow())))
}

// Bound cuts d to what is sent to Redis: 0 to 100 years.
func Bound(d time.Duration) time.Duration {
	return min(max(d, 0), Max)
}

// AddDurations is a+b, or the nearest time.Duration where the sum has none.
func AddDurations(a, b time.Duration) time.Duration {
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
