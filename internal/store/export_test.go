package store

// ReadsOut is how many reads are on their way before others collect.
const ReadsOut = readsOut

// Collecting is the number of readers of the batch that collects.
func Collecting(s *Store) int {
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	if b := s.lanes.all[0].next; b != nil {
		return b.readers
	}
	return 0
}

// IdleHands is how many goroutines wait for a command.
func IdleHands(s *Store) int {
	s.detached.mu.Lock()
	defer s.detached.mu.Unlock()
	return len(s.detached.free)
}
