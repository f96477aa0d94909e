package cache

// Early refresh of hot entries, after A. Vattani, F. Chierichetti and
// K. Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", PVLDB
// 8(8):886-897, 2015, Figure 3 (XFetch): each read of a fresh entry may elect
// itself to refresh it, the likelier the nearer the expiry and the dearer the
// load. Nobody coordinates, and nobody waits.
//
// Why exponential. The cost of an early refresh is the lifetime thrown away; the
// cost of a late one is every read that is elected while the load is still
// running. To keep the expected number of the latter below a constant, the
// chance of election may grow by no more than a constant factor per load
// duration, and the exponential is the curve that grows exactly so: it waits
// longest for a given herd. The herd is e^(1/beta) loads on average whatever
// the traffic, 2.7 for beta 1. The chance must depend on the load duration: the
// rule of many tutorials, p = beta*(1-remaining/ttl), does not, and throws away
// 60 to 99.9 % of the lifetime, the more the hotter the key.
//
// Why it is not the guarantee. The bound above holds while loads take as long
// as the last one did. Where they vary, a slow one gathers dozens of elections:
// the lease is what makes it one load, and XFetch only moves that load off the
// readers' path.
//
// Why the window is capped at half the lifetime. Where beta*delta*ln(rate*beta*
// delta) comes near the lifetime (10,000 reads/s, a load of 1 s, a lifetime of
// 10 s) the rule refreshes all the time: 0.98 s of 10 s would be used, at ten
// times the loads. No entry is refreshed in the first half of its life.
//
// Why delta = max(last, average). One quick load after slow ones (a replica's
// warm page) must not make the next window too short for the slow load that
// follows; one slow load must widen it at once.

import (
	"math"
	"time"
)

// refreshEarly says whether a read of a fresh entry shall refresh it now.
//
// remaining is what is left of its soft lifetime, soft that lifetime after
// jitter; delta is what a load costs (see costDelta), beta the eagerness (1 is
// the paper's), draw a standard exponential variate: rand.ExpFloat64(), which
// is the paper's -log(rand()) without its log(0).
//
// With beta or delta 0 or below (or NaN) it is off and false, whatever is left:
// callers ask for fresh entries only, an expired one is the read path's affair.
// With both set, an entry that expired between that check and this one is due.
func refreshEarly(remaining, soft, delta time.Duration, beta, draw float64) bool {
	if !(beta > 0) || delta <= 0 {
		return false
	}
	if remaining <= 0 {
		return true
	}
	return remaining <= soft/2 && beta*float64(delta)*draw >= float64(remaining)
}

// refreshChance is the probability that refreshEarly says yes to a standard
// exponential draw.
func refreshChance(remaining, soft, delta time.Duration, beta float64) float64 {
	switch {
	case refreshEarly(remaining, soft, delta, beta, 0):
		return 1
	case !refreshEarly(remaining, soft, delta, beta, math.Inf(1)):
		return 0
	}
	return math.Exp(-float64(remaining) / (beta * float64(delta)))
}

// loadCost is the moving average of what loads of a key take, after one that
// took last: 0.7 of what it was and 0.3 of last, or just last when there was
// none (ewma 0). Both are kept in the entry, so the average is the fleet's.
func loadCost(last, ewma time.Duration) (next time.Duration) {
	last, ewma = max(last, 0), max(ewma, 0)
	if ewma == 0 {
		return last
	}
	d := last - ewma // Both are positive: no overflow, here or below.
	return ewma + d/10*3 + d%10*3/10
}

// costDelta is refreshEarly's delta: the last load, or the average that already
// includes it, whichever is more.
func costDelta(last, ewma time.Duration) time.Duration {
	return max(last, ewma)
}
