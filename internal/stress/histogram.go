package main

import (
	"math"
	"time"
)

// growth is the ratio of a histogram's neighbouring bounds, and so its error.
const growth = 1.02

// histogram counts durations in buckets 2 % wide, so that those of several
// processes can be added up. The zero value is ready. It is not for concurrent
// use, and goes through JSON.
type histogram struct {
	Buckets map[int]int64 `json:",omitempty"`
	Max     time.Duration
}

// add counts one duration. Below a microsecond they are all alike.
func (h *histogram) add(d time.Duration) {
	if h.Buckets == nil {
		h.Buckets = map[int]int64{}
	}
	micros := max(float64(d)/float64(time.Microsecond), 1)
	h.Buckets[int(math.Log(micros)/math.Log(growth))]++
	h.Max = max(h.Max, d)
}

// merge adds what other has counted.
func (h *histogram) merge(other histogram) {
	if h.Buckets == nil {
		h.Buckets = map[int]int64{}
	}
	for bucket, n := range other.Buckets {
		h.Buckets[bucket] += n
	}
	h.Max = max(h.Max, other.Max)
}

// count is how many durations were counted.
func (h *histogram) count() (n int64) {
	for _, k := range h.Buckets {
		n += k
	}
	return n
}

// quantile returns the duration that the fraction q of all do not exceed, at
// most 2 % too long; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank, last := int64(math.Ceil(q*float64(h.count()))), -1
	for bucket := range h.Buckets {
		last = max(last, bucket)
	}
	for bucket := 0; bucket <= last; bucket++ {
		rank -= h.Buckets[bucket]
		if rank <= 0 {
			bound := time.Duration(math.Pow(growth, float64(bucket+1)) * float64(time.Microsecond))
			return min(bound, h.Max)
		}
	}
	return h.Max
}
