package model

import (
	"fmt"
	"hash/maphash"
)

// local is the system around the in-process tier: one process with a local entry, a remote
// writer, and an ordered subscription that loses everything in flight when it breaks.
type local struct {
	readers      int
	blindFill    bool // BUG: a fill does not look whether its stripe's epoch has moved
	noFlush      bool // BUG: losing the subscription drops nothing
	publishFirst bool // BUG: the message is published before the record is deleted
}

// Bounds of the local model.
const (
	localWrites = 2
	localLosses = 1
	absent      = -1
)

// localReader is one reader, which reads again and again.
type localReader struct {
	pc    pc
	moved bool // the epoch has moved since it was noted
	val   int8
	floor int8
}

// localState is a state of the local model.
type localState struct {
	db, redis int8 // versions; redis may be absent
	entry     int8 // the local entry, or absent
	up, known bool // the subscription is alive; the process believes so
	processed int8 // newest version whose message the process has handled
	queue     [localWrites]int8
	queued    int8
	half      bool // a message was published, the record is not yet deleted
	dirty     bool // a row is committed, the record is not yet deleted
	writes    int8
	losses    int8
	bad       bool
	culprit   int8
	r         [maxReaders]localReader
}

func (m *local) initial() any {
	return &localState{entry: absent, up: true, known: true, losses: localLosses}
}

func (m *local) fingerprint(s any, seed maphash.Seed) uint64 {
	return maphash.Comparable(seed, *s.(*localState))
}

func (m *local) violation(state any) string {
	s := state.(*localState)
	if !s.bad {
		return ""
	}
	r := s.r[s.culprit]
	return fmt.Sprintf("I: R%d returned v%d although the message of v%d was handled before it began",
		s.culprit, r.val, r.floor)
}

func (m *local) expand(state any, x *explorer) {
	s := state.(*localState)
	m.expandWriter(x, s)
	m.expandSubscription(x, s)
	for i := range m.readers {
		m.expandReader(x, s, i)
	}
}

// expandWriter is a remote writer: commit, then delete and publish in one script.
func (m *local) expandWriter(x *explorer, s *localState) {
	t := *s
	switch {
	case !s.dirty && s.writes < localWrites:
		t.db++
		t.writes++
		t.dirty = true
		x.step(&t, "database holds v%d", t.db)
	case s.dirty && m.publishFirst && !s.half:
		t.half = true
		t.publish()
		x.step(&t, "message of v%d published", t.db)
	case s.dirty:
		t.dirty, t.half = false, false
		t.redis = absent
		if !m.publishFirst {
			t.publish()
		}
		x.step(&t, "record deleted for v%d", t.db)
	}
}

// publish sends a message to the subscription, which loses it while it is down.
func (s *localState) publish() {
	if s.up && s.queued < localWrites {
		s.queue[s.queued] = s.db
		s.queued++
	}
}

// drop removes the local entry and moves the epoch.
func (m *local) drop(s *localState) {
	s.entry = absent
	for i := range m.readers {
		if s.r[i].pc == loading || s.r[i].pc == committing {
			s.r[i].moved = true
		}
	}
}

// expandSubscription handles messages, loses the subscription, notices and mends it. What was
// committed before the process subscribed again counts as handled: everything was dropped.
func (m *local) expandSubscription(x *explorer, s *localState) {
	t := *s
	switch {
	case s.up && s.queued > 0:
		v := t.queue[0]
		copy(t.queue[:], t.queue[1:])
		t.queue[localWrites-1] = 0
		t.queued--
		m.drop(&t)
		t.processed = max(t.processed, v)
		x.step(&t, "message of v%d handled", v)
	case !s.up && s.known:
		t.known = false
		if !m.noFlush {
			m.drop(&t)
		}
		x.step(&t, "loss of the subscription noticed")
	case !s.up:
		t.up, t.known = true, true
		if !m.noFlush {
			m.drop(&t)
		}
		if t.processed = t.db; t.dirty {
			t.processed--
		}
		x.step(&t, "subscribed again")
	}
	if s.up && s.losses > 0 {
		t := *s
		t.losses--
		t.up, t.queue, t.queued = false, [localWrites]int8{}, 0
		x.step(&t, "subscription lost")
	}
}

// expandReader is a Get through the tier: look, note the epoch, read Redis, fill.
func (m *local) expandReader(x *explorer, s *localState, i int) {
	t := *s
	r := &t.r[i]
	switch r.pc {
	case idle:
		r.floor = s.processed
		if s.entry != absent && s.known {
			m.answer(&t, i, s.entry)
			x.step(&t, "R%d hits local v%d", int8(i), s.entry)
			return
		}
		r.pc = loading
		x.step(&t, "R%d notes the epoch", int8(i))
	case loading:
		if t.redis == absent {
			t.redis = t.db // a load under the lease, committed
		}
		r.val, r.pc = t.redis, committing
		x.step(&t, "R%d reads v%d from Redis", int8(i), r.val)
	case committing:
		val := r.val
		if (!r.moved || m.blindFill) && s.known {
			t.entry = val
		}
		m.answer(&t, i, val)
		x.step(&t, "R%d fills unless the epoch moved, returns v%d", int8(i), val)
	}
}

// answer ends a read; the reader may read again.
func (m *local) answer(t *localState, i int, val int8) {
	r := &t.r[i]
	if val < r.floor {
		t.bad, t.culprit, r.val = true, int8(i), val
		return
	}
	*r = localReader{}
}
