//go:build !race

package main

// crowd divides the callers of a herd.
const crowd = 1
