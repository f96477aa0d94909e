package model

// tagValid says whether an entry that carries token may be served.
func (m *keyed) tagValid(s *State, token int8) bool {
	return s.tag == token && (s.tag != 0 || m.get.missingTagValid)
}

// readTagged keeps what was read until its tag token has been compared. t is the caller's.
func (m *keyed) readTagged(x *explorer, t *State, i int, format string) {
	p := &t.r[i]
	p.val, p.tag, p.seen, p.pc = t.rec.val, t.rec.tag, t.rec.cid, checking
	m.step(x, t, format, int8(i), p.val)
}

// checkTag compares the entry's token with the one under the tag key. On a mismatch the
// reader takes a lease for the record it saw.
func (m *keyed) checkTag(x *explorer, s *State, i int) {
	t := *s
	p := &t.r[i]
	if m.tagValid(s, p.tag) {
		val := p.val
		m.finishFlight(&t, p.flight, found, val)
		m.proceed(x, &t, i, found, yes, val, "R%d finds its tag valid")
		return
	}
	p.val, p.tag, p.swept = 0, 0, m.get.invalidFlag
	if p.pc = acquiring; m.get.share.on && p.flight == 0 {
		p.pc = joining
	}
	m.step(x, &t, "R%d finds the tag changed", int8(i))
}

// capture reads the tag token before the loader is called.
func (m *keyed) capture(x *explorer, s *State, i int) {
	t := *s
	p := &t.r[i]
	m.captureTag(&t, p)
	if p.pc = loading; m.get.share.callStep {
		p.pc = calling
	}
	m.step(x, &t, "R%d captures tag token %d", int8(i), p.tag)
}

// captureTag reads the token, and mints one where there is none.
func (m *keyed) captureTag(t *State, p *reader) {
	if t.tag == 0 && !m.get.missingTagValid {
		t.tag = m.freshTag(t)
	}
	p.tag = t.tag
}
