package expiry_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/expiry"
)

func TestEarly(t *testing.T) {
	const (
		soft  = 10 * time.Second
		delta = time.Second
	)
	tests := []struct {
		name      string
		remaining time.Duration
		delta     time.Duration
		beta      float64
		draw      float64
		want      bool
	}{
		{"a draw that reaches the expiry refreshes", 2 * time.Second, delta, 1, 2, true},
		{"a draw just short of it does not", 2 * time.Second, delta, 1, math.Nextafter(2, 0), false},
		{"a dear load is refreshed sooner", 4 * time.Second, 2 * delta, 1, 2, true},
		{"a larger beta refreshes sooner", 4 * time.Second, delta, 2, 2, true},
		{"a smaller beta refreshes later", 2 * time.Second, delta, 0.5, 2, false},
		{"half the lifetime is inside the window", soft / 2, delta, 1, 5, true},
		{"the first half is outside, whatever is drawn", soft/2 + 1, delta, 1, math.Inf(1), false},
		{"an expired entry is due", 0, delta, 1, 0, true},
		{"so is one long expired", -time.Hour, delta, 1, 0, true},
		{"beta 0 is off", time.Millisecond, delta, 0, 100, false},
		{"beta 0 is off for an expired entry too", -1, delta, 0, 100, false},
		{"a negative beta is off", time.Millisecond, delta, -1, 100, false},
		{"a beta that is no number is off", -1, delta, math.NaN(), 100, false},
		{"a load that costs nothing is not refreshed early", 1, 0, 1, 100, false},
		{"a negative cost is none", 1, -delta, 1, 100, false},
		{"a draw of zero waits for the expiry", 1, delta, 1, 0, false},
		{"the longest cost does not overflow", soft / 2, longestDuration, 100, 100, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, expiry.Early(tt.remaining, soft, tt.delta, tt.beta, tt.draw))
		})
	}
}

// The chance that a read with r left refreshes is exp(-r/(beta*delta)).
func TestEarlyFollowsTheExponential(t *testing.T) {
	const draws = 1_000_000
	r := rand.New(rand.NewPCG(1, 2))
	deltas := []time.Duration{10 * time.Millisecond, time.Second, time.Minute}
	for i, beta := range []float64{0.5, 1, 2} {
		delta := deltas[i]
		for _, reach := range []float64{0.1, 0.5, 1.5} { // remaining in units of beta*delta
			remaining := time.Duration(reach * beta * float64(delta))
			elected := 0
			for range draws {
				if expiry.Early(remaining, time.Hour, delta, beta, r.ExpFloat64()) {
					elected++
				}
			}
			// A standard error is 0.19 % at most, at exp(-1.5).
			assert.InEpsilon(t, math.Exp(-reach), float64(elected)/draws, 0.01,
				"beta %v, delta %v, remaining %v", beta, delta, remaining)
		}
	}
}

func TestAverage(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name             string
		last, ewma, want time.Duration
	}{
		{"the first load is the average", 2 * s, 0, 2 * s},
		{"a slower load raises it by three tenths", 2 * s, s, 1300 * time.Millisecond},
		{"a quicker load lowers it by three tenths", s, 2 * s, 1700 * time.Millisecond},
		{"an equal load leaves it", s, s, s},
		{"a few nanoseconds are not lost", 13, 3, 6},
		{"a load without duration counts", 0, s, 700 * time.Millisecond},
		{"a negative duration is none", -s, s, 700 * time.Millisecond},
		{"a negative average is none", s, -s, s},
		{"the longest does not overflow", longestDuration, longestDuration, longestDuration},
		{"nor does the longest after the shortest", longestDuration, 1, 2767011611056432742},
		{"nor the shortest after the longest", 1, longestDuration, 6456360425798343066},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := expiry.Average(tt.last, tt.ewma)
			assert.InDelta(t, tt.want, got, 1) // A nanosecond of rounding.
			require.GreaterOrEqual(t, got, time.Duration(0))
		})
	}
}

func TestCostIsTheLargerOne(t *testing.T) {
	assert.Equal(t, 3*time.Second, expiry.Cost(3*time.Second, time.Second), "one slow load widens the window at once")
	assert.Equal(t, 3*time.Second, expiry.Cost(time.Second, 3*time.Second), "one quick load does not narrow it")
	assert.Zero(t, expiry.Cost(0, 0))
}

func TestXFetchAllocatesNothing(t *testing.T) {
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		ewma := expiry.Average(time.Second, time.Minute)
		_ = expiry.Early(time.Second, time.Hour, expiry.Cost(time.Second, ewma), 1, rand.ExpFloat64())
	}))
}
