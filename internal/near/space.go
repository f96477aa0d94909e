package near

import "sync/atomic"

// Space is the part of a Memory that belongs to one cache. It is safe for
// concurrent use.
type Space struct {
	m  *Memory
	id uint64

	// state counts what concerns all entries at once. Even: entries of this very
	// state are fresh. Odd: the space is suspect, and entries of the state before
	// are its suspects. All others are gone. So one addition drops everything.
	state atomic.Uint64
}

const suspect = 1

// Space returns a new space. It begins as suspect, like one whose messages are
// missing, and serves from [Space.Restore] on. A space needs no closing; what is
// in it expires.
func (m *Memory) Space() *Space {
	s := &Space{m: m, id: m.spaces.Add(1)}
	s.state.Store(suspect)
	return s
}

// Epoch is a moment in the life of a key. The zero Epoch is refused by Put.
type Epoch struct{ stripe, state uint64 }

// Epoch returns the present. It must be taken before the value is read that Put
// gets with it.
func (s *Space) Epoch(name string) Epoch {
	state := s.state.Load()
	return Epoch{s.m.stripe(key{s.id, name}).epoch.Load(), state}
}

// Get returns the fresh entry of a key, nil if there is none: nothing dropped,
// suspect or past its deadline. now is the time of the memory's clock at which
// it was looked up, for the caller to compare others of its times with. It
// allocates nothing and takes no lock.
func (s *Space) Get(name string) (e *Entry, now int64) {
	e, now = s.look(name)
	if e == nil || e.state != s.state.Load() {
		return nil, now
	}
	return e, now
}

// GetSuspect returns what Get returned before the space became suspect: nil if
// it is not suspect, or for what was dropped since. Such a value may have been
// changed elsewhere without a message.
func (s *Space) GetSuspect(name string) (e *Entry, now int64) {
	e, now = s.look(name)
	if state := s.state.Load(); e == nil || state&suspect == 0 || e.state != state-suspect {
		return nil, now
	}
	return e, now
}

// look returns what is stored and not past its deadline, of any state.
func (s *Space) look(name string) (*Entry, int64) {
	found, ok := s.m.cache.GetEntry(key{s.id, name})
	if !ok {
		return nil, s.m.now()
	}
	return found.Value, found.SnapshotAtNano
}

// Put stores a copy of e and reports whether it did. It does not if anything was
// dropped since began was taken that may concern the key, if the space is or was
// suspect, if e's deadline is over or e is larger than the budget, or after Close.
func (s *Space) Put(name string, e Entry, began Epoch) bool {
	k := key{s.id, name}
	if began.state&suspect != 0 || e.Deadline <= s.m.now() || uint64(e.weight(name)) > s.m.budget {
		return false
	}
	e.state = began.state
	t := s.m.stripe(k)
	t.mu.Lock()
	defer t.mu.Unlock()
	// A DropAll that comes right after this check does no harm: the entry's state
	// is then of the past, and Get compares it.
	if t.epoch.Load() != began.stripe || s.state.Load() != began.state || t.closed {
		return false
	}
	s.m.cache.Set(k, &e)
	return true
}

// Drop removes a key, and refuses the fills of it that are under way.
func (s *Space) Drop(name string) {
	k := key{s.id, name}
	t := s.m.stripe(k)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch.Add(1)
	s.m.cache.Invalidate(k)
}

// DropAll removes all keys of the space, and refuses the fills that are under
// way. It costs one addition; what the entries weigh stays in the budget until
// their deadlines.
func (s *Space) DropAll() { s.state.Add(2) }

// Suspect says that messages may be missing from now on. Until Restore, Get
// finds nothing, GetSuspect what Get found before, and Put stores nothing. In a
// suspect space it does nothing.
func (s *Space) Suspect() {
	for state := s.state.Load(); state&suspect == 0; state = s.state.Load() {
		if s.state.CompareAndSwap(state, state+1) {
			return
		}
	}
}

// Restore says that no message will be missing from now on. What is suspect is
// dropped; in a space that is not, everything is.
func (s *Space) Restore() {
	for {
		state := s.state.Load()
		if s.state.CompareAndSwap(state, state+1+(state+1)&suspect) {
			return
		}
	}
}
