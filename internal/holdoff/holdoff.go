// Package holdoff remembers for a while which keys are to be left alone, in memory
// that does not grow with their number.
package holdoff

import "hash/maphash"

// generation is how many keys are remembered at least; up to twice as many are.
const generation = 1 << 15

// Table is until when keys are held off. It keeps two generations of them: when the
// younger one is full the older one is forgotten, whether or not its times are over.
// So a call costs the same however many keys there were, and nothing is swept. A key
// that is forgotten is tried again too early, which must do no harm.
//
// Keys are told apart by 64 bits of a hash. It is not safe for concurrent use; make it
// with [New].
type Table struct {
	seed       maphash.Seed
	young, old map[uint64]int64
}

// New returns an empty Table.
func New() *Table { return &Table{seed: maphash.MakeSeed(), young: map[uint64]int64{}} }

// Set holds key off until the given time, on whatever clock the caller has.
func (t *Table) Set(key string, until int64) {
	if len(t.young) >= generation {
		t.old, t.young = t.young, map[uint64]int64{}
	}
	t.young[maphash.String(t.seed, key)] = until
}

// Until is until when key is held off; 0 if it is not, or was forgotten.
func (t *Table) Until(key string) int64 {
	if len(t.young) == 0 && len(t.old) == 0 {
		return 0
	}
	h := maphash.String(t.seed, key)
	if until, ok := t.young[h]; ok {
		return until
	}
	return t.old[h]
}

// Drop ends the hold-off of key.
func (t *Table) Drop(key string) {
	if len(t.young) == 0 && len(t.old) == 0 {
		return
	}
	h := maphash.String(t.seed, key)
	delete(t.young, h)
	delete(t.old, h)
}
