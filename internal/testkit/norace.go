//go:build !race

package testkit

// PoolSlack is how far counts may be off.
const PoolSlack = 0
