package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"
)

// ledger is the system of record of a run: a row per key, in a file that every
// process maps into its memory. A row is a version, which a write raises, and a
// floor: the newest version whose write has returned, invalidation included.
//
// A reader notes the floor before it asks the cache. An answer below it is
// stale: a write that had returned by then is missing from it. For a register
// whose versions only grow this check is complete.
//
// Rows are atomic integers in shared memory and not a server, so that reading
// one takes nanoseconds and the order of two accesses is the processor's.
type ledger struct {
	memory []byte
	rows   []row
}

// row is one record. It fills a cache line, so that writers of different keys
// do not slow each other down.
type row struct {
	version atomic.Int64
	floor   atomic.Int64
	_       [48]byte
}

const rowSize = int(unsafe.Sizeof(row{}))

// createLedger makes a ledger of n rows, all at version 0, in a new file at path.
func createLedger(path string, n int) (*ledger, error) {
	if err := os.WriteFile(path, make([]byte, n*rowSize), 0o600); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return openLedger(path, n)
}

// openLedger maps the ledger of n rows that is in the file at path.
func openLedger(path string, n int) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer file.Close() // the mapping stays
	memory, err := mapShared(file, n*rowSize)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return &ledger{memory: memory, rows: unsafe.Slice((*row)(unsafe.Pointer(&memory[0])), n)}, nil
}

// close unmaps the rows, which must not be touched afterwards.
func (l *ledger) close() error {
	l.rows = nil
	return unmap(l.memory)
}

// read is what a loader's query returns: the version as it is now.
func (l *ledger) read(key int) int64 { return l.rows[key].version.Load() }

// floor is the least version that a call which starts now may return.
func (l *ledger) floor(key int) int64 { return l.rows[key].floor.Load() }

// write is the change in the system of record. It returns the new version.
func (l *ledger) write(key int) int64 { return l.rows[key].version.Add(1) }

// finish notes that the write of version v has returned. Writes may return in
// another order than they were made; the floor is the newest.
func (l *ledger) finish(key int, v int64) {
	floor := &l.rows[key].floor
	for old := floor.Load(); old < v && !floor.CompareAndSwap(old, v); old = floor.Load() {
	}
}
