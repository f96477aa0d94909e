package expiry_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/expiry"
)

// herd is a simulated key: Poisson reads at rate per second of an entry that is
// fresh for ttl and takes load to make anew. Times are seconds; remaining time
// falls, through zero where the entry expires.
type herd struct {
	rate, ttl, load float64
	lease           float64 // How long a load excludes others; 0 is no guard.
	random          *rand.Rand
	elect           func(remaining float64) bool // What one read decides.
}

// refresh is one life of the entry.
type refresh struct {
	loads int     // Loads begun before the first one committed.
	left  float64 // What was left of the lifetime when the first began.
}

// run simulates one life. It begins when from seconds are left: the caller says
// so where no read before that can be elected. Every read decides by itself,
// until the first load commits.
func (h *herd) run(from float64) refresh {
	var out refresh
	commit, leased := math.Inf(-1), math.Inf(1)
	for remaining := from; ; {
		remaining -= h.random.ExpFloat64() / h.rate
		if remaining < commit {
			return out
		}
		if !h.elect(remaining) || out.loads > 0 && remaining > leased {
			continue
		}
		if out.loads == 0 {
			out.left, commit = max(remaining, 0), remaining-h.load
		}
		out.loads++
		leased = remaining - h.lease
		if h.lease == 0 {
			leased = math.Inf(1)
		}
	}
}

// xfetchRule elects by Early itself. window is the lifetime that its cap
// is half of: the entry's, or endless to see what the cap is for.
func xfetchRule(r *rand.Rand, window, delta, beta float64) func(float64) bool {
	w, d := seconds(window), seconds(delta)
	return func(remaining float64) bool {
		return expiry.Early(seconds(remaining), w, d, beta, r.ExpFloat64())
	}
}

// linearRule is the rule of many tutorials.
func linearRule(r *rand.Rand, ttl, beta float64) func(float64) bool {
	return func(remaining float64) bool { return r.Float64() < beta*(1-remaining/ttl) }
}

// xfetchHorizon is the remaining time before which a read is elected with a
// chance of less than 5e-5 in a whole lifetime, so that simulating it is
// waste: the expected elections before it are rate*mu*exp(-horizon/mu).
func xfetchHorizon(rate, ttl, mu float64) float64 {
	return min(ttl, mu*(max(math.Log(rate*mu), 0)+10))
}

func seconds(s float64) time.Duration {
	return time.Duration(max(min(s*float64(time.Second), 1<<62), -1<<62))
}

// outcome sums up many lives.
type outcome struct {
	n              float64
	loads, loadsSE float64 // Mean per life, and its standard error.
	left, leftSE   float64 // Mean lifetime thrown away, in seconds.
	early          float64 // Share of lives that ended before their expiry.
	most           int
	sorted         []int
}

func (h *herd) runs(n int, from float64) outcome {
	loads, left := make([]float64, n), make([]float64, n)
	out := outcome{n: float64(n), sorted: make([]int, n)}
	for i := range n {
		life := h.run(from)
		loads[i], left[i], out.sorted[i] = float64(life.loads), life.left, life.loads
		if life.left > 0 {
			out.early += 1 / float64(n)
		}
	}
	slices.Sort(out.sorted)
	out.most = out.sorted[n-1]
	out.loads, out.loadsSE = meanAndError(loads)
	out.left, out.leftSE = meanAndError(left)
	return out
}

// quantile is the number of loads that a share p of the lives did not exceed.
func (o outcome) quantile(p float64) int {
	i := int(math.Ceil(p*o.n)) - 1
	return o.sorted[min(max(i, 0), len(o.sorted)-1)]
}

// perSecond is the rate of loads at the origin: those of one life over the time
// from one commit to the next.
func (o outcome) perSecond(h *herd) float64 {
	return o.loads / (h.ttl - o.left + h.load)
}

func meanAndError(x []float64) (mean, err float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		err += (v - mean) * (v - mean) / (n - 1)
	}
	return mean, math.Sqrt(err / n)
}
