// Package near is the memory of the in-process tier: values as the caller gets
// them, kept for seconds under one byte budget that all caches of a process
// share.
//
// What it is for is the race between a fill and an invalidation:
//
//  1. a reader reads the record from Redis
//  2. a writer changes it and publishes the message
//  3. the message arrives here and deletes the key, which is not there
//  4. the reader puts the old value in, after the message that named it
//
// So a fill takes an [Epoch] before it reads, and [Space.Put] refuses the value
// if anything was dropped meanwhile that could have been this key: for one key
// the epoch of its stripe, for all keys of a cache the state of its space.
// Everything that was dropped is gone for each Get that starts after the drop
// returned.
//
// A space whose messages may be missing is suspect: it serves nothing as fresh
// and takes no fills. The package does not find that out by itself, internal/bus
// does.
//
// The memory below is otter's: what it decides is which entries a full budget
// gives up, and when the room of expired ones is taken back.
package near
