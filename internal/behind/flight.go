package behind

import (
	"strconv"
	"sync"
)

// flight holds the tickets that this process has in its hands. To Redis they look
// like those it has failed with: pending, and its own. Without it the keeper
// would claim from under a worker what takes the sink longer than a back-off.
// The zero value is ready for use.
type flight struct {
	mu      sync.Mutex
	tickets map[string]struct{} // by flightKey
}

// flightKey names a ticket: ids are unique within a partition only.
func flightKey(part int, id string) string { return strconv.Itoa(part) + ":" + id }

// add notes that items are being delivered.
func (f *flight) add(items []*item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tickets == nil {
		f.tickets = map[string]struct{}{}
	}
	for _, it := range items {
		f.tickets[flightKey(it.part, it.ticket)] = struct{}{}
	}
}

// remove notes that items are settled, or left pending for the keeper.
func (f *flight) remove(items []*item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range items {
		delete(f.tickets, flightKey(it.part, it.ticket))
	}
}

// has reports whether a ticket is being delivered.
func (f *flight) has(part int, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.tickets[flightKey(part, id)]
	return ok
}
