package main

import (
	"slices"
	"time"
)

// ordeal is what a worker tells of a round in which Redis fails.
type ordeal struct {
	Overloaded int64    // gets that ErrOverloaded ended
	Pending    int64    // writes whose invalidation was queued
	OwnStale   int64    // gets that missed such a write of their own process
	Peak       int64    // loads at once, in one process
	Extra      int      // goroutines after the round that were not there before
	Series     []series `json:",omitempty"` // one for each process
}

// series is what a process counted, every tickEvery.
type series []tick

// tick is the counters at one moment.
type tick struct {
	At          time.Time // on the clock that the processes share
	Hits, Looks int64     // so far
	Pending     int64     // now
}

const (
	tickEvery = 50 * time.Millisecond
	// serviceTicks is for how long service must have been full before it counts:
	// 200 ms, some fifty look-ups of a process.
	serviceTicks = 4
	// servicePart is the part of hits that counts as full service. In a calm
	// moment 19 of 20 look-ups are hits.
	servicePart = 0.8
)

// merge adds other to o.
func (o *ordeal) merge(other *ordeal) {
	o.Overloaded += other.Overloaded
	o.Pending += other.Pending
	o.OwnStale += other.OwnStale
	o.Peak = max(o.Peak, other.Peak)
	o.Extra = max(o.Extra, other.Extra)
	o.Series = append(o.Series, other.Series...)
}

// serves is how long after since it took until most look-ups were hits again and
// no invalidation was queued, in all processes: until the end of the first 200 ms
// in which it was so. ok is false if that did not come before until.
func (o *ordeal) serves(since, until time.Time) (took time.Duration, ok bool) {
	for _, s := range o.Series {
		at, ok := s.serves(since, until)
		if !ok {
			return 0, false
		}
		took = max(took, at.Sub(since))
	}
	return took, len(o.Series) > 0
}

func (s series) serves(since, until time.Time) (time.Time, bool) {
	for i := range s {
		if i < serviceTicks || s[i-serviceTicks].At.Before(since) {
			continue
		}
		if s[i].At.After(until) {
			break
		}
		first, last := s[i-serviceTicks], s[i]
		if last.Pending == 0 && hitPart(first, last) >= servicePart {
			return last.At, true
		}
	}
	return time.Time{}, false
}

// hitPart is the part of the look-ups between two ticks that were hits.
func hitPart(first, last tick) float64 {
	return float64(last.Hits-first.Hits) / float64(max(last.Looks-first.Looks, 1))
}

// hitsBetween is the part of hits in all processes, from one moment to another.
func (o *ordeal) hitsBetween(begin, end time.Time) float64 {
	var sum [2]tick
	for _, s := range o.Series {
		for i, at := range []time.Time{begin, end} {
			n, _ := slices.BinarySearchFunc(s, at, func(t tick, at time.Time) int { return t.At.Compare(at) })
			if n = min(n, len(s)-1); n >= 0 {
				sum[i].Hits += s[n].Hits
				sum[i].Looks += s[n].Looks
			}
		}
	}
	return hitPart(sum[0], sum[1])
}
