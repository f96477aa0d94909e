package model

import "fmt"

// keyed is a system around one key: readers, writers and faults over one record.
type keyed struct {
	readers, writers int
	soft             int // of the readers, how many read with StaleWhileRevalidate
	onError          int // how many of the others with StaleIfError
	reader           readProgram
	programs         []writeProgram // by writer, the last one stands for the rest
	get              getRules
	intents          intentRules
	left             faults // what may go wrong
	warm             bool   // the cache holds version 0 at the start, loaded by nobody alive
	staleTag         bool   // with warm: the value's tag token is not the one under the tag key
	garbled          bool   // with warm: its body does not decode
	cutShort         bool   // with warm: the record is cut short
	zeroCID          bool   // with warm: its cid is that of no load
	replicaReads     bool   // loaders read a replica of the database that may lag
	waitReplica      bool   // a write waits for the Redis replica
	intentOutlivesTx bool   // an intent ends only when its writer has committed or crashed
	ownDeadlines     bool   // the same, and the deadlines pass one by one
	crasher          int    // if not 0, the only writer that may crash
	unreduced        bool   // names are kept: a check of the reduction
	checkL           bool   // at most one loader
	checkW           bool   // nobody waits for more than two loads
	skipQ            bool
	tags             bool // entries carry the token of a tag
	retryToken       bool // BUG: a retried acquire or wbegin carries the token of the first attempt
	clientTokens     bool // BUG: tokens are made by the client, not in each execution
}

// readProgram reports the steps that reader i can take in s.
type readProgram func(m *keyed, x *explorer, s *State, i int)

// writeProgram reports the steps that writer j can take in s.
type writeProgram func(m *keyed, x *explorer, s *State, j int)

// warmLoad is the token of the load that warmed the cache.
const warmLoad = 1

func (m *keyed) initial() any {
	s := &State{left: m.left}
	for i := range m.soft {
		s.r[i].soft = true
	}
	for i := range m.onError {
		s.r[m.soft+i].onError = true
	}
	if m.warm {
		s.rec = record{kind: value, fresh: true, garbled: m.garbled, ver: 1, cid: warmLoad}
		if m.get.unversioned {
			s.rec.ver = 0
		}
		if m.tags {
			s.tag, s.rec.tag = 1, 1
		}
		if m.staleTag {
			s.tag = 2
		}
		if m.zeroCID {
			s.rec.cid = 0
		}
		if m.cutShort {
			s.rec = record{kind: cutShort}
		}
		s.replica = s.rec
	}
	return s
}

func (m *keyed) expand(state any, x *explorer) {
	s := state.(*State)
	for i := range m.readers {
		if s.r[i].pc != done {
			m.reader(m, x, s, i)
		}
	}
	for j := range m.writers {
		if !s.w[j].finished {
			m.program(j)(m, x, s, j)
		}
	}
	m.expandFaults(x, s)
}

// program is the program of writer j.
func (m *keyed) program(j int) writeProgram {
	return m.programs[min(j, len(m.programs)-1)]
}

// step reports t after the flights that nobody looks at any more have been cleared.
func (m *keyed) step(x *explorer, t *State, format string, args ...int8) {
	var used uint8
	for i := range t.r[:m.readers] {
		if n := t.r[i].flight; n > 0 {
			used |= 1 << (n - 1)
		}
	}
	for n := range t.f {
		if used&(1<<n) == 0 {
			t.f[n] = flight{}
		}
	}
	for i := range t.r[:m.readers] {
		t.r[i].after &= used
	}
	x.step(t, format, args...)
}

func (m *keyed) violation(state any) string {
	s := state.(*State)
	p := &s.r[s.culprit]
	switch {
	case s.bad == brokenI:
		return fmt.Sprintf("I: R%d returned v%d although the write of v%d had returned before it began",
			s.culprit, p.val, p.floor)
	case s.bad == brokenW:
		return fmt.Sprintf("W: R%d waits for a third load", s.culprit)
	case s.bad == brokenLoads:
		return fmt.Sprintf("W': R%d waits for a fourth load", s.culprit)
	case s.bad == brokenB:
		return fmt.Sprintf("B: R%d goes on without end: round %d, acquire %d", s.culprit, p.round, p.acquires)
	case s.rec.kind == intent && s.rec.bars() && s.rec.intents != 0 && s.rec.intents&^s.rec.passed == 0:
		return "E: the key is barred although the deadline of every open intent has passed"
	case m.checkL && m.loaders(s) > 1:
		return "L: two loaders"
	case !m.skipQ && m.quiet(s) && m.servable(s) && s.rec.val != s.db:
		return fmt.Sprintf("Q: everybody has finished, the cache holds v%d, the database v%d",
			s.rec.val, s.db)
	}
	return ""
}

