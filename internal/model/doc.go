// Package model checks the cache's protocol on Redis by visiting every state it can reach:
// every order in which a few readers, writers, processes and faults can take their steps. It
// holds no production code and imports none; what it shares with the scripts is their rules.
//
// # What is checked
//
// Values are versions of one database row, so "older" is a comparison of numbers.
//
//   - I: a Get that begins after a write has returned is not given anything older than that
//     write. Stale values given to a reader that asked for StaleWhileRevalidate do not count.
//   - Q: when every process has finished and nothing is left in the network, a value that a
//     reader would be given as fresh is the one in the database. It catches what no reader
//     of the model happened to come for.
//   - L: at most one reader is between its lease and its commit. Only variants without
//     invalidations, evictions and passed deadlines promise that.
//   - W: nobody waits for more than two loads, its own and those of other processes included.
//     Only variants whose rows keep their versions' order, and which have no loads of
//     processes without readers here, promise that.
//   - M: InvalidateAll does not mint again without a reason.
//
// Two are write-behind's:
//
//   - S: what was acknowledged is in the sink, on its way there, or a dead letter.
//   - F: when a flush returns, so is what was acknowledged before it began, and not merely
//     on its way.
//
// Three more say that a call ends. Each bounds what a call may do, so that it is seen to be
// broken in a state, and no cycle has to be looked for:
//
//   - B: a call has at most three rounds, and a flight asks at most three times for the lease.
//   - W': nobody waits for more than three loads, its own and those of other processes
//     included.
//   - E: a key is not barred by intents of which each one's own deadline has passed.
//
// A round is a look-up and at most one flight. singleflight.go in the root has the table of what a call does
// after a flight; in its last round it is solo, and the table shows that it then ends.
//
// There are four systems: keyed has one record, its readers and writers (and, with tags, one
// tag key); cleared has the clear token, its read leases and time; local has the in-process
// tier and its subscription; schedule has a write-behind key, its workers and the sink. Each step is atomic at the place where it happens: a script, a
// row committed, an answer processed. A Get's own read happens in the step in which it
// begins, which is the hardest case: a Get that began earlier is owed less.
//
// # Variants
//
// A Variant is a protocol or a mutation of one, with a number, a sentence, the invariant it
// must break (none: it must hold). The mutations are as
// important as the protocol: each one shows that the checker can see the mistake that the
// protocol avoids. Where Breaks names two letters, either will do, because the shortest
// counterexample decides which is met first.
//
// # How to read a trace
//
// A violation comes with a shortest list of steps that leads to it:
//
//	1  R0 GET misses
//	2  R0 reads v0 from the database
//	3  W0 commits v1
//	4  W0 invalidates
//	5  R0 SET, returns v0
//	6  W0 returns, v1 is acknowledged
//	7  R1 hits v0
//	I: R1 returned v0 although the write of v1 had returned before it began
//
// R are Gets, W writes, P processes, v versions of the row, t lease tokens. Numbers of tokens
// are used again once nothing holds them. A reader that answers from a stale or old value and
// goes on in the background keeps its name. Faults have no actor: "record evicted". A Get that
// leads a flight although another is open runs in another process.
//
// # Bounds, and what they mean
//
// Two readers and two writers are checked with every run of the tests, in ten seconds of one
// core. Three readers (some variants stay at two) take seven minutes of it, and up to 3.2 GB:
//
//	go test ./internal/model -run TestModel -readers 3 -timeout 60m
//
// and one variant with its trace is
//
//	go test ./internal/model -run TestModel -variant 53d -v
//
// That a variant holds means: no counterexample within the bound. Not modelled are clocks that
// stop, several keys in one command, the body's format, callers that leave, and time: that a
// wait, a sleep or a loader takes only so long is the code's to keep.
package model
