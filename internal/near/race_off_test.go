//go:build !race

package near_test

// raceReads is how many look-ups scenario 15 makes.
const raceReads = 1_000_000
