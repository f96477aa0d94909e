package model

// sharing are the rules by which callers of one process share a load, and the ways to break
// them. Any reader may join any flight that is open, or lead one of its own: that it leads
// although one is open stands for a reader in another process.
type sharing struct {
	on           bool
	split        bool // the answer of the commit is a step of its own
	seal         bool // nobody joins once the commit is sent
	callStep     bool // the call of the loader is a step of its own
	ruleB        bool // who began before the loader was called may have any result
	stages       bool // waits by polling; what a poll or acquire finds is shared too
	reread       bool // the tag token is read again behind the seal
	local        bool // the writers run in the readers' process and detach its flights
	anyResult    bool // BUG: every joiner is given the result, committed or not
	lateJoiners  bool // BUG: a proof is given also to those who joined after it was sent
	noDetach     bool // BUG: a change leaves the flights of its process alone
	sendsPending bool // BUG: acquire is sent although an invalidation is pending
	alwaysWaits  bool // BUG: a caller waits as often as it finds somebody loading
	soloJoins    bool // BUG: a call in its last round joins flights
	impatient    bool // the wait for another process may be over before that process's load
}

// join makes a reader that missed the member or the leader of a flight.
func (m *keyed) join(x *explorer, s *State, i int) {
	p := &s.r[i]
	free := uint8(1<<maxReaders - 1)
	for k := range m.readers {
		n := s.r[k].flight
		if n == 0 {
			continue
		}
		free &^= 1 << (n - 1)
		if m.leads(&s.r[k]) && !p.bg && m.joinable(s, p, &s.r[k]) {
			m.joinFlight(x, s, i, k)
		}
	}
	m.attendSealed(x, s, i)
	n := int8(1)
	for free&(1<<(n-1)) == 0 {
		n++
	}
	t := *s
	t.r[i].flight, t.r[i].pc = n, acquiring
	m.step(x, &t, "R%d leads flight %d", int8(i), n)
}

// leads says that p is the leader of its flight.
func (m *keyed) leads(p *reader) bool {
	return p.flight != 0 && p.pc != joined && p.pc != attending
}

// joinable says whether p may join the flight that leader leads. Who has waited before does
// not wait for another process, nor for a load whose result it might not be given. Who is
// solo joins only what is for it however that ends: a load that began after its call, or
// another solo flight that has not asked for the lease yet.
func (m *keyed) joinable(s *State, p, leader *reader) bool {
	n := leader.flight - 1
	f, o := &s.f[n], &m.get.share
	later := p.after&(1<<n) != 0
	switch {
	case f.detached || f.over():
		return false
	case m.solo(p) && !o.soloJoins:
		return later || m.solo(leader) && leader.pc == acquiring && leader.acquires == 0
	case f.sealed:
		return false
	case !p.waited || o.alwaysWaits:
		return true
	}
	return !f.waiting && (!f.calledLoader || later)
}

// joinFlight makes reader i a member of the flight that leader leads. To join one that waits
// for another process is to wait for that process's load too.
func (m *keyed) joinFlight(x *explorer, s *State, i, leader int) {
	t := *s
	p := &t.r[i]
	p.flight, p.pc, p.seen, p.swept = s.r[leader].flight, joined, 0, false
	f := &t.f[p.flight-1]
	f.stopWaiting = f.stopWaiting || p.waited
	if f.waiting {
		m.countWait(&t, i)
	}
	m.step(x, &t, "R%d joins flight %d", int8(i), p.flight)
}

// attendSealed lets reader i wait for the end of a flight whose commit has been sent.
func (m *keyed) attendSealed(x *explorer, s *State, i int) {
	if s.r[i].bg || m.solo(&s.r[i]) {
		return
	}
	for k := range m.readers {
		n := s.r[k].flight
		if n == 0 || !m.leads(&s.r[k]) || !s.f[n-1].sealed || s.f[n-1].detached {
			continue
		}
		t := *s
		p := &t.r[i]
		p.flight, p.pc, p.seen, p.swept, p.fallback = n, attending, 0, false, nothing
		m.step(x, &t, "R%d waits for the end of flight %d", int8(i), n)
	}
}

// attend is what a reader does that has waited for the end of a flight only.
func (m *keyed) attend(x *explorer, s *State, i int) {
	if !s.f[s.r[i].flight-1].over() {
		return
	}
	t := *s
	m.proceed(x, &t, i, abandoned, no, 0, "R%d sees the end of the flight")
}

// share is what a joiner does with the end of its flight.
func (m *keyed) share(x *explorer, s *State, i int) {
	p := &s.r[i]
	f, o := &s.f[p.flight-1], &m.get.share
	if !f.over() {
		return
	}
	ruleA := f.outcome.proof() && (p.covered || o.lateJoiners || !o.split)
	ruleB := o.ruleB && p.after&(1<<(p.flight-1)) != 0
	who := no
	if o.anyResult || ruleA || ruleB {
		who = yes
	}
	t := *s
	m.proceed(x, &t, i, f.outcome, who, f.val, "R%d sees the end of the flight it shares")
}

// call calls the loader: every Get that has begun by now began before it.
func (m *keyed) call(x *explorer, s *State, i int) {
	t := *s
	t.r[i].pc = loading
	if n := t.r[i].flight; n != 0 {
		t.f[n-1].calledLoader = true
		for k := range m.readers {
			if p := &t.r[k]; p.pc != idle && p.pc != done {
				p.after |= 1 << (n - 1)
			}
		}
	}
	m.step(x, &t, "R%d calls the loader", int8(i))
}

// unleased says that p must load without asking Redis, or without asking it again.
func (m *keyed) unleased(s *State, p *reader) bool {
	o := &m.get.share
	return p.unleased || m.asked(p) || (o.on && s.pending && !o.sendsPending)
}

