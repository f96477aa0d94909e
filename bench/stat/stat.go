// Package stat makes few numbers of many: medians with their spread, and
// quantiles of durations.
package stat

import "slices"

// Summary is what is kept of the rounds of one measurement.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"` // rounds
}

// Summarize returns the summary of values, which it does not change. Of none it
// is zero.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Summary{
		Median: Median(sorted),
		Min:    sorted[0],
		Max:    sorted[len(sorted)-1],
		N:      len(sorted),
	}
}

// Median returns the middle value, of an even number the mean of the middle two,
// of none zero.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	default:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
}

// Ratios divides a by b round by round, as far as both have rounds, and leaves out
// rounds in which b is zero. Rounds that ran side by side had the same noise, so
// the median of their ratios says more than the ratio of the medians.
func Ratios(a, b []float64) []float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			ratios = append(ratios, a[i]/b[i])
		}
	}
	return ratios
}
