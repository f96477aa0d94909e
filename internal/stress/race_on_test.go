//go:build race

package main

// crowd divides the callers of a herd: the race detector makes each several
// times as expensive, and a machine that is busy for longer than a command's
// budget tests the budget, not the herd.
const crowd = 5
