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

const longestDuration = time.Duration(math.MaxInt64)

func TestAPolicyIsValidated(t *testing.T) {
	tests := []struct {
		name string
		ttl  *expiry.Policy
		want []string // One line of the error each; none means valid.
	}{
		{"a class needs no more than Fresh", &expiry.Policy{Fresh: time.Minute}, nil},
		{"one millisecond is the shortest Fresh", &expiry.Policy{Fresh: time.Millisecond}, nil},
		{"no duration is too long", &expiry.Policy{
			Fresh: longestDuration, MaxAge: longestDuration, StaleWhileRevalidate: longestDuration, StaleIfError: longestDuration, Absent: longestDuration,
		}, nil},
		{"negative jitter means none", &expiry.Policy{Fresh: time.Second, Jitter: math.Inf(-1)}, nil},
		{"jitter may come near 1", &expiry.Policy{Fresh: time.Second, Jitter: math.Nextafter(1, 0)}, nil},
		{"MaxAge may equal Fresh", &expiry.Policy{Fresh: time.Second, MaxAge: time.Second}, nil},
		{"sliding goes with StaleIfError", &expiry.Policy{
			Fresh: time.Second, Sliding: true, MaxAge: time.Hour, StaleIfError: time.Minute,
		}, nil},

		{"a nil class is refused", nil, []string{"TTL: the class is nil"}},
		{"Fresh is required", &expiry.Policy{}, []string{"TTL.Fresh: 0s is below 1ms"}},
		{"Fresh is at least a millisecond", &expiry.Policy{Fresh: 500 * time.Microsecond}, []string{"TTL.Fresh: 500µs is below 1ms"}},
		{"Fresh is not negative", &expiry.Policy{Fresh: -time.Second}, []string{"TTL.Fresh: -1s is below 1ms"}},
		{"jitter of 1 would leave nothing", &expiry.Policy{Fresh: time.Second, Jitter: 1}, []string{"TTL.Jitter: 1 is not below 1"}},
		{"jitter is a number", &expiry.Policy{Fresh: time.Second, Jitter: math.NaN()}, []string{"TTL.Jitter: NaN is not below 1"}},
		{"jitter is finite", &expiry.Policy{Fresh: time.Second, Jitter: math.Inf(1)}, []string{"TTL.Jitter: +Inf is not below 1"}},
		{"MaxAge is at least Fresh", &expiry.Policy{Fresh: time.Minute, MaxAge: time.Minute - 1}, []string{
			"TTL.MaxAge: 59.999999999s is below Fresh, 1m0s",
		}},
		{"MaxAge is not negative", &expiry.Policy{Fresh: time.Minute, MaxAge: -1}, []string{"TTL.MaxAge: -1ns is negative"}},
		{"sliding needs MaxAge", &expiry.Policy{Fresh: time.Minute, Sliding: true}, []string{"TTL.Sliding: needs MaxAge"}},
		{
			"sliding does not go with StaleWhileRevalidate",
			&expiry.Policy{Fresh: time.Minute, Sliding: true, MaxAge: time.Hour, StaleWhileRevalidate: 1},
			[]string{"TTL.Sliding: does not go with StaleWhileRevalidate"},
		},
		{"the revalidate window is not negative", &expiry.Policy{Fresh: time.Minute, StaleWhileRevalidate: -time.Hour}, []string{
			"TTL.StaleWhileRevalidate: -1h0m0s is negative",
		}},
		{"the error window is not negative", &expiry.Policy{Fresh: time.Minute, StaleIfError: math.MinInt64}, []string{
			"TTL.StaleIfError: -2562047h47m16.854775808s is negative",
		}},
		{"Absent is not negative", &expiry.Policy{Fresh: time.Minute, Absent: -time.Millisecond}, []string{"TTL.Absent: -1ms is negative"}},
		{"all problems come at once", &expiry.Policy{
			Jitter: 2, Sliding: true, StaleWhileRevalidate: -1, StaleIfError: -2, Absent: -3,
		}, []string{
			"TTL.Fresh: 0s is below 1ms",
			"TTL.Jitter: 2 is not below 1",
			"TTL.Sliding: needs MaxAge",
			"TTL.StaleWhileRevalidate: -1ns is negative",
			"TTL.StaleIfError: -2ns is negative",
			"TTL.Absent: -3ns is negative",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.ttl.Validate()
			if tt.want == nil {
				assert.NoError(t, err)
				return
			}
			var text string
			for i, line := range tt.want {
				if i > 0 {
					text += "\n"
				}
				text += line
			}
			assert.EqualError(t, err, text)
		})
	}
}

