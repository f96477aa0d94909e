package store_test

import (
	"strings"

	"github.com/larder-go/cache/internal/store"
)

// behindModel is what put, ack, dead, retry, drop and claims are meant to do in
// one partition, written without any of their means.
type behindModel struct {
	keys    map[string]*behindKey
	tickets []*behindTicket // that are not ended
	letters []*behindLetter
	last    uint64 // version given last
}

type behindKey struct {
	dirty  uint64 // version of the latest put that the sink may lack; 0: clean
	body   string // what readers see
	kind   byte   // 'D', 'V', or 0: no record
	doomed uint64 // version of the dead letter that is the latest value; 0: none
}

type behindTicket struct {
	key    string
	id     string // "" until it is delivered
	holder string
	read   uint64 // version that the holder has read
}

type behindLetter struct {
	key  string
	id   string
	v    uint64
	body string
}

func (m *behindModel) key(name string) *behindKey {
	if m.keys == nil {
		m.keys = map[string]*behindKey{}
	}
	if m.keys[name] == nil {
		m.keys[name] = &behindKey{}
	}
	return m.keys[name]
}

func (m *behindModel) dirty() (n int) {
	for _, k := range m.keys {
		if k.dirty != 0 {
			n++
		}
	}
	return n
}

func (m *behindModel) doomed() (n int) {
	for _, k := range m.keys {
		if k.doomed != 0 {
			n++
		}
	}
	return n
}

// put reports whether there is room.
func (m *behindModel) put(name, body string, most int) bool {
	k := m.key(name)
	if k.dirty == 0 && m.dirty() >= most {
		return false
	}
	if k.dirty == 0 {
		m.tickets = append(m.tickets, &behindTicket{key: name})
	}
	k.kind, k.body, k.doomed = 'D', body, 0
	return true // the caller fills in the version
}

// end takes a ticket out; it reports false if it was ended before.
func (m *behindModel) end(id string) bool {
	for i, t := range m.tickets {
		if t.id == id {
			m.tickets = append(m.tickets[:i:i], m.tickets[i+1:]...)
			return true
		}
	}
	return false
}

func (m *behindModel) ack(id, name string, v uint64, keep bool) store.Settled {
	k := m.key(name)
	switch {
	case !m.end(id):
		return store.SettledBefore
	case k.dirty == 0:
		return store.SettledClean
	case k.dirty != v:
		m.tickets = append(m.tickets, &behindTicket{key: name})
		return store.SettledNewer
	}
	k.dirty, k.kind = 0, 'V'
	if !keep {
		k.kind, k.body = 0, ""
	}
	return store.SettledClean
}

func (m *behindModel) bury(id, name string, v uint64) store.Settled {
	k := m.key(name)
	switch {
	case !m.end(id):
		return store.SettledBefore
	case k.dirty == 0:
		return store.SettledIdle
	case k.dirty != v:
		m.tickets = append(m.tickets, &behindTicket{key: name})
		return store.SettledNewer
	}
	m.letters = append(m.letters, &behindLetter{key: name, v: v, body: k.body})
	*k = behindKey{doomed: v}
	return store.SettledClean
}

func (m *behindModel) retry(l *behindLetter) error {
	k := m.key(l.key)
	switch {
	case !m.drop(l, true):
		return store.ErrNoLetter
	case k.doomed != l.v:
		return store.ErrNewer
	}
	m.drop(l, false)
	m.tickets = append(m.tickets, &behindTicket{key: l.key})
	*k = behindKey{dirty: l.v, kind: 'D', body: l.body}
	return nil
}

// drop reports whether the letter is there, and removes it unless only asked.
func (m *behindModel) drop(l *behindLetter, ask bool) bool {
	for i, other := range m.letters {
		if other != l {
			continue
		}
		if !ask {
			m.letters = append(m.letters[:i:i], m.letters[i+1:]...)
			if k := m.key(l.key); k.doomed == l.v {
				k.doomed = 0
			}
		}
		return true
	}
	return false
}

// broken says which of the protocol's invariants does not hold.
func (m *behindModel) broken() string {
	var all []string
	waiting := map[string]int{}
	for _, t := range m.tickets {
		waiting[t.key]++
	}
	for name, k := range m.keys {
		if k.dirty != 0 && waiting[name] != 1 || k.dirty == 0 && waiting[name] != 0 {
			all = append(all, name+" has not exactly the tickets it needs")
		}
		if (k.dirty != 0) != (k.kind == 'D') {
			all = append(all, name+" is dirty without a record, or the other way round")
		}
	}
	return strings.Join(all, "; ")
}
