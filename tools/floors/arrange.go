package main

import (
	"math/rand/v2"
	"slices"
)

// tries is from how many orders arrange sets out. Which order has the fewest backward
// arrows is a problem that nobody solves quickly; from a hundred starts the best of a
// package of sixty files is found again and again.
const tries = 200

// arrange finds an order of the files, top first, of which few arrows run backwards. It
// finds the same one each time.
func (h *house) arrange() []int {
	random := rand.New(rand.NewPCG(1, 2))
	var best []int
	fewest := -1
	for range tries {
		order := random.Perm(len(h.files))
		for h.improve(order) {
		}
		if n := len(h.backward(order)); fewest < 0 || n < fewest {
			best, fewest = order, n
		}
	}
	return best
}

// improve moves each file to where the fewest of its arrows run backwards. It reports
// whether that has made any fewer.
func (h *house) improve(order []int) (better bool) {
	for _, file := range slices.Clone(order) {
		at := slices.Index(order, file)
		to, gain := h.best(order, at)
		if gain == 0 {
			continue
		}
		copy(order[at:], order[at+1:])
		copy(order[to+1:], order[to:len(order)-1])
		order[to] = file
		better = true
	}
	return better
}

// best is where the file at a place should be, and how many fewer arrows then run
// backwards.
func (h *house) best(order []int, at int) (to, gain int) {
	file := order[at]
	to = at
	// Upwards: above what it passes, its own arrows to that run forward.
	sum := 0
	for i := at - 1; i >= 0; i-- {
		if sum += h.gain(file, order[i]); sum > gain {
			to, gain = i, sum
		}
	}
	sum = 0
	for i := at + 1; i < len(order); i++ {
		if sum -= h.gain(file, order[i]); sum > gain {
			to, gain = i, sum
		}
	}
	return to, gain
}

// gain is how many fewer arrows run backwards once file is above other instead of below.
func (h *house) gain(file, other int) (n int) {
	if h.to[file][other] {
		n++
	}
	if h.to[other][file] {
		n--
	}
	return n
}
