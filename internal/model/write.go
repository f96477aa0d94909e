package model

// afterBegin is the step of a writer whose intent is open and whose transaction is not yet
// committed.
const afterBegin = 1

// commitRow commits the next version of the row.
func (m *keyed) commitRow(x *explorer, s *State, j int, gone bool) {
	t := *s
	t.db++
	if gone {
		t.gone |= 1 << t.db
	}
	t.w[j].val = t.db
	t.w[j].pc++
	if gone {
		m.step(x, &t, "W%d commits the deletion v%d", int8(j), t.db)
		return
	}
	m.step(x, &t, "W%d commits v%d", int8(j), t.db)
}

// acknowledge ends a write successfully: from here on nobody may be given older data.
func (m *keyed) acknowledge(t *State, j int) {
	t.floor = max(t.floor, t.w[j].val)
	t.w[j] = writer{finished: true}
}

// returns reports the end of a write whose last step was format.
func (m *keyed) returns(x *explorer, t *State, j int, format string) {
	val := t.w[j].val
	m.acknowledge(t, j)
	m.step(x, t, format, int8(j), val)
}

// crash stops a writer between two of its steps.
func (m *keyed) crash(x *explorer, s *State, j int) {
	if s.left.crashes == 0 || s.w[j].pc == 0 || (m.crasher != 0 && m.crasher != j) {
		return
	}
	t := *s
	t.left.crashes--
	t.w[j] = writer{finished: true}
	m.step(x, &t, "W%d crashes", int8(j))
}

// writeNothing is a writer that never writes.
func writeNothing(_ *keyed, _ *explorer, _ *State, _ int) {}

// writeRestore gives the row a lower version than all before, and says so to nobody.
func writeRestore(m *keyed, x *explorer, s *State, j int) {
	t := *s
	t.db++
	t.lower |= 1 << t.db
	t.w[j] = writer{finished: true}
	m.step(x, &t, "v%d is restored, its version is lower", t.db)
}

// writeInvalidate commits, then invalidates. With outages the invalidation may fail: it is
// queued, and the write returns all the same.
func writeInvalidate(m *keyed, x *explorer, s *State, j int) {
	invalidates(m, x, s, j, false, false)
}

// writeUnmarked is writeInvalidate that does not mark the intent it meets.
func writeUnmarked(m *keyed, x *explorer, s *State, j int) {
	invalidates(m, x, s, j, false, true)
}

// writeDelete deletes the row, then invalidates.
func writeDelete(m *keyed, x *explorer, s *State, j int) {
	invalidates(m, x, s, j, true, false)
}

func invalidates(m *keyed, x *explorer, s *State, j int, gone, unmarked bool) {
	m.crash(x, s, j)
	switch t := *s; s.w[j].pc {
	case 0:
		m.commitRow(x, s, j, gone)
	case 1:
		t.rec.invalidate(unmarked)
		t.w[j].pc, t.w[j].epoch = 2, s.epoch
		m.detach(&t)
		m.step(x, &t, "W%d invalidates", int8(j))
		if s.left.outages > 0 {
			m.failInvalidate(x, s, j)
		}
	case 2:
		if m.waitReplica && s.epoch != s.w[j].epoch {
			t.w[j].pc = 1
			m.step(x, &t, "W%d WAIT fails, it invalidates again", int8(j))
			return
		}
		if m.waitReplica {
			t.replica = t.rec
		}
		m.returns(x, &t, j, "W%d returns, v%d is acknowledged")
	}
}

// failInvalidate is an invalidation that does not reach Redis. The promise is kept for the
// writer's own process, in which all readers of such a model are.
func (m *keyed) failInvalidate(x *explorer, s *State, j int) {
	t := *s
	t.left.outages--
	t.pending = true
	m.detach(&t)
	m.returns(x, &t, j, "W%d's invalidation fails and is queued, v%d is acknowledged here")
}

// writeDeleteFirst invalidates before it commits.
func writeDeleteFirst(m *keyed, x *explorer, s *State, j int) {
	switch t := *s; s.w[j].pc {
	case 0:
		t.rec = record{}
		t.w[j].pc = 1
		m.step(x, &t, "W%d DEL", int8(j))
	case 1:
		m.commitRow(x, s, j, false)
	case 2:
		m.returns(x, &t, j, "W%d returns, v%d is acknowledged")
	}
}

// writeDouble is the delayed double delete; waits says whether the write returns after the
// second one.
func writeDouble(waits bool) writeProgram {
	return func(m *keyed, x *explorer, s *State, j int) {
		switch t := *s; s.w[j].pc {
		case 0:
			t.rec = record{}
			t.w[j].pc = 1
			m.step(x, &t, "W%d first DEL", int8(j))
		case 1:
			m.commitRow(x, s, j, false)
		case 2:
			t.w[j].pc = 3
			if !waits {
				t.floor = max(t.floor, t.w[j].val)
			}
			m.step(x, &t, "W%d sleeps", int8(j))
		case 3:
			t.rec = record{}
			m.returns(x, &t, j, "W%d second DEL, v%d is acknowledged")
		}
	}
}

// writeSet commits, then stores the value whatever its version: Set under Aside.
func writeSet(keepLease bool) writeProgram {
	return func(m *keyed, x *explorer, s *State, j int) {
		switch t := *s; s.w[j].pc {
		case 0:
			m.commitRow(x, s, j, false)
		case 1:
			t.rec.set(t.w[j].val, m.freshToken(s), keepLease)
			m.returns(x, &t, j, "W%d set, v%d is acknowledged")
		}
	}
}

// writeVersioned commits, then sends setv, a write by version alone. No strategy does: see
// variants 17, 18, 51b, 51c, 53d and 54a for what it takes to be safe.
func writeVersioned(o setvRules) writeProgram {
	return func(m *keyed, x *explorer, s *State, j int) {
		switch t := *s; s.w[j].pc {
		case 0:
			m.commitRow(x, s, j, false)
		case 1:
			t.rec.setv(t.w[j].val, m.freshToken(s), 0, o)
			m.returns(x, &t, j, "W%d setv, v%d is acknowledged")
		}
	}
}

// writeExpire commits, then invalidates softly.
func writeExpire(keepLease bool) writeProgram {
	return func(m *keyed, x *explorer, s *State, j int) {
		switch t := *s; s.w[j].pc {
		case 0:
			m.commitRow(x, s, j, false)
		case 1:
			t.rec.expire(keepLease)
			m.returns(x, &t, j, "W%d expires, v%d is acknowledged")
		}
	}
}

// writeTagged commits, then invalidates the tag by a new token.
func writeTagged(m *keyed, x *explorer, s *State, j int) {
	switch t := *s; s.w[j].pc {
	case 0:
		m.commitRow(x, s, j, false)
	case 1:
		t.tag = m.freshTag(s)
		retried := t
		m.returns(x, &t, j, "W%d replaces the tag token, v%d is acknowledged")
		if s.left.lateCopies > 0 && s.late == 0 {
			retried.left.lateCopies--
			retried.late = retried.tag
			m.returns(x, &retried, j,
				"W%d replaces the tag token, v%d is acknowledged; a copy of the command is late")
		}
	}
}
