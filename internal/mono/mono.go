// Package mono is the clock of the in-process tier: nanoseconds since a fixed
// moment, in one number that fits an atomic.
//
// A number, because what is compared with it on each hit (the deadline of an
// entry, the last sign of life of a subscription) is read without a lock. One
// clock for all of it, because two numbers can only be compared if they count
// from the same moment.
package mono

import "time"

// origin is far from zero, so that zero can mean never, and so that a bubble of
// testing/synctest, whose clock begins in the year 2000, gets positive times too.
const origin = int64(1) << 61

var start = time.Now()

// Now returns the monotonic time in nanoseconds: positive, and in one process
// never less than before, whatever happens to the wall clock. It allocates
// nothing and costs one reading of the clock. In a bubble of testing/synctest it
// is the bubble's time, which must not be compared with that outside.
func Now() int64 { return origin + int64(time.Since(start)) }
