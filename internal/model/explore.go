package model

import (
	"errors"
	"fmt"
	"hash/maphash"
)

// system is one protocol with its processes, its faults and its invariants. States are
// pointers to structs of small integers and are never changed after they were reported.
type system interface {
	// initial returns the one state everything starts from.
	initial() any
	// expand reports every state that one step of one process or one fault leads to, by
	// explorer.step, always in the same order.
	expand(s any, x *explorer)
	// fingerprint returns the same number for states that differ by names only.
	fingerprint(s any, seed maphash.Seed) uint64
	// violation says which invariant s breaks, or returns an empty string.
	violation(s any) string
}

// errChanged is returned when a system changed a state after it had reported it.
var errChanged = errors.New("model: a state was changed after it was reported")

// errBound is returned when a search needs more states than it was allowed.
var errBound = errors.New("model: more states than the bound allows")

// explorer walks all states of a system breadth first, so that the first violation it meets
// has a shortest trace.
//
// Only the states of the current and the next level are kept as such. What was seen is kept
// as 64-bit fingerprints under a seed of the run: two different states share one with a
// probability of n*n/2^65, 1e-5 for 20 million, and never the same two in the next run. It
// costs 20 to 28 bytes per state.
type explorer struct {
	sys   system
	seed  maphash.Seed
	limit int

	prints  []uint64 // by index of the state, in the order of discovery
	parents []int32  // index of the state it was reached from
	table   []int32  // open addressing over prints: index+1, 0 is a free slot
	next    []any    // states of the level below the current one
	at      int32    // index of the state being expanded
	broken  int32    // index of the state that breaks an invariant, -1 none
	why     string

	replay bool   // search only for want among the successors
	want   uint64 // fingerprint looked for
	found  any    // the successor that has it
	label  string // and what the step that led there is called
}

// explore visits every state of sys, at most limit of them, and stops at the first one that
// breaks an invariant.
func explore(sys system, limit int) (*explorer, error) {
	x := &explorer{
		sys: sys, seed: maphash.MakeSeed(), limit: limit, broken: -1,
		table: make([]int32, 1<<12),
	}
	x.step(sys.initial(), "")
	level, index := x.next, int32(0)
	for len(level) > 0 && x.broken < 0 {
		x.next = nil
		for i, s := range level {
			x.at = index
			index++
			level[i] = nil
			if sys.fingerprint(s, x.seed) != x.prints[x.at] {
				return x, errChanged
			}
			if sys.expand(s, x); x.broken >= 0 {
				return x, nil
			}
			if len(x.prints) > limit {
				return x, errBound
			}
		}
		level = x.next
	}
	return x, nil
}

// step reports s as a successor of the state being expanded. format and args name the step;
// they are rendered only when a trace is made.
func (x *explorer) step(s any, format string, args ...int8) {
	if x.broken >= 0 {
		return
	}
	print := x.sys.fingerprint(s, x.seed)
	if x.replay {
		if print == x.want && x.found == nil {
			x.found, x.label = s, render(format, args)
		}
		return
	}
	if !x.add(print) {
		return
	}
	x.next = append(x.next, s)
	if why := x.sys.violation(s); why != "" {
		x.broken, x.why = int32(len(x.prints)-1), why
	}
}

// add records a fingerprint and reports whether it is new.
func (x *explorer) add(print uint64) bool {
	if 2*len(x.prints) >= len(x.table) {
		x.grow()
	}
	mask := uint64(len(x.table) - 1)
	slot := print & mask
	for ; x.table[slot] != 0; slot = (slot + 1) & mask {
		if x.prints[x.table[slot]-1] == print {
			return false
		}
	}
	x.prints = append(x.prints, print)
	x.parents = append(x.parents, x.at)
	x.table[slot] = int32(len(x.prints))
	return true
}

// grow doubles the table of fingerprints.
func (x *explorer) grow() {
	x.table = make([]int32, 2*len(x.table))
	mask := uint64(len(x.table) - 1)
	for i, print := range x.prints {
		slot := print & mask
		for x.table[slot] != 0 {
			slot = (slot + 1) & mask
		}
		x.table[slot] = int32(i + 1)
	}
}

// trace returns the steps from the initial state to the broken one, by walking the path of
// fingerprints once more.
func (x *explorer) trace() []string {
	if x.broken < 0 {
		return nil
	}
	var path []uint64
	for i := x.broken; i > 0; i = x.parents[i] {
		path = append(path, x.prints[i])
	}
	x.broken, x.replay = -1, true
	steps := make([]string, 0, len(path))
	s := x.sys.initial()
	for i := len(path) - 1; i >= 0; i-- {
		x.want, x.found = path[i], nil
		x.sys.expand(s, x)
		steps = append(steps, x.label)
		s = x.found
	}
	return steps
}

func render(format string, args []int8) string {
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a
	}
	return fmt.Sprintf(format, values...)
}
