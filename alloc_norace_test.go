//go:build !race

package cache_test

// poolSlack is how far counts may be off.
const poolSlack = 0
