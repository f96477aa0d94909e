package near

import "time"

// Entry is one value with what a reader must know about it. Entries in the
// memory are shared by all readers, who change neither them nor what Value
// points to.
type Entry struct {
	// Value is what the caller gets, nil if Absent.
	Value any
	// Deadline is the time of the memory's clock (nanoseconds) from which the
	// entry is not returned any more. One in the past is refused by Put.
	Deadline int64
	state    uint64 // of its space, when it was put there
	name     string // its key there
	// Clear is the clear token that it was loaded under. A hit compares what is above,
	// which is one line of the machine's memory.
	Clear [16]byte
	// FreshUntil is when its soft lifetime ends, on the same clock. The memory
	// does not look at it, nor at Soft, Delta and Clear.
	FreshUntil int64
	// Soft is the length of its soft lifetime, Delta what its load took.
	Soft, Delta time.Duration
	// Size is what the value weighs in bytes, for example those of its encoding;
	// below zero is taken as zero. Key and upkeep are added to it.
	Size int32
	// Absent says that the system of record has no such value.
	Absent bool

	space *Space // that it was put into
}

// upkeep is what an entry costs beside its value and its key: the Entry, the
// node of the memory, and its share of the table and of the queues. Measured by
// TestUpkeepIsWhatAnEntryCosts.
const upkeep = 192

// weight returns what the entry takes from the budget under a name, at most 4 GiB.
func (e *Entry) weight(name string) uint32 {
	w := int64(max(e.Size, 0)) + int64(len(name)) + upkeep
	return uint32(min(w, 1<<32-1)) //nolint:gosec // bounded by the line before
}
