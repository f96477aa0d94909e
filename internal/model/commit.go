package model

// commitFlight sends the commit of a flight's load. A flight that was detached or has no
// lease ends without one.
func (m *keyed) commitFlight(x *explorer, s *State, i int) {
	p, o := &s.r[i], &m.get.share
	f := &s.f[p.flight-1]
	if p.unleased || f.detached {
		m.landFlight(x, s, i, false, "R%d does not commit, returns v%d")
		return
	}
	m.runCommit(x, s, i, true)
	if m.tags && o.reread {
		t := *s
		m.sealFlight(&t, p.flight)
		t.r[i].okc, t.r[i].pc = m.tagValid(s, p.tag), committingLast
		m.step(x, &t, "R%d seals, reads tag token %d again before the commit runs", int8(i), s.tag)
	}
}

// runCommit executes the commit at Redis. tagOK is what a re-read that ran before it found.
func (m *keyed) runCommit(x *explorer, s *State, i int, tagOK bool) {
	o := &m.get.share
	t := *s
	p := &t.r[i]
	tok := p.tok
	switch m.commitLoad(&t, tok, p.val, p.tag) {
	case older:
		m.endFlight(&t, p.flight, false, p.val)
		t.f[p.flight-1].older = true
		m.goAgain(&t, i)
		m.step(x, &t, "R%d commit t%d: older than what is cached", int8(i), tok)
		return
	case committed:
		p.okc = tagOK
	default:
		p.okc = false
	}
	if !o.split {
		m.landFlight(x, &t, i, p.okc, "R%d commit answers, returns v%d")
		return
	}
	m.sealFlight(&t, p.flight)
	early := s.r[i].pc == committingLast
	if p.pc = replying; m.tags && o.reread && !early {
		p.pc = rereading
	}
	if p.okc {
		m.step(x, &t, "R%d commit t%d runs: accepted", int8(i), tok)
		return
	}
	m.step(x, &t, "R%d commit t%d runs: not accepted", int8(i), tok)
}

// sealFlight covers the members and, if the rule is on, lets nobody join any more. That it
// happens in the step in which the first command runs loses nothing: who comes between the
// two is not covered and must go again.
func (m *keyed) sealFlight(t *State, n int8) {
	m.cover(t, n)
	t.f[n-1].sealed = m.get.share.seal
}

// settle is what follows the commit of a flight: the re-read of the tag token, and the
// arrival of the answers.
func (m *keyed) settle(x *explorer, s *State, i int) {
	p := &s.r[i]
	if p.pc == replying {
		m.landFlight(x, s, i, p.okc, "R%d has the commit's answer, returns v%d")
		return
	}
	t := *s
	t.r[i].okc = p.okc && m.tagValid(s, p.tag)
	t.r[i].pc = replying
	m.step(x, &t, "R%d reads tag token %d again", int8(i), s.tag)
}

// landFlight ends the flight of reader i and the Get that leads it.
func (m *keyed) landFlight(x *explorer, s *State, i int, proved bool, format string) {
	t := *s
	val := t.r[i].val
	m.endFlight(&t, t.r[i].flight, proved, val)
	m.finish(&t, i, val)
	m.step(x, &t, format, int8(i), val)
}
