package model

// commitFlight sends the commit of a flight's load. A flight that was detached or has no
// lease ends without one.
func (m *keyed) commitFlight(x *explorer, s *State, i int) {
	p, o := &s.r[i], &m.get.share
	f := &s.f[p.flight-1]
	if p.unleased || f.detached {
		m.finishLoad(x, s, i, loaded, "R%d does not commit")
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
		m.finishLoad(x, &t, i, outdated, "R%d commit: older than what is cached")
		return
	case committed:
		p.okc = tagOK
	default:
		p.okc = false
	}
	if !o.split {
		m.finishLoad(x, &t, i, p.committed(), "R%d commit answers")
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

// commitReply is what follows the commit of a flight: the re-read of the tag token, and the
// arrival of the answers.
func (m *keyed) commitReply(x *explorer, s *State, i int) {
	p := &s.r[i]
	if p.pc == replying {
		m.finishLoad(x, s, i, p.committed(), "R%d has the commit's answer")
		return
	}
	t := *s
	t.r[i].okc = p.okc && m.tagValid(s, p.tag)
	t.r[i].pc = replying
	m.step(x, &t, "R%d reads tag token %d again", int8(i), s.tag)
}

// committed is the outcome of p's load by the answer of its commit.
func (p *reader) committed() outcome {
	if p.okc {
		return stored
	}
	return loaded
}

// finishLoad ends the flight of reader i after a load.
func (m *keyed) finishLoad(x *explorer, s *State, i int, o outcome, what string) {
	t := *s
	val := t.r[i].val
	m.finishFlight(&t, t.r[i].flight, o, val)
	m.proceed(x, &t, i, o, yes, val, what)
}