// loaders counts the readers between their lease and their commit.
func (m *keyed) loaders(s *State) int {
	n := 0
	for i := range m.readers {
		if p := s.r[i].pc; p == loading || p == committing {
			n++
		}
	}
	return n
}

// quiet says that every process has finished and no command is left in the network.
func (m *keyed) quiet(s *State) bool {
	for i := range m.readers {
		if s.r[i].pc != done {
			return false
		}
	}
	for j := range m.writers {
		if !s.w[j].finished {
			return false
		}
	}
	return s.late == 0 && s.lateAcq == 0 && s.lateBeg == 0 && s.lateEnd == 0 && !s.pending
}

// servable says that a reader who came now would be given the record's value as fresh.
func (m *keyed) servable(s *State) bool {
	if !s.rec.serves() {
		return false
	}
	return !m.tags || m.tagValid(s, s.rec.tag)
}

// expandFaults reports what the environment may do.
func (m *keyed) expandFaults(x *explorer, s *State) {
	protected := s.rec.kind == intent && (m.intentOutlivesTx || m.ownDeadlines)
	if s.left.evictions > 0 && s.rec.kind != none && !protected {
		t := *s
		t.left.evictions--
		t.rec = record{}
		m.step(x, &t, "record evicted")
	}
	if protected && !m.inTransaction(s) && !(m.ownDeadlines && s.rec.bars()) {
		t := *s
		t.rec = record{}
		m.step(x, &t, "intent ends by its TTL")
	}
	if s.rec.kind == backoff {
		t := *s
		t.rec = record{}
		m.step(x, &t, "back-off ends")
	}
	m.expandDeadlines(x, s)
	if s.left.softEnds > 0 && s.rec.holdsValue() && s.rec.fresh {
		t := *s
		t.left.softEnds--
		t.rec.fresh = false
		m.step(x, &t, "the soft deadline passes")
	}
	m.expandIntents(x, s)
	m.expandRival(x, s)
	if s.left.tagEvictions > 0 && s.tag != 0 {
		t := *s
		t.left.tagEvictions--
		t.tag = 0
		m.step(x, &t, "tag key evicted")
	}
	m.expandLate(x, s)
	if s.pending {
		t := *s
		t.rec.invalidate(false)
		t.pending = false
		m.step(x, &t, "queued invalidation reaches Redis")
	}
	if m.replicaReads && s.lagging != s.db {
		t := *s
		t.lagging = t.db
		m.step(x, &t, "replica of the database catches up")
	}
	m.expandFailover(x, s)
}

// expandDeadlines lets the deadline of a back-off, a lease or a lock pass. A lease whose
// deadline has passed may be taken over; until then its own commit is still accepted.
func (m *keyed) expandDeadlines(x *explorer, s *State) {
	if s.rec.holdsValue() && s.rec.tok == 0 && s.rec.live {
		t := *s
		t.rec.live = false
		m.step(x, &t, "back-off ends")
	}
	if s.left.deadlines > 0 && s.rec.tok != 0 && s.rec.live {
		t := *s
		t.left.deadlines--
		t.rec.live = false
		m.step(x, &t, "lease deadline passes")
	}
	if s.left.deadlines > 0 && s.lock != 0 {
		t := *s
		t.left.deadlines--
		t.lock = 0
		m.step(x, &t, "lock key expires")
	}
}

// expandFailover replicates the record as it is, or makes what was replicated last the record.
func (m *keyed) expandFailover(x *explorer, s *State) {
	if m.left.failovers == 0 || s.replica == s.rec {
		return
	}
	t := *s
	t.replica = t.rec
	m.step(x, &t, "Redis replicates")
	if s.left.failovers > 0 {
		t := *s
		t.left.failovers--
		t.epoch++
		t.rec = t.replica
		m.step(x, &t, "failover: the replica's copy is the record")
	}
}

// inTransaction says that a writer has an open intent and has not committed yet.
func (m *keyed) inTransaction(s *State) bool {
	for j := range m.writers {
		if !s.w[j].finished && s.w[j].pc == afterBegin {
			return true
		}
	}
	return false
}
