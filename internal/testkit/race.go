//go:build race

package testkit

// PoolSlack is how far counts may be off: the race detector lets pools lose
// what was put back.
const PoolSlack = 2
