//go:build race

package near_test

// raceReads is less under the race detector, which looks for something else.
const raceReads = 100_000