// loadUnleased sends reader i to load without a lease.
func (m *keyed) loadUnleased(x *explorer, s *State, i int) {
	if m.yields(s, i) {
		m.yield(x, s, i, "R%d may not load")
		return
	}
	t := *s
	p := &t.r[i]
	p.unleased, p.tok, p.seen, p.pc = true, 0, 0, bypassing
	p.acquires, p.swept = 0, false
	if m.get.share.callStep {
		p.pc = calling
	}
	m.setWaiting(&t, p.flight, false)
	m.step(x, &t, "R%d will load without a lease", int8(i))
}

// busy is the answer B: somebody else loads.
func (m *keyed) busy(x *explorer, s *State, i int) {
	p, o := &s.r[i], &m.get.share
	switch {
	case m.yields(s, i):
		m.yield(x, s, i, "R%d acquire: B")
	case m.solo(p):
		m.loadUnleased(x, s, i)
	case !o.stages:
		return // waits; its next acquire will find something else
	case m.waitsNot(s, p) && !o.alwaysWaits:
		m.stopWaiting(x, s, i)
	default:
		t := *s
		m.countAcquire(&t, i)
		t.r[i].pc, t.f[p.flight-1].polled = polling, true
		m.setWaiting(&t, p.flight, true)
		for k := range m.readers {
			if t.r[k].flight == p.flight {
				m.countWait(&t, k)
			}
		}
		m.step(x, &t, "R%d acquire: B, waits for the other load", int8(i))
	}
}

// waitsNot says that the flight of p does not wait for another process, because it has, or
// because a member has.
func (m *keyed) waitsNot(s *State, p *reader) bool {
	f := &s.f[p.flight-1]
	return f.polled || p.waited || f.stopWaiting
}

// stopWaiting ends a flight that another process's load keeps waiting for too long, if its
// leader may have a stale value instead; otherwise the flight loads without a lease.
func (m *keyed) stopWaiting(x *explorer, s *State, i int) {
	if s.r[i].fallback == nothing {
		m.loadUnleased(x, s, i)
		return
	}
	t := *s
	m.finishFlight(&t, t.r[i].flight, contended, 0)
	m.proceed(x, &t, i, contended, yes, 0, "R%d does not wait for the other load")
}

// poll reads the record until it shows a value or the lease that was waited for has ended,
// or the wait has taken too long.
func (m *keyed) poll(x *explorer, s *State, i int) {
	p, rec := &s.r[i], &s.rec
	t := *s
	switch {
	case m.unleased(s, p):
		m.loadUnleased(x, s, i)
		return
	case rec.serves() && rec.cid != p.seen && m.tags:
		m.setWaiting(&t, p.flight, false)
		m.readTagged(x, &t, i, "R%d polls v%d")
	case rec.serves() && rec.cid != p.seen:
		m.setWaiting(&t, p.flight, false)
		m.startProof(x, &t, i, "R%d polls v%d, the answer is on its way")
	case rec.tok == 0 || !rec.live:
		t.r[i].pc = acquiring
		m.setWaiting(&t, p.flight, false)
		m.step(x, &t, "R%d polls: that load has ended", int8(i))
	}
	if m.get.share.impatient {
		m.stopWaiting(x, s, i)
	}
}

// startProof runs a command that may prove a value: it covers those who have joined by now.
// t is the caller's to change.
func (m *keyed) startProof(x *explorer, t *State, i int, format string) {
	p := &t.r[i]
	p.val, p.seen, p.pc = t.rec.val, 0, proving
	m.cover(t, p.flight)
	m.step(x, t, format, int8(i), p.val)
}

// prove is the arrival of such a command's answer.
func (m *keyed) prove(x *explorer, s *State, i int) {
	t := *s
	val := t.r[i].val
	m.finishFlight(&t, t.r[i].flight, found, val)
	m.proceed(x, &t, i, found, yes, val, "R%d has its answer")
}

// cover marks the members of flight n as having joined before the command that is sent now.
func (m *keyed) cover(t *State, n int8) {
	for k := range m.readers {
		if t.r[k].flight == n && t.r[k].pc == joined {
			t.r[k].covered = true
		}
	}
}

// finishFlight publishes what flight n found.
func (m *keyed) finishFlight(t *State, n int8, o outcome, val int8) {
	if n == 0 {
		return
	}
	f := &t.f[n-1]
	f.outcome, f.val, f.waiting, f.stopWaiting = o, val, false, false
}

// setWaiting notes whether flight n waits for another process's load.
func (m *keyed) setWaiting(t *State, n int8, waiting bool) {
	if n != 0 {
		t.f[n-1].waiting = waiting
	}
}

// detach makes sure that what the flights of this process find is nobody's who comes later.
func (m *keyed) detach(t *State) {
	if o := &m.get.share; !o.local || o.noDetach {
		return
	}
	for i := range m.readers {
		if n := t.r[i].flight; n != 0 {
			t.f[n-1].detached = true
		}
	}
}

// countWait notes that reader i waits for one more load.
func (m *keyed) countWait(t *State, i int) {
	p := &t.r[i]
	if p.bg {
		return
	}
	switch p.loads++; {
	case m.checkW && p.loads > 2:
		m.breaks(t, brokenW, i)
	case p.loads > rounds:
		m.breaks(t, brokenLoads, i)
	}
}

// countLoad notes the load that reader i has made for its whole flight.
func (m *keyed) countLoad(t *State, i int) {
	n := t.r[i].flight
	for k := range m.readers {
		if k == i || (n != 0 && t.r[k].flight == n) {
			m.countWait(t, k)
		}
	}
}
