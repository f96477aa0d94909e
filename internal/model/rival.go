package model

// A rival is the load of a process that has no readers in the model. It takes the lease when
// acquire would grant it, and then commits, fails, or is never heard of again.

// expandRival reports what the rival may do. It reads the database in the step in which it
// takes the lease, which is the hardest case: what it stores is as old as can be.
func (m *keyed) expandRival(x *explorer, s *State) {
	if s.rival == 0 {
		m.beginRival(x, s)
		return
	}
	t := *s
	m.commitLoad(&t, s.rival, s.rivalVal, 0)
	t.rival, t.rivalVal = 0, 0
	m.step(x, &t, "another process's commit runs")
	failed := *s
	failed.rec.release(s.rival)
	failed.rival, failed.rivalVal = 0, 0
	m.step(x, &failed, "another process's loader fails, the key backs off")
}

// beginRival lets a rival take the lease.
func (m *keyed) beginRival(x *explorer, s *State) {
	r := &s.rec
	if s.left.rivals == 0 || r.live || r.kind != none && r.kind != lease && !r.holdsValue() {
		return
	}
	t := *s
	t.left.rivals--
	t.rival, t.rivalVal = m.freshToken(s), s.db
	if r.kind == none {
		t.rec.kind = lease
	}
	t.rec.tok, t.rec.live = t.rival, true
	m.step(x, &t, "another process takes the lease, reads v%d", s.db)
}
