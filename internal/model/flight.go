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
		if s.r[k].pc != joined && !p.bg && m.joinable(s, p, n) {
			m.joinFlight(x, s, i, k)
		}
	}
	n := int8(1)
	for free&(1<<(n-1)) == 0 {
		n++
	}
	t := *s
	t.r[i].flight, t.r[i].pc = n, acquiring
	m.step(x, &t, "R%d leads flight %d", int8(i), n)
}

// joinable says whether p may join flight n. Who has waited once does not wait for another
// process, nor for a load whose result it might not be given.
func (m *keyed) joinable(s *State, p *reader, n int8) bool {
	f := &s.f[n-1]
	if f.sealed || f.detached || f.over {
		return false
	}
	if !p.again || m.get.share.alwaysWaits {
		return true
	}
	return !f.waiting && (!f.calledLoader || p.after&(1<<(n-1)) != 0)
}

// joinFlight makes reader i a member of the flight that leader leads. To join one that waits
// for another process is to wait for that process's load too.
func (m *keyed) joinFlight(x *explorer, s *State, i, leader int) {
	t := *s
	p := &t.r[i]
	p.flight, p.pc, p.seen = s.r[leader].flight, joined, 0
	f := &t.f[p.flight-1]
	f.hurry = f.hurry || p.again
	if f.waiting {
		m.countWait(&t, i)
	}
	m.step(x, &t, "R%d joins flight %d", int8(i), p.flight)
}

// resolve is what a joiner does with the end of its flight.
func (m *keyed) resolve(x *explorer, s *State, i int) {
	p := &s.r[i]
	f, o := &s.f[p.flight-1], &m.get.share
	if !f.over {
		return
	}
	t := *s
	if f.failed {
		t.r[i] = reader{pc: done, soft: p.soft}
		m.step(x, &t, "R%d has the loader's error from flight %d", int8(i), p.flight)
		return
	}
	ruleA := f.proved && (p.covered || o.lateJoiners || !o.split)
	ruleB := o.ruleB && !f.older && p.after&(1<<(p.flight-1)) != 0
	if o.anyResult || ruleA || ruleB {
		m.finish(&t, i, f.val)
		m.step(x, &t, "R%d is given v%d by flight %d", int8(i), f.val, p.flight)
		return
	}
	m.goAgain(&t, i)
	m.step(x, &t, "R%d goes again after flight %d", int8(i), p.flight)
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

// unleased says that p must load without asking Redis.
func (m *keyed) unleased(s *State, p *reader) bool {
	o := &m.get.share
	return p.unleased || (o.on && s.pending && !o.sendsPending)
}

// loadUnleased sends reader i to load without a lease.
func (m *keyed) loadUnleased(x *explorer, s *State, i int) {
	if s.r[i].bg {
		m.quit(x, s, i, "R%d gives up the refresh")
		return
	}
	t := *s
	p := &t.r[i]
	p.unleased, p.tok, p.seen, p.pc = true, 0, 0, bypassing
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
	case p.bg:
		m.quit(x, s, i, "R%d acquire: B, gives up the refresh")
	case !o.stages:
		return // waits; its next acquire will find something else
	case (p.again || s.f[p.flight-1].hurry) && !o.alwaysWaits:
		m.loadUnleased(x, s, i)
	default:
		t := *s
		t.r[i].pc = polling
		m.setWaiting(&t, p.flight, true)
		for k := range m.readers {
			if t.r[k].flight == p.flight {
				t.r[k].again = true
				m.countWait(&t, k)
			}
		}
		m.step(x, &t, "R%d acquire: B, waits for the other load", int8(i))
	}
}

// poll reads the record until it shows a value or the lease that was waited for has ended.
func (m *keyed) poll(x *explorer, s *State, i int) {
	p, rec := &s.r[i], &s.rec
	t := *s
	switch {
	case m.unleased(s, p):
		m.loadUnleased(x, s, i)
	case rec.kind == value && rec.cid != p.seen && m.tags:
		m.setWaiting(&t, p.flight, false)
		m.readTagged(x, &t, i, "R%d polls v%d")
	case rec.kind == value && rec.cid != p.seen:
		m.startProof(x, &t, i, "R%d polls v%d, the answer is on its way")
	case rec.tok == 0 || !rec.live:
		t.r[i].pc = acquiring
		m.setWaiting(&t, p.flight, false)
		m.step(x, &t, "R%d polls: that load has ended", int8(i))
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
	m.endFlight(&t, t.r[i].flight, true, val)
	m.finish(&t, i, val)
	m.step(x, &t, "R%d has its answer, returns v%d", int8(i), val)
}

// cover marks the members of flight n as having joined before the command that is sent now.
func (m *keyed) cover(t *State, n int8) {
	for k := range m.readers {
		if t.r[k].flight == n && t.r[k].pc == joined {
			t.r[k].covered = true
		}
	}
}

// endFlight publishes what flight n found.
func (m *keyed) endFlight(t *State, n int8, proved bool, val int8) {
	if n == 0 {
		return
	}
	f := &t.f[n-1]
	f.over, f.proved, f.val, f.waiting, f.hurry = true, proved, val, false, false
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
	if !m.checkW || t.r[i].bg {
		return
	}
	if t.r[i].loads++; t.r[i].loads > 2 && t.bad == fine {
		t.bad, t.culprit = brokenW, int8(i)
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
