package model

// expandReader is a Get in process i modulo processes.
func (m *cleared) expandReader(x *explorer, s *clearState, i int) {
	t := *s
	r, held := &t.r[i], s.p[i%processes].token
	switch r.pc {
	case idle:
		r.floor = s.floor
		r.val, r.token, r.pc = s.now.val, s.now.stamp, checking
		x.step(&t, "R%d GET v%d with token %d", int8(i), r.val, r.token)
	case checking:
		m.check(x, s, i, held)
	case rereading:
		// A mismatch makes the reader read the token before it decides.
		if found := t.readToken(); found == r.token {
			m.answer(x, &t, i, "R%d finds its token in Redis, returns v%d")
			return
		}
		r.val, r.token, r.pc = 0, 0, acquiring
		x.step(&t, "R%d finds another token, the entry is invalid", int8(i))
	case acquiring:
		r.token, r.pc = t.readToken(), loading
		x.step(&t, "R%d captures token %d", int8(i), r.token)
	case loading:
		r.val, r.pc = s.db, committing
		x.step(&t, "R%d reads v%d from the database", int8(i), s.db)
	case committing:
		t.now.val, t.now.stamp = r.val, r.token
		m.answer(x, &t, i, "R%d stores and returns v%d")
	}
}

// check compares the entry's token with the one its process holds; without a lease it waits
// for the read of its process.
func (m *cleared) check(x *explorer, s *clearState, i int, held int8) {
	t := *s
	switch {
	case held == 0:
	case held == t.r[i].token:
		m.answer(x, &t, i, "R%d's process holds that token, returns v%d")
	default:
		t.r[i].pc = rereading
		x.step(&t, "R%d's process holds token %d", int8(i), held)
	}
}

// answer ends a Get and checks invariant I.
func (m *cleared) answer(x *explorer, t *clearState, i int, format string) {
	val := t.r[i].val
	if val < t.r[i].floor {
		t.bad, t.culprit = brokenI, int8(i)
	} else {
		t.r[i] = clearReader{pc: done}
	}
	x.step(t, format, int8(i), val)
}

// expandWriter is a write of the row followed by InvalidateAll in process j modulo processes:
// mint, drop the own lease, wait as long as a lease lasts, read the token again, and start
// over if an older one is back.
func (m *cleared) expandWriter(x *explorer, s *clearState, j int) {
	t := *s
	w := &t.w[j]
	switch w.pc {
	case 0:
		t.db++
		w.val, w.pc = t.db, toMint
		x.step(&t, "W%d commits v%d", int8(j), t.db)
	case toMint:
		m.mintForAll(x, &t, j)
	case toWait:
		if w.age < leaseLen && !m.noWait {
			return
		}
		if m.noReread || m.noWait {
			m.returns(x, &t, j)
			return
		}
		w.pc = toRead
		x.step(&t, "W%d has waited", int8(j))
	case toRead:
		if back := s.now.token; back == w.token || (back > w.token && !m.mintIfChanged) {
			m.returns(x, &t, j)
			return
		}
		w.pc = toMint
		w.age = 0
		x.step(&t, "W%d reads token %d, not its own", int8(j), s.now.token)
	}
}

// mintForAll mints for the InvalidateAll of writer j and drops its process's lease. That it
// mints once more than tokens were lost breaks invariant M.
func (m *cleared) mintForAll(x *explorer, t *clearState, j int) {
	w := &t.w[j]
	if w.mints++; w.mints > 1+m.failovers+m.evictions {
		t.bad, t.culprit = brokenM, int8(j)
	}
	w.token, w.pc = t.mint(), toWait
	if !m.waitEarly {
		w.age = 0
	}
	t.p[j%processes].token, t.p[j%processes].age = 0, 0
	if m.secondNoWait && w.mints > 1 {
		m.returns(x, t, j)
		return
	}
	x.step(t, "W%d mints token %d", int8(j), w.token)
}

// returns ends an InvalidateAll successfully.
func (m *cleared) returns(x *explorer, t *clearState, j int) {
	val := t.w[j].val
	t.floor = max(t.floor, val)
	t.w[j] = clearWriter{finished: true}
	x.step(t, "W%d returns from InvalidateAll, v%d is acknowledged", int8(j), val)
}
