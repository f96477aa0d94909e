package model

// getNaive is cache-aside without any protection: GET, load, SET.
func getNaive(m *keyed, x *explorer, s *State, i int) {
	t := *s
	switch p := &t.r[i]; p.pc {
	case idle:
		p.floor = s.floor
		if m.hitPlainly(x, s, i) {
			return
		}
		p.pc = loading
		m.step(x, &t, "R%d GET misses", int8(i))
	case loading:
		p.val, p.pc = s.db, committing
		m.step(x, &t, "R%d reads v%d from the database", int8(i), s.db)
	case committing:
		val := p.val
		t.rec = record{kind: value, fresh: true, val: val}
		m.answer(&t, i, val)
		m.step(x, &t, "R%d SET, returns v%d", int8(i), val)
	}
}

// getLocked is cache-aside with SET NX as a lock around the load and compare-and-delete to
// unlock it. Nothing fences the SET of the value.
func getLocked(m *keyed, x *explorer, s *State, i int) {
	t := *s
	switch p := &t.r[i]; p.pc {
	case idle:
		p.floor = s.floor
		if m.hitPlainly(x, s, i) {
			return
		}
		p.pc = acquiring
		m.step(x, &t, "R%d GET misses", int8(i))
	case acquiring:
		if m.hitPlainly(x, s, i) || s.lock != 0 {
			return
		}
		t.lock = m.freshToken(s)
		p.tok, p.pc = t.lock, loading
		m.step(x, &t, "R%d locks", int8(i))
	case loading:
		p.val, p.pc = s.db, committing
		m.step(x, &t, "R%d reads v%d from the database", int8(i), s.db)
	case committing:
		val := p.val
		t.rec = record{kind: value, fresh: true, val: val}
		if t.lock == p.tok {
			t.lock = 0
		}
		m.answer(&t, i, val)
		m.step(x, &t, "R%d SET and unlock, returns v%d", int8(i), val)
	}
}

// hitPlainly answers with the record's value, if there is one.
func (m *keyed) hitPlainly(x *explorer, s *State, i int) bool {
	if !s.rec.serves() {
		return false
	}
	t := *s
	if t.r[i].pc == idle {
		t.r[i].floor = s.floor
	}
	m.answer(&t, i, s.rec.val)
	m.step(x, &t, "R%d hits v%d", int8(i), s.rec.val)
	return true
}

// readSlowly is a GET whose answer travels, and which another reader may join meanwhile.
func (m *keyed) readSlowly(x *explorer, s *State, i int) {
	for k := range m.readers {
		if s.r[k].pc != inTransit {
			continue
		}
		t := *s
		t.r[i].floor, t.r[i].pc, t.r[i].val = s.floor, inTransit, s.r[k].val
		m.step(x, &t, "R%d joins the GET of R%d", int8(i), int8(k))
	}
	t := *s
	p := &t.r[i]
	p.floor, p.pc, p.val = s.floor, inTransit, -1
	if s.rec.serves() {
		p.val = s.rec.val
	}
	m.step(x, &t, "R%d GET runs", int8(i))
}

// readReply is the arrival of a travelling answer.
func (m *keyed) readReply(x *explorer, s *State, i int) {
	t := *s
	p := &t.r[i]
	if val := p.val; val >= 0 {
		m.answer(&t, i, val)
		m.step(x, &t, "R%d's answer arrives, returns v%d", int8(i), val)
		return
	}
	p.val = 0
	m.miss(p)
	m.step(x, &t, "R%d's answer arrives: miss", int8(i))
}
