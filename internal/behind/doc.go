// Package behind writes what was put into Redis on to a slower system of record,
// the sink. A put makes a value readable at once and its key dirty; workers, of
// this process or others, bring the latest value of each dirty key to the sink.
// It deals in bytes, keys and time: values are encoded and decoded by its user.
//
// # The life of a put
//
//  1. The put stores the record, marks the key dirty and, unless it was dirty
//     before, adds a ticket to the partition's stream. All of it is one script.
//  2. A worker takes the ticket, reads the record, and writes it in a batch.
//  3. It acknowledges the version that it wrote. If that is still the latest the
//     key is clean and the record an ordinary entry; else the key has a new ticket.
//
// A key has one ticket, so puts in between are written as one, and no two
// workers write the same key at once while all of them run.
//
// # Failures
//
// A ticket stays with the worker that has it until it is acknowledged. What a
// sink refuses is split in halves until the guilty are alone, and tried again
// after 1 s, 2 s, 4 s and so on to 60 s, each ±20 %, in ever smaller batches.
// After ten deliveries it becomes a dead letter: the record is removed and
// readers see what the sink has. A sink that takes nothing at all is asked with
// single keys, so that an outage does not use up everybody's tries.
//
// The tickets of a worker that is gone are taken over once they are idle for
// three times the sink's timeout. A worker that was merely paused may still
// write then, with an old value over a newer one:
//
//  1. A takes the ticket of key k, reads version 1, and is paused.
//  2. B takes the ticket over and writes version 1. k is put again, version 2,
//     and B writes that too.
//  3. A continues and writes version 1.
//
// Nobody but the sink can refuse the third step: it must compare versions.
//
// # Goroutines
//
// Each worker is one, and the keeper, which claims what failed or was left
// behind, gives lost keys new tickets and reads the gauges. A call of the sink
// runs on one of its own, so that its Goexit ends nobody else. All end with
// [Engine.Close]. An engine that only puts has none.
package behind
