package main

import (
	"cmp"
	"slices"
	"time"
)

// trace is loads, in any order.
type trace []span

// bounds is when the first load began and the last one ended.
func (l trace) bounds() (begin, end time.Time, ok bool) {
	for _, s := range l {
		if begin.IsZero() || s.Begin.Before(begin) {
			begin = s.Begin
		}
		if s.End.After(end) {
			end = s.End
		}
	}
	return begin, end, len(l) > 0
}

// most is the largest number of loads that ran at once. One that begins in the
// instant in which another ends was not beside it.
func (l trace) most() int {
	type edge struct {
		at    time.Time
		opens int
	}
	edges := make([]edge, 0, 2*len(l))
	for _, s := range l {
		edges = append(edges, edge{s.Begin, 1}, edge{s.End, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), a.opens-b.opens) })
	running, most := 0, 0
	for _, e := range edges {
		running += e.opens
		most = max(most, running)
	}
	return most
}

// nearest is the shortest time between the beginnings of two loads; 0 if there
// are not two.
func (l trace) nearest() time.Duration {
	if len(l) < 2 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(l), func(a, b span) int { return a.Begin.Compare(b.Begin) })
	shortest := sorted[1].Begin.Sub(sorted[0].Begin)
	for i := range sorted[1:] {
		shortest = min(shortest, sorted[i+1].Begin.Sub(sorted[i].Begin))
	}
	return shortest
}
