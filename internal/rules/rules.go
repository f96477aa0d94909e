// Package rules holds the tests of the repository's shape: which way imports
// run, that one package talks to Redis, how long a file may be, and that each
// package says what it is. It has no code of its own, so that a rule costs
// nothing but `go test`.
package rules
