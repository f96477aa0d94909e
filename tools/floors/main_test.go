package main

import "testing"

// drawn is a house of so many files with these arrows.
func drawn(files int, arrows ...[2]int) *house {
	h := &house{files: make([]string, files), to: make([][]bool, files)}
	for i := range h.to {
		h.to[i] = make([]bool, files)
	}
	for _, a := range arrows {
		h.to[a[0]][a[1]] = true
	}
	return h
}

func TestFewArrowsRunBackwards(t *testing.T) {
	for name, test := range map[string]struct {
		h                *house
		backward, floors int
	}{
		"no arrows":                       {drawn(3), 0, 1},
		"a chain against the files":       {drawn(4, [2]int{3, 2}, [2]int{2, 1}, [2]int{1, 0}), 0, 4},
		"two that use each other":         {drawn(2, [2]int{0, 1}, [2]int{1, 0}), 1, 2},
		"a circle":                        {drawn(3, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 0}), 1, 3},
		"two circles that share an arrow": {drawn(4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 0}, [2]int{1, 3}, [2]int{3, 0}), 1, 3},
	} {
		order := test.h.arrange()
		if n := len(test.h.backward(order)); n != test.backward {
			t.Errorf("%s: %d run backwards, want %d", name, n, test.backward)
		}
		if n := len(test.h.floors(order)); n != test.floors {
			t.Errorf("%s: %d floors, want %d", name, n, test.floors)
		}
	}
}

// A file that is moved is counted as backward finds it: each step of improve is one.
func TestEachStepMakesFewer(t *testing.T) {
	h := drawn(5, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 4}, [2]int{4, 0}, [2]int{4, 2}, [2]int{3, 0})
	order := []int{4, 3, 2, 1, 0}
	before := len(h.backward(order))
	for h.improve(order) {
		if after := len(h.backward(order)); after >= before {
			t.Fatalf("%d, and %d before", after, before)
		} else {
			before = after
		}
	}
}
