package expiry_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/expiry"
)

// xfetchCyclesEnv asks for the long form of the simulation, with so many lives
// per row: tolerances are then the published ones, and the table is printed.
const xfetchCyclesEnv = "CACHE_XFETCH_CYCLES"

// xfetchRows are 12 rows of a reference table that was computed by inverting
// the cumulative hazard, 20,000 lives each: another method than the one here,
// which lets every read decide. The reference knows no window cap, so these are
// rows where the cap does not bind: half the lifetime is 30 load durations and
// more away, where a read is elected with a chance of exp(-30).
var xfetchRows = []struct {
	ttl, load, rate float64
	loads           float64 // XFetch, beta 1, without guard: mean loads per life,
	p99             int     // its 99th percentile,
	left            float64 // seconds of lifetime thrown away,
	early           float64 // share of lives refreshed before the expiry.
	linear          float64 // The linear rule: mean loads,
	linearWaste     float64 // percent of the lifetime thrown away.
}{
	{10, 0.01, 100, 1.73, 5, 0.007999, 0.637, 1.04, 96.03},
	{10, 0.01, 1000, 2.71, 10, 0.02879, 1, 1.13, 98.74},
	{10, 0.1, 10, 1.74, 5, 0.07929, 0.630, 1.13, 87.50},
	{10, 0.1, 100, 2.71, 10, 0.2895, 1, 1.44, 96.06},
	{10, 0.1, 1000, 2.73, 11, 0.5179, 1, 2.76, 98.75},
	{60, 0.01, 1000, 2.70, 10, 0.02888, 1, 1.05, 99.49},
	{60, 0.1, 100, 2.70, 10, 0.288, 1, 1.17, 98.39},
	{60, 1, 10, 2.70, 10, 2.871, 1, 1.59, 94.90},
	{60, 1, 100, 2.73, 10, 5.178, 1, 3.46, 98.38},
	{600, 1, 10, 2.71, 10, 2.86, 1, 1.17, 98.39},
	{600, 1, 100, 2.73, 11, 5.179, 1, 1.59, 99.49},
	{600, 1, 1000, 2.72, 10, 7.486, 1, 3.44, 99.84},
}

// referenceCycles is how many lives each figure of the reference is made of.
const referenceCycles = 20_000

// xfetchCycles is how many lives of a row to simulate, given the reads of one.
func xfetchCycles(t *testing.T, reads float64) (n int, long bool) {
	if v := os.Getenv(xfetchCyclesEnv); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err, xfetchCyclesEnv)
		require.GreaterOrEqual(t, n, referenceCycles, "%s: fewer cannot meet the published tolerances", xfetchCyclesEnv)
		return n, true
	}
	return int(min(max(1.5e6/reads, 300), 5000)), false
}

func TestXFetchTable(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| TTL s | load s | rate/s | XFetch: early / mean S / p99 / wasted % | with lease: S / wasted % " +
		"| linear: mean S / p99 / wasted % / x origin loads |\n|---|---|---|---|---|---|\n")
	printed := false
	for i, row := range xfetchRows {
		name := fmt.Sprintf("a %g s load read %g times a second for %g s", row.load, row.rate, row.ttl)
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(17, uint64(i)))
			h := &herd{rate: row.rate, ttl: row.ttl, load: row.load, random: r}
			from := xfetchHorizon(row.rate, row.ttl, row.load)
			n, long := xfetchCycles(t, from*row.rate)
			within := tolerances{t: t, long: long, n: float64(n)}

			h.elect = xfetchRule(r, row.ttl, row.load, 1)
			x := h.runs(n, from)
			within.share("mean loads", row.loads, x.loads, x.loadsSE, 0.03)
			within.share("lifetime thrown away", row.left, x.left, x.leftSE, 0.02)
			within.quantile(row.p99, x)
			assert.InDelta(t, row.early, x.early, 0.01+4*math.Sqrt(row.early*(1-row.early)/x.n), "refreshed early")

			h.lease = 3
			leased := h.runs(n/4, from)
			assert.Equal(t, 1, leased.most, "with a lease there is one load in every life")
			h.lease = 0

			h.elect = linearRule(r, row.ttl, 1)
			linear := h.runs(n, row.ttl)
			within.share("linear: mean loads", row.linear, linear.loads, linear.loadsSE, 0.03)
			within.share("linear: lifetime thrown away", row.linearWaste/100*row.ttl, linear.left, linear.leftSE, 0.02)
			times := linear.perSecond(h) / x.perSecond(h)
			assert.Greater(t, times, 2.0, "the linear rule loads more than twice as often")

			printed = printed || long
			fmt.Fprintf(&table, "| %g | %g | %g | %.3f / %.2f / %d / %.2f | %d / %.2f | %.2f / %d / %.2f / %.1f |\n",
				row.ttl, row.load, row.rate, x.early, x.loads, x.quantile(.99), 100*x.left/row.ttl,
				leased.most, 100*leased.left/row.ttl, linear.loads, linear.quantile(.99), 100*linear.left/row.ttl, times)
		})
	}
	if printed {
		t.Log(table.String())
	}
}

