package model

// writeIntent is Update: wbegin, the transaction, wend with the value. W holds the set of
// the open intents.
func writeIntent(m *keyed, x *explorer, s *State, j int) {
	m.crash(x, s, j)
	switch t := *s; s.w[j].pc {
	case 0:
		t.rec.begin(j)
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
		t.rec.end(j, val, m.freshToken(s), 0)
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
			*r = record{kind: value, val: w.val, ver: w.val + 1, cid: w.tok}
			return
		}
	}
	*r = record{}
}
