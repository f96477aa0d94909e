package stat_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/bench/stat"
)

func TestMedianIsTheMiddleOfTheSortedValues(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   float64
	}{
		{"of none it is zero", nil, 0},
		{"of one it is that", []float64{7}, 7},
		{"of an odd number it is the middle one", []float64{9, 1, 5}, 5},
		{"of an even number it is the mean of the middle two", []float64{4, 1, 3, 100}, 3.5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.values)
			assert.InDelta(t, tt.want, stat.Median(tt.values), 0)
			assert.Equal(t, before, tt.values, "the values are the caller's")
		})
	}
}

func TestASummaryHasTheSpread(t *testing.T) {
	assert.Equal(t, stat.Summary{Median: 2, Min: 1, Max: 30, N: 3}, stat.Summarize([]float64{30, 1, 2}))
	assert.Equal(t, stat.Summary{}, stat.Summarize(nil))
}

func TestRatiosAreRoundByRound(t *testing.T) {
	// Both are slow in the second round: the noise cancels out.
	assert.Equal(t, []float64{2, 2}, stat.Ratios([]float64{20, 2}, []float64{10, 1}))
	assert.Equal(t, []float64{3}, stat.Ratios([]float64{1, 6, 9}, []float64{0, 2}), "a floor of zero, or none, makes no ratio")
}

func TestQuantilesAreExactToAFewPercent(t *testing.T) {
	var h stat.Histogram
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		assert.InEpsilon(t, float64(want+1), float64(h.Quantile(q)+1), 0.04, "quantile %v", q)
	}
	assert.Equal(t, all[len(all)-1], h.Largest)
}

func TestHistogramsOfWorkersAddUp(t *testing.T) {
	var a, b stat.Histogram
	a.Record(time.Millisecond)
	b.Record(time.Second)
	b.Record(-time.Second)
	a.Merge(&b)
	assert.Equal(t, uint64(3), a.N)
	assert.Equal(t, time.Second, a.Largest)
	assert.Equal(t, uint64(1), a.Above(500*time.Millisecond))
	assert.Equal(t, uint64(3), a.Above(0))
	assert.Equal(t, time.Duration(0), a.Quantile(0))
	var none stat.Histogram
	assert.Zero(t, none.Quantile(0.99))
}