func TestSoft(t *testing.T) {
	const almost1 = 1 - 0x1p-53 // The largest variate rand.Float64 may give.
	tests := []struct {
		name   string
		fresh  time.Duration
		jitter float64
		u      float64
		want   time.Duration
	}{
		{"no draw leaves Fresh whole", time.Minute, 0.5, 0, time.Minute},
		{"half a draw takes half the jitter", time.Minute, 0.5, 0.5, 45 * time.Second},
		{"zero jitter means a tenth", time.Minute, 0, 0.5, 57 * time.Second},
		{"negative jitter takes nothing", time.Minute, -1, almost1, time.Minute},
		{"part of a second is exact", 750 * time.Millisecond, -1, 0.5, 750 * time.Millisecond},
		{"part of a second is jittered exactly", 750 * time.Millisecond, 0.2, 0.5, 675 * time.Millisecond},
		{"a fraction of a millisecond is dropped", 1999 * time.Microsecond, -1, 0.5, time.Millisecond},
		{"the largest draw leaves a millisecond", 2 * time.Millisecond, math.Nextafter(1, 0), almost1, time.Millisecond},
		{"the shortest Fresh is not shortened", time.Millisecond, 0.9, almost1, time.Millisecond},
		{"a century is the longest", longestDuration, -1, 0, expiry.Max},
		{"the longest is jittered after the cut", longestDuration, 0.5, 0.5, expiry.Max / 4 * 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ttl := &expiry.Policy{Fresh: tt.fresh, Jitter: tt.jitter}
			require.NoError(t, ttl.Validate())
			assert.Equal(t, tt.want, ttl.Soft(tt.u))
		})
	}
}

// Entries that were loaded together must not expire together: the draws spread
// evenly over the whole jitter.
func TestSoftSpreadsEvenly(t *testing.T) {
	ttl := &expiry.Policy{Fresh: 100 * time.Second}
	r := rand.New(rand.NewPCG(3, 4))
	const draws = 100_000
	var perSecond [10]int
	for range draws {
		d := ttl.Soft(r.Float64())
		require.True(t, d >= 90*time.Second && d <= 100*time.Second, "%v", d)
		perSecond[min(int(d/time.Second)-90, 9)]++
	}
	for i, n := range perSecond {
		// Four standard errors of a binomial with p = 1/10 are 380.
		assert.InDelta(t, draws/10, n, 400, "second %d", 90+i)
	}
}

func TestGrace(t *testing.T) {
	const load = 30 * time.Second
	tests := []struct {
		name     string
		swr, sie time.Duration
		timeout  time.Duration
		cost     time.Duration
		want     time.Duration
	}{
		{"without windows there is room for a refresh", 0, 0, load, 0, time.Second},
		{"a quick load does not shorten it", 0, 0, load, 10 * time.Millisecond, time.Second},
		{"a slow load gets four times its cost", 0, 0, load, 2 * time.Second, 8 * time.Second},
		{"no load takes longer than its timeout", 0, 0, load, time.Minute, load},
		{"a short timeout bounds the room", 0, 0, 200 * time.Millisecond, 0, 200 * time.Millisecond},
		{"the revalidate window counts", time.Hour, time.Minute, load, 0, time.Hour},
		{"the error window counts", time.Minute, time.Hour, load, 0, time.Hour},
		{"windows may be shorter than a refresh", 10 * time.Millisecond, 20 * time.Millisecond, load, time.Second, 4 * time.Second},
		{"a fraction of a millisecond is rounded up", 90*time.Second + 1, 0, load, 0, 90*time.Second + time.Millisecond},
		{"four times the longest cost does not overflow", 0, 0, longestDuration, longestDuration, expiry.Max},
		{"a cost that would overflow is bounded by the timeout", 0, 0, load, longestDuration, load},
		{"a negative cost is none", 0, 0, load, math.MinInt64, time.Second},
		{"a negative timeout leaves the windows", 5 * time.Second, 0, -load, 0, 5 * time.Second},
		{"it is never negative", 0, 0, -load, 0, 0},
		{"a century is the longest", longestDuration, longestDuration, longestDuration, longestDuration, expiry.Max},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ttl := &expiry.Policy{Fresh: time.Second, StaleWhileRevalidate: tt.swr, StaleIfError: tt.sie}
			require.NoError(t, ttl.Validate())
			assert.Equal(t, tt.want, ttl.Grace(tt.timeout, tt.cost))
		})
	}
}

func TestAddDurations(t *testing.T) {
	const least = time.Duration(math.MinInt64)
	tests := []struct {
		name       string
		a, b, want time.Duration
	}{
		{"small ones are added", time.Second, -time.Minute, -59 * time.Second},
		{"the largest sum is exact", longestDuration - 1, 1, longestDuration},
		{"above it the sum stays", longestDuration, 1, longestDuration},
		{"twice the largest stays", longestDuration, longestDuration, longestDuration},
		{"the least sum is exact", least + 1, -1, least},
		{"below it the sum stays", least, -1, least},
		{"twice the least stays", least, least, least},
		{"opposite ends meet", longestDuration, least, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, expiry.AddDurations(tt.a, tt.b))
			assert.Equal(t, tt.want, expiry.AddDurations(tt.b, tt.a))
		})
	}
}

func TestAPolicyAllocatesNothing(t *testing.T) {
	ttl := &expiry.Policy{
		Name: "full", Fresh: time.Minute, Sliding: true, MaxAge: time.Hour, StaleIfError: time.Minute, Absent: time.Second,
	}
	require.NoError(t, ttl.Validate())
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = ttl.Validate() }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = ttl.Soft(0.5) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = ttl.Grace(time.Second, time.Second) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = (*expiry.Policy)(nil).Validate() }))
}