// tolerances compares with the reference: in the long form by the published
// tolerance alone, in the short form at least by four standard errors of the
// difference, the reference having an error of its own.
type tolerances struct {
	t    *testing.T
	long bool
	n    float64 // Lives simulated.
}

func (o tolerances) share(what string, want, got, se, tolerance float64) {
	o.t.Helper()
	tolerance *= want
	if !o.long {
		tolerance = max(tolerance, 4*se*math.Sqrt(1+o.n/referenceCycles))
	}
	assert.InDelta(o.t, want, got, tolerance, what)
}

func (o tolerances) quantile(want int, got outcome) {
	o.t.Helper()
	spread := 0.0
	if !o.long {
		spread = 4 * math.Sqrt(0.99*0.01/got.n)
	}
	assert.GreaterOrEqual(o.t, want, got.quantile(0.99-spread)-1, "p99 of loads")
	assert.LessOrEqual(o.t, want, got.quantile(0.99+spread)+1, "p99 of loads")
}

// The lease of the table is longer than any load there. One that is not lets
// the herd in again: the simulation would show it.
func TestXFetchTableSeesAShortLease(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 100))
	h := &herd{rate: 1000, ttl: 60, load: 1, lease: 0.25, random: r, elect: xfetchRule(r, 60, 1, 1)}
	assert.Greater(t, h.runs(200, xfetchHorizon(1000, 60, 1)).loads, 1.3)
}

// Where the window would be as long as the lifetime, the cap leaves half of it:
// 10,000 reads/s, a load of 1 s, a lifetime of 10 s.
func TestXFetchDegenerate(t *testing.T) {
	const rate, ttl, load = 1e4, 10.0, 1.0
	r := rand.New(rand.NewPCG(18, 0))
	capped := xfetchRule(r, ttl, load, 1)
	for remaining := ttl; remaining > ttl/2; remaining -= 1e-3 {
		require.False(t, capped(remaining), "no read before half the lifetime is elected")
	}
	n, long := xfetchCycles(t, rate*ttl)
	n /= 5 // A life has 10,000 reads and more, and hardly varies.

	h := &herd{rate: rate, ttl: ttl, load: load, random: r, lease: 3, elect: capped}
	with := h.runs(n, ttl/2)
	lived := ttl - with.left
	assert.GreaterOrEqual(t, lived, 0.49*ttl, "lifetime with the cap")
	assert.Less(t, lived, 0.51*ttl, "the cap binds here")
	assert.Equal(t, 1, with.most, "with a lease there is one load in every life")

	h.elect = xfetchRule(r, math.Inf(1), load, 1)
	without := h.runs(n, ttl)
	assert.InDelta(t, 0.98, ttl-without.left, 0.1, "lifetime without the cap: the control")
	if long {
		t.Logf("lifetime of %g s: %.2f s with the cap, %.2f s without", ttl, lived, ttl-without.left)
	}
}

// Loads that vary void the bound on the herd; what is kept of past loads
// decides how far. The rows are those of a load with a median of 100 ms,
// lognormal with sigma 0.5, read 1,000 times a second for 60 s.
func TestXFetchVaryingLoads(t *testing.T) {
	last := varyingLoads(t, func(last, _ time.Duration) time.Duration { return last })
	larger := varyingLoads(t, expiry.Cost)
	assert.InDelta(t, 6.9, last, 2, "mean loads by the last load")
	assert.InDelta(t, 3.5, larger, 0.5, "mean loads by the larger of it and the average")
}

// varyingLoads is the mean number of loads per life without a guard, where keep
// makes the cost that the entry carries from the last load and the average.
func varyingLoads(t *testing.T, keep func(last, average time.Duration) time.Duration) float64 {
	const rate, ttl, lives = 1000.0, 60.0, 2000
	durations, r := rand.New(rand.NewPCG(19, 0)), rand.New(rand.NewPCG(19, 1))
	last := 100 * time.Millisecond
	average := last
	total := 0
	for range lives {
		delta := keep(last, average).Seconds()
		now := 0.1 * math.Exp(0.5*durations.NormFloat64())
		h := &herd{rate: rate, ttl: ttl, load: now, random: r, elect: xfetchRule(r, ttl, delta, 1)}
		total += h.run(xfetchHorizon(rate, ttl, delta)).loads
		last = seconds(now)
		average = expiry.Average(last, average)
	}
	require.Positive(t, total)
	return float64(total) / lives
}
