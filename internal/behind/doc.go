// Package behind writes what was put into Redis on to a slower system of record,
// the sink. A put makes a value readable at once and its key dirty; workers, of
// this process or others, bring the latest value of each dirty key to the sink.
// It deals in bytes, keys and time: values are encoded and decoded by its user.
//
// # The life of a put
//
//  1. The put stores the record, and enters the key into its partition's schedule,
//     due at once, unless it is there already. Both are one script.
//  2. A worker claims keys that are due: their times move on by a lease. It reads their
//     records, and writes them in a batch, bounded by number and by bytes.
//  3. It acknowledges the versions that it wrote. If that is still the latest of a key,
//     the key leaves the schedule and the record is an ordinary entry; else it is due.
//
// A key is in the schedule once, so puts in between are written as one. Any worker takes
// any partition: one that hangs holds up what it has claimed, and nothing else.
//
// # Failures
//
// What a sink refuses is split in halves until the guilty are alone, and is due again
// after 1 s, 2 s, 4 s and so on to 60 s, each ±20 %, in ever smaller batches. A try counts
// only if the sink has taken something of this process since the last one with the key:
// where nobody gets on there is an outage, which is no failure of values. After ten tries
// that count, or at once if the sink says that no other can help, the value is a dead
// letter: its record is put aside and readers see what the sink has. Letters take the room
// of dirty keys, so that they are as bounded.
//
// While the sink takes nothing at all, workers ask it with single keys, ever more rarely.
//
// The keys of a worker that is gone are due when its lease is over, three times the sink's
// timeout. A lease is moved on while a call of the sink runs. A worker that was merely
// paused may still write then, with an old value over a newer one:
//
//  1. A claims key k, reads version 1, and is paused.
//  2. B claims it, and writes version 1. k is put again, version 2, and B writes that too.
//  3. A continues and writes version 1.
//
// Nobody but the sink can refuse the third step: it must compare versions.
//
// # Goroutines
//
// Each worker is one, and the sampler, which reads the gauges, also in a process that only
// puts. A call of the sink runs on one of its own, so that its Goexit ends nobody else. All
// end with [Engine.Close].
package behind
