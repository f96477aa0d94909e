package model

import (
	"fmt"
	"hash/maphash"
	"math/bits"
)

// cleared is the system around InvalidateAll: processes that hold the clear token under a
// read lease, readers in them, and writers that change the row and clear. Time is counted
// in ticks and only ever as an age, so that the state space is finite. Loads store by a
// plain SET: the token alone must be enough.
type cleared struct {
	readers, writers int
	unreduced        bool
	failovers        int8
	evictions        int8

	noWait        bool // BUG: InvalidateAll returns without waiting
	fromReply     bool // BUG: the lease counts from the answer, not from before the read
	waitEarly     bool // BUG: the wait counts from before the token was minted
	noReread      bool // BUG: the token is not read again after the wait
	secondNoWait  bool // BUG: a token minted after the re-read is not waited for
	mintIfChanged bool // BUG: mints again whenever the token is not its own
}

const (
	processes = 2
	leaseLen  = 2 // ticks of a read lease, and of the wait
)

// process holds the clear token, and perhaps a read of it that is on its way.
type process struct {
	token, age   int8 // 0: no lease
	asking       bool
	answer, sent int8 // what the read found, 0 not yet run; its age since it was sent
}

type clearReader struct {
	pc         pc
	floor      int8
	val, token int8
}

// Steps of an InvalidateAll after its row is committed.
const (
	toMint uint8 = iota + 1
	toWait
	toRead
)

type clearWriter struct {
	pc         uint8
	finished   bool
	val, token int8
	age        int8
	mints      int8
}

// shared is what Redis holds: the clear token and one entry.
type shared struct {
	token      int8 // 0 missing
	val, stamp int8 // the entry and the token in it, stamp 0: no entry
}

type clearState struct {
	db, floor int8
	now, then shared // the primary and its replica
	failovers int8
	evictions int8
	bad       broken
	culprit   int8
	p         [processes]process
	r         [maxReaders]clearReader
	w         [maxWriters]clearWriter
}

func (m *cleared) initial() any {
	start := shared{token: 1, stamp: 1}
	return &clearState{
		now: start, then: start,
		failovers: m.failovers, evictions: m.evictions,
	}
}

func (m *cleared) fingerprint(s any, seed maphash.Seed) uint64 {
	c := *s.(*clearState)
	if !m.unreduced {
		for k := range c.p {
			if !m.needed(&c, k) {
				c.p[k] = process{}
			}
		}
		c.rank()
	}
	return maphash.Comparable(seed, c)
}

// needed says whether process k has a reader that may still look at its lease.
func (m *cleared) needed(s *clearState, k int) bool {
	for i := k; i < m.readers; i += processes {
		if p := s.r[i].pc; p == idle || p == checking {
			return true
		}
	}
	return false
}

func (m *cleared) violation(state any) string {
	s := state.(*clearState)
	switch s.bad {
	case brokenI:
		r := s.r[s.culprit]
		return fmt.Sprintf("I: R%d returned v%d although InvalidateAll for v%d had returned before it began",
			s.culprit, r.val, r.floor)
	case brokenM:
		return fmt.Sprintf("M: W%d mints more often than tokens were lost", s.culprit)
	}
	return ""
}

func (m *cleared) expand(state any, x *explorer) {
	s := state.(*clearState)
	for i := range m.readers {
		m.expandReader(x, s, i)
	}
	for j := range m.writers {
		if !s.w[j].finished {
			m.expandWriter(x, s, j)
		}
	}
	for k := range s.p {
		if m.needed(s, k) {
			m.expandProcess(x, s, k)
		}
	}
	m.expandTime(x, s)
	m.expandLosses(x, s)
}

// expandTime is a tick: everything that is counted grows older.
func (m *cleared) expandTime(x *explorer, s *clearState) {
	t := *s
	for k := range t.p {
		p := &t.p[k]
		if p.asking {
			p.sent = min(p.sent+1, leaseLen)
		}
		if p.token != 0 {
			if p.age++; p.age >= leaseLen {
				p.token, p.age = 0, 0
			}
		}
	}
	for j := range t.w {
		if w := &t.w[j]; w.pc == toWait || (w.pc == toMint && m.waitEarly) {
			w.age = min(w.age+1, leaseLen)
		}
	}
	x.step(&t, "time passes")
}

// expandLosses are the faults. A failover undoes what is promised when it comes after an
// InvalidateAll has returned; the model has it only while one waits.
func (m *cleared) expandLosses(x *explorer, s *clearState) {
	if s.evictions > 0 && s.now.token != 0 {
		t := *s
		t.evictions--
		t.now.token = 0
		x.step(&t, "clear token evicted")
	}
	if m.failovers == 0 || s.then == s.now {
		return
	}
	t := *s
	t.then = t.now
	x.step(&t, "Redis replicates")
	if s.failovers > 0 && s.w[0].pc == toWait {
		t := *s
		t.failovers--
		t.now = t.then
		x.step(&t, "failover: the token is %d again", t.now.token)
	}
}

// tokens are all places that hold a token.
func (s *clearState) tokens() (all [4 + 2*processes + maxReaders + maxWriters]*int8) {
	n := copy(all[:], []*int8{&s.now.token, &s.now.stamp, &s.then.token, &s.then.stamp})
	for k := range s.p {
		n += copy(all[n:], []*int8{&s.p[k].token, &s.p[k].answer})
	}
	for i := range s.r {
		n += copy(all[n:], []*int8{&s.r[i].token})
	}
	for j := range s.w {
		n += copy(all[n:], []*int8{&s.w[j].token})
	}
	return all
}

// rank numbers the tokens that are left by their order, which is all that is known of them.
func (s *clearState) rank() {
	var used uint64
	all := s.tokens()
	for _, t := range all {
		used |= 1 << *t
	}
	used &^= 1
	for _, t := range all {
		if *t != 0 {
			*t = int8(bits.OnesCount64(used & (1<<(*t+1) - 1)))
		}
	}
}

// mint replaces the token by one that is newer than all: tokens are ordered by Redis time.
func (s *clearState) mint() int8 {
	newest := int8(0)
	for _, t := range s.tokens() {
		newest = max(newest, *t)
	}
	s.now.token = newest + 1
	return s.now.token
}

// readToken is a read of the token; a missing one is minted.
func (s *clearState) readToken() int8 {
	if s.now.token == 0 {
		return s.mint()
	}
	return s.now.token
}

// expandProcess asks for the token, runs the read, and takes its answer under a lease.
func (m *cleared) expandProcess(x *explorer, s *clearState, k int) {
	t := *s
	p := &t.p[k]
	switch {
	case !p.asking:
		p.asking = true
		x.step(&t, "P%d sends a read of the token", int8(k))
	case p.answer == 0:
		p.answer = t.readToken()
		x.step(&t, "P%d's read finds token %d", int8(k), p.answer)
	default:
		got, age := p.answer, p.sent
		if m.fromReply {
			age = 0
		}
		*p = process{token: got, age: age}
		if age >= leaseLen {
			*p = process{}
		}
		x.step(&t, "P%d has token %d under a lease of age %d", int8(k), got, age)
	}
}
