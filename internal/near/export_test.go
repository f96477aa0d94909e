package near

// Key is the number under which the memory has a name of the space now.
func (s *Space) Key(name string) uint64 { return uint64(s.m.key(s.state.Load(), s.m.hashOf(name))) }
