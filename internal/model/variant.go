package model

import "strings"

// Variant is a protocol, or a protocol with one thing wrong, and what must come of checking
// it. A broken variant that holds is a failure too: it means that the checker is blind.
type Variant struct {
	// Number names the variant. A letter behind a number is a relative of that number;
	// numbers do not change once they are given, because documents quote them.
	Number string
	// Sentence says what the variant does.
	Sentence string
	// Breaks is the invariant that must be violated, I, Q, L, W, M, B, W', E, S or F; empty if the variant
	// must hold.
	Breaks string
	// Readers is the number of readers that the variant needs, or all it can afford; 0 leaves
	// it to the bounds.
	Readers int
	// Writers likewise; 0 stands for two.
	Writers int

	keyed    keyed
	local    *local
	cleared  *cleared
	schedule *schedule
}

// Bounds limit a check.
type Bounds struct {
	// Readers is the number of Gets, 1 to 4, where a variant does not say another.
	Readers int
	// Unreduced treats states that differ by names only as different. It takes several times
	// the states and must change no verdict.
	Unreduced bool
	// States is the number of different states after which a check gives up.
	States int
}

// Result is what a check found.
type Result struct {
	// States is the number of different states visited, up to the first violation.
	States int
	// Violation says which invariant is broken and how: a letter, a colon and a sentence.
	// Empty if all hold.
	Violation string
	// Trace are the steps that lead there, as few as possible.
	Trace []string
}

// Broken returns the letter of the broken invariant, empty if all hold.
func (r Result) Broken() string {
	letter, _, _ := strings.Cut(r.Violation, ":")
	return letter
}

// Variants returns all variants in the order of their numbers' subjects.
func Variants() []Variant {
	var all []Variant
	for _, table := range [][]Variant{
		leaseVariants(), writeVariants(), sharingVariants(), tagVariants(),
		fillVariants(), taggedWriteVariants(), lateVariants(), flightVariants(), clearVariants(),
		liveVariants(), intentVariants(), localVariants(), scheduleVariants(),
	} {
		all = append(all, table...)
	}
	return all
}

// Check visits every state of v within b. The error is not nil if there are more states than
// b allows; the result then covers those that were visited.
func (v Variant) Check(b Bounds) (Result, error) {
	x, err := explore(v.system(b), b.States)
	return Result{States: len(x.prints), Violation: x.why, Trace: x.trace()}, err
}

// system returns a system of its own for one check.
func (v Variant) system(b Bounds) system {
	readers, writers := b.Readers, 2
	if v.Readers != 0 {
		readers = v.Readers
	}
	if v.Writers != 0 {
		writers = v.Writers
	}
	switch {
	case v.schedule != nil:
		return v.schedule
	case v.local != nil:
		m := *v.local
		m.readers = readers
		return &m
	case v.cleared != nil:
		m := *v.cleared
		m.readers, m.writers, m.unreduced = readers, writers, b.Unreduced
		return &m
	}
	m := v.keyed
	m.unreduced = b.Unreduced
	m.readers, m.writers = readers, writers
	return &m
}

// by is the list of the writers' programs.
func by(programs ...writeProgram) []writeProgram { return programs }
