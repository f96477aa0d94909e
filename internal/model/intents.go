package model

// intentRules are the ways to break the deadlines of intents.
type intentRules struct {
	common    bool // BUG: a record has one deadline for all its intents, which each wbegin prolongs
	forgetful bool // BUG: that a write overlapped is forgotten with the intent that told of it
}

// bars says that a write is open as far as acquire can tell: the record's deadline, the last
// of its intents', has not passed. Counted intents have none.
func (r *record) bars() bool {
	return r.kind == intent && (r.until == 0 || r.until&^r.passed != 0)
}

// keep leaves these intents in the record, which has been overlapped.
func (r *record) keep(intents uint8, o intentRules) {
	r.intents, r.clash = intents, true
	if !o.common {
		r.until, r.passed = intents, 0
	}
}

// inForce are the intents that wbegin and wend carry on: those whose own deadline has not passed.
func (r *record) inForce(o intentRules) uint8 {
	if o.common {
		return r.intents
	}
	return r.intents &^ r.passed
}

// begin is the script wbegin of writer j, or of a copy of it under another token.
func (r *record) begin(j int, o intentRules) {
	if left := r.inForce(o); r.bars() && left != 0 {
		r.keep(left, o)
	} else {
		*r = record{kind: intent}
	}
	r.intents |= 1 << j
	r.until |= 1 << j
}

// end is the script wend of writer j with the value val. A write whose own intent is gone
// overlapped those that are still in force.
func (r *record) end(j int, val, cid, tag int8, o intentRules) {
	mine := uint8(1) << j
	left := r.inForce(o) &^ mine
	dropped := r.intents &^ mine &^ left
	switch {
	case r.kind != intent:
		*r = record{}
	case left != 0:
		r.keep(left, o)
	case r.intents&mine == 0, r.clash && !(o.forgetful && dropped != 0):
		*r = record{}
	default:
		*r = record{kind: value, fresh: true, val: val, ver: val + 1, cid: cid, tag: tag}
	}
}

// expandIntents lets the deadlines of intents pass one by one. An intent outlives its
// transaction.
func (m *keyed) expandIntents(x *explorer, s *State) {
	if !m.ownDeadlines || s.rec.kind != intent {
		return
	}
	for j := range m.writers {
		mine := uint8(1) << j
		if open := !s.w[j].finished && s.w[j].pc == afterBegin; open || s.rec.until&^s.rec.passed&mine == 0 {
			continue
		}
		t := *s
		t.rec.passed |= mine
		m.step(x, &t, "the deadline of W%d's intent passes", int8(j))
	}
}

// writeIntent is Update: wbegin, the transaction, wend with the value. W holds the set of
// the open intents.
func writeIntent(m *keyed, x *explorer, s *State, j int) {
	m.crash(x, s, j)
	switch t := *s; s.w[j].pc {
	case 0:
		t.rec.begin(j, m.intents)
		t.w[j].pc = afterBegin
		m.detach(&t)
		late := t // a state that was reported is not changed any more
		m.step(x, &t, "W%d wbegin", int8(j))
		if s.left.lateIntents > 0 && s.lateBeg == 0 {
			late.left.lateIntents--
			late.lateBeg = int8(j + 1)
			m.step(x, &late, "W%d wbegin; a copy is late", int8(j))
		}
	case afterBegin:
		m.commitRow(x, s, j, false)
	case 2:
		val := t.w[j].val
		t.rec.end(j, val, m.freshToken(s), 0, m.intents)
		m.detach(&t)
		late := t
		m.returns(x, &t, j, "W%d wend, v%d is acknowledged")
		if s.left.lateIntents > 0 && s.lateEnd == 0 {
			late.left.lateIntents--
			late.lateEnd, late.lateVal = int8(j+1), val
			m.returns(x, &late, j, "W%d wend, v%d is acknowledged; a copy is late")
		}
	}
}

// writeCounting is Update with a counter of open intents instead of their set; populate says
// whether wend stores the value when no other write overlapped.
func writeCounting(populate bool) writeProgram {
	return func(m *keyed, x *explorer, s *State, j int) {
		m.crash(x, s, j)
		switch t := *s; s.w[j].pc {
		case 0:
			tok := m.freshToken(s)
			if t.rec.kind != intent {
				t.rec = record{kind: intent}
			} else {
				t.rec.clash = true
			}
			t.rec.open++
			t.rec.tok, t.w[j].tok = tok, tok
			t.w[j].pc = afterBegin
			m.step(x, &t, "W%d wbegin", int8(j))
		case afterBegin:
			m.commitRow(x, s, j, false)
		case 2:
			endCounting(&t.rec, &t.w[j], populate)
			m.returns(x, &t, j, "W%d wend, v%d is acknowledged")
		}
	}
}

func endCounting(r *record, w *writer, populate bool) {
	if r.kind == intent {
		if r.open--; r.open > 0 {
			return
		}
		if populate && !r.clash && r.tok == w.tok {
			*r = record{kind: value, fresh: true, val: w.val, ver: w.val + 1, cid: w.tok}
			return
		}
	}
	*r = record{}
}
