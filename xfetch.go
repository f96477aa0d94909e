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
	"math/rand/v2"
	"time"

	"github.com/larder-go/cache/internal/expiry"
)

// elects says whether a read of a fresh entry shall refresh it now, by a draw. left is
// what is left of its lifetime, soft that lifetime, delta what a load of it costs.
func (c *config) elects(left, soft, delta time.Duration) bool {
	return expiry.Early(left, soft, delta, c.beta, rand.ExpFloat64())
}

// chance is the probability that elects says yes.
func (c *config) chance(left, soft, delta time.Duration) float64 {
	return expiry.Chance(left, soft, delta, c.beta)
}
