package expiry

import (
	"math"
	"time"
)

// This file is XFetch's arithmetic. Why it elects as it does is in the root's xfetch.go.

// Early says whether a read of a fresh entry shall refresh it now.
//
// remaining is what is left of its soft lifetime, soft that lifetime after
// jitter; delta is what a load costs (see [Cost]), beta the eagerness (1 is
// the paper's), draw a standard exponential variate: rand.ExpFloat64(), which
// is the paper's -log(rand()) without its log(0).
//
// With beta or delta 0 or below (or NaN) it is off and false, whatever is left:
// callers ask for fresh entries only, an expired one is the read path's affair.
// With both set, an entry that expired between that check and this one is due.
func Early(remaining, soft, delta time.Duration, beta, draw float64) bool {
	if !(beta > 0) || delta <= 0 {
		return false
	}
	if remaining <= 0 {
		return true
	}
	return remaining <= soft/2 && beta*float64(delta)*draw >= float64(remaining)
}

// Chance is the probability that [Early] says yes to a standard exponential draw.
func Chance(remaining, soft, delta time.Duration, beta float64) float64 {
	switch {
	case Early(remaining, soft, delta, beta, 0):
		return 1
	case !Early(remaining, soft, delta, beta, math.Inf(1)):
		return 0
	}
	return math.Exp(-float64(remaining) / (beta * float64(delta)))
}

// Average is the moving average of what loads of a key take, after one that
// took last: 0.7 of what it was and 0.3 of last, or just last when there was
// none (ewma 0). Both are kept in the entry, so the average is the fleet's.
func Average(last, ewma time.Duration) (next time.Duration) {
	last, ewma = max(last, 0), max(ewma, 0)
	if ewma == 0 {
		return last
	}
	d := last - ewma // Both are positive: no overflow, here or below.
	return ewma + d/10*3 + d%10*3/10
}

// Cost is what a load costs, the delta of [Early]: the last one, or the average that
// already includes it, whichever is more.
func Cost(last, ewma time.Duration) time.Duration {
	return max(last, ewma)
}
