//go:build race

package cache_test

// poolSlack is how far counts may be off: the race detector lets pools lose
// what was put back.
const poolSlack = 2
