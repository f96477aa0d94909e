package stat

import (
	"math/bits"
	"time"
)

const (
	subBits = 7 // 128 buckets for each power of two: values are exact to 1 %
	buckets = 64 << subBits
)

// Histogram counts durations in buckets that are at most 1 % wide. The zero value
// is ready for use; it is not safe for concurrent use: each worker has its own.
type Histogram struct {
	Counts  [buckets]uint32
	N       uint64
	Largest time.Duration
}

// Record counts one duration; below zero is taken as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.Counts[bucketOf(uint64(d))]++ //nolint:gosec // not negative
	h.N++
	h.Largest = max(h.Largest, d)
}

// Merge adds the counts of other.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.N += other.N
	h.Largest = max(h.Largest, other.Largest)
}

// Quantile returns the duration that a share q of all were not longer than, from
// 0 to 1. Of an empty histogram it is zero.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.N == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.N)), h.N-1)
	seen := uint64(0)
	for i, n := range h.Counts {
		if seen += uint64(n); seen > rank {
			return min(middle(i), h.Largest)
		}
	}
	return h.Largest
}

// Above counts the durations of at least d, to the width of a bucket.
func (h *Histogram) Above(d time.Duration) (n uint64) {
	for i := bucketOf(uint64(max(d, 0))); i < buckets; i++ { //nolint:gosec // not negative
		n += uint64(h.Counts[i])
	}
	return n
}

// bucketOf: values below 256 have a bucket each; above, the leading bit and the
// seven behind it are the bucket.
func bucketOf(v uint64) int {
	if v < 2<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// middle is the middle of a bucket's values.
func middle(i int) time.Duration {
	if i < 2<<subBits {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	low := uint64(i-shift<<subBits) << shift
	return time.Duration(low + uint64(1)<<shift/2) //nolint:gosec // below 2^63: Record takes durations
}
