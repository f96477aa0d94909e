package near

import "sync/atomic"

// Space is the part of a Memory that belongs to one cache. It is safe for
// concurrent use.
type Space struct {
	m *Memory
	// state is part of the keys under which the space's entries are stored: an
	// even number that no space had before. So a new one drops everything at once,
	// and what is fresh is found without looking into it. In a suspect space it is
	// one more than that of the entries.
	state atomic.Uint64

	entries, bytes, evictions atomic.Int64
}

const suspect = 1

// Space returns a new space. It begins as suspect, like one whose messages are
// missing, and serves from [Space.Restore] on. A space needs no closing; what is
// in it expires.
func (m *Memory) Space() *Space {
	s := &Space{m: m}
	s.state.Store(m.fresh() + suspect)
	return s
}

// Epoch is a moment in the life of a key. The zero Epoch is refused by Put.
type Epoch struct{ stripe, state uint64 } // of a stripe, and of the space

// Epoch returns the present. It must be taken before the value is read that Put
// gets with it.
func (s *Space) Epoch(name string) Epoch {
	state := s.state.Load()
	return Epoch{s.m.stripe(s.m.hashOf(name)).epoch.Load(), state}
}

// Get returns the fresh entry of a key, nil if there is none: nothing dropped,
// suspect or past its deadline. now is the time of the memory's clock at which
// it was looked up, for the caller to compare others of its times with. It
// allocates nothing and takes no lock.
func (s *Space) Get(name string) (e *Entry, now int64) {
	return s.m.look(s.state.Load(), name) // under an odd state nothing is stored
}

// GetSuspect returns what Get returned before the space became suspect: nil if
// it is not suspect, or for what was dropped since. Such a value may have been
// changed elsewhere without a message.
func (s *Space) GetSuspect(name string) (e *Entry, now int64) {
	state := s.state.Load()
	if state&suspect == 0 {
		return nil, s.m.clock.now()
	}
	return s.m.look(state-suspect, name)
}

// look returns what is stored and not past its deadline.
func (m *Memory) look(state uint64, name string) (*Entry, int64) {
	now := m.clock.now()
	e, ok := m.cache.GetIfPresent(m.key(state, m.hashOf(name)))
	if !ok || e.Deadline <= now || e.state != state || e.name != name {
		return nil, now
	}
	return e, now
}

// Put stores e, which is the memory's from then on, and reports whether it did. It
// does not if anything was dropped since began was taken that may concern the key, if
// the space is or was suspect, if e's deadline is over or e is larger than the budget,
// or after Close. An e that lies in front of its value in one allocation costs a hit
// one wait for the machine's memory less.
func (s *Space) Put(name string, e *Entry, began Epoch) bool {
	if began.state&suspect != 0 || e.Deadline <= s.m.clock.now() || uint64(e.weight(name)) > s.m.budget {
		return false
	}
	hash := s.m.hashOf(name)
	t := s.m.stripe(hash)
	t.mu.Lock()
	defer t.mu.Unlock()
	// A DropAll that comes right after this check does no harm: nobody looks under
	// that state any more.
	if t.epoch.Load() != began.stripe || s.state.Load() != began.state || t.closed {
		return false
	}
	e.space, e.state, e.name = s, began.state, name
	s.entries.Add(1) // before it can go
	s.bytes.Add(int64(e.weight(name)))
	s.m.cache.Set(s.m.key(began.state, hash), e)
	return true
}

// gone takes an entry off, whyever it went.
func (s *Space) gone(e *Entry, evicted bool) {
	s.entries.Add(-1)
	s.bytes.Add(-int64(e.weight(e.name)))
	if evicted {
		s.evictions.Add(1)
	}
}

// Stats is the part of the memory's Stats that the space has. It takes no lock.
func (s *Space) Stats() Stats {
	return Stats{Entries: int(s.entries.Load()), Bytes: s.bytes.Load(), Evictions: s.evictions.Load()}
}

// Drop removes a key, and refuses the fills of it that are under way.
func (s *Space) Drop(name string) {
	hash := s.m.hashOf(name)
	t := s.m.stripe(hash)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch.Add(1) // before the state is read: a fill in a state that comes later has seen it
	s.m.cache.Invalidate(s.m.key(s.state.Load()&^suspect, hash))
}

// DropAll removes all keys of the space, and refuses the fills that are under
// way. It walks nothing; what the entries weigh stays in the budget until their
// deadlines.
func (s *Space) DropAll() { s.change(func(state uint64) uint64 { return s.m.fresh() | state&suspect }) }

// Suspect says that messages may be missing from now on. Until Restore, Get
// finds nothing, GetSuspect what Get found before, and Put stores nothing. In a
// suspect space it does nothing.
func (s *Space) Suspect() { s.change(func(state uint64) uint64 { return state | suspect }) }

// Restore says that no message will be missing from now on. What is suspect is
// dropped; in a space that is not, everything is.
func (s *Space) Restore() { s.change(func(uint64) uint64 { return s.m.fresh() }) }

func (s *Space) change(next func(state uint64) uint64) {
	for {
		state := s.state.Load()
		if s.state.CompareAndSwap(state, next(state)) {
			return
		}
	}
}
