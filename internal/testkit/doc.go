// Package testkit is what the tests of the cache share, whatever package they are in:
// caches that a test closes, loaders that are watched, servers whose answers are held
// or lost, and the record of what was served to whom.
package testkit
