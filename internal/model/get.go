package model

// getRules are the rules of a Get, and the ways to break them.
type getRules struct {
	noRefresh       bool // a hit never starts an early refresh
	invalidFlag     bool // acquire replaces a record whose tag token is wrong
	unversioned     bool // loads supply no version
	absentRemoves   bool // an absent load removes the record: commit with px 0
	missingTagValid bool // BUG: a missing tag key means "never invalidated"
	tagAtCommit     bool // BUG: the tag token is captured at the commit
	commitOnMissing bool // BUG: commit writes where there is no record
	anyToken        bool // BUG: commit asks only whether there is a lease
	removeUnfenced  bool // BUG: an absent commit does not compare the token
	loadFirst       bool // BUG: the database is read before acquire
	invalidRobs     bool // BUG: acquire with `invalid` ignores a live lease
	uncheckedRaces  bool // BUG: what acquire answers instead of a lease is not checked for tags
	serveExpired    bool // BUG: a softly invalidated value is served as a fresh one
	joinReads       bool // BUG: a GET in flight is joined

	share sharing // how flights share
}

// get is a Get by the lease protocol.
func get(m *keyed, x *explorer, s *State, i int) {
	switch s.r[i].pc {
	case idle:
		if m.get.joinReads {
			m.readSlowly(x, s, i)
			return
		}
		t := *s
		t.r[i].floor = s.floor
		m.read(x, &t, i)
	case reading:
		t := *s
		m.read(x, &t, i)
	case inTransit:
		m.readReply(x, s, i)
	case checking:
		m.checkTag(x, s, i)
	case joining:
		m.join(x, s, i)
	case joined:
		m.resolve(x, s, i)
	case acquiring:
		m.acquire(x, s, i)
	case polling:
		m.poll(x, s, i)
	case proving:
		m.prove(x, s, i)
	case capturing:
		m.capture(x, s, i)
	case calling:
		m.call(x, s, i)
	case loading:
		m.load(x, s, i)
	case committing:
		m.commit(x, s, i)
	case committingLast:
		m.runCommit(x, s, i, s.r[i].okc)
	case rereading, replying:
		m.settle(x, s, i)
	case bypassing:
		m.bypass(x, s, i)
	}
}

// read is the Get's own read. t is the caller's to change.
func (m *keyed) read(x *explorer, t *State, i int) {
	p := &t.r[i]
	if m.get.share.on && t.pending {
		p.unleased, p.pc = true, joining
		m.step(x, t, "R%d does not read: an invalidation is pending", int8(i))
		return
	}
	switch k := t.rec.kind; {
	case k == value && m.tags:
		m.readTagged(x, t, i, "R%d GET v%d")
	case k == value, k == stale && m.get.serveExpired:
		m.hit(x, t, i)
	case k == stale && p.soft:
		val := t.rec.val
		p.bg, p.seen = true, t.rec.cid
		m.miss(p)
		m.step(x, t, "R%d returns stale v%d and refreshes", int8(i), val)
	default:
		p.seen = 0
		if k == stale {
			p.seen = t.rec.cid
		}
		if m.get.loadFirst {
			p.val = t.db
		}
		m.miss(p)
		m.step(x, t, "R%d GET misses", int8(i))
	}
}

// miss sends the reader to where a miss continues.
func (m *keyed) miss(p *reader) {
	p.pc = acquiring
	if m.get.share.on {
		p.pc = joining
	}
}

// hit answers with the record's value, and perhaps refreshes it early in the background.
func (m *keyed) hit(x *explorer, t *State, i int) {
	refresh := *t
	val := t.rec.val
	m.finish(t, i, val)
	m.step(x, t, "R%d hits v%d", int8(i), val)
	if m.get.noRefresh || t.bad != fine {
		return
	}
	p := &refresh.r[i]
	p.bg, p.seen = true, refresh.rec.cid
	m.miss(p)
	m.step(x, &refresh, "R%d hits v%d and starts an early refresh", int8(i), val)
}

// finish ends a Get with the answer val and checks invariant I. Of a background refresh it
// is the end, its Get has answered long ago. What a Get that is over knew is forgotten.
func (m *keyed) finish(t *State, i int, val int8) {
	p := &t.r[i]
	if !p.bg && val < p.floor {
		t.bad, t.culprit, p.val = brokenI, int8(i), val
		return
	}
	t.r[i] = reader{pc: done, soft: p.soft}
}

// quit ends a refresh that has nothing to do, and the flight it leads.
func (m *keyed) quit(x *explorer, s *State, i int, format string) {
	t := *s
	m.endFlight(&t, t.r[i].flight, false, 0)
	t.r[i] = reader{pc: done, soft: t.r[i].soft}
	m.step(x, &t, format, int8(i))
}

// acquire is the script acquire and what follows from each of its answers.
func (m *keyed) acquire(x *explorer, s *State, i int) {
	p, rec := &s.r[i], &s.rec
	busy := rec.tok != 0 && rec.live && (!p.swept || !m.get.invalidRobs)
	switch {
	case m.unleased(s, p):
		m.loadUnleased(x, s, i)
	case rec.kind == intent && p.bg:
		m.quit(x, s, i, "R%d acquire: W, gives up the refresh")
	case rec.kind == intent:
		m.loadUnleased(x, s, i)
	case rec.holdsValue() && rec.cid != p.seen:
		m.raced(x, s, i)
	case rec.kind == backoff, rec.holdsValue() && rec.tok == 0 && rec.live:
		if p.bg {
			m.quit(x, s, i, "R%d acquire: E, gives up the refresh")
		}
	case busy:
		m.busy(x, s, i)
	default:
		m.grant(x, s, i)
	}
}

// grant gives reader i the lease: over the value it saw, or in place of what is there.
func (m *keyed) grant(x *explorer, s *State, i int) {
	t := *s
	p := &t.r[i]
	p.tok = m.freshToken(s)
	if !t.rec.holdsValue() || (p.swept && m.get.invalidFlag) {
		t.rec = record{kind: lease}
	}
	t.rec.tok, t.rec.live = p.tok, true
	p.seen, p.swept = 0, false
	switch {
	case m.tags && !m.get.tagAtCommit:
		p.pc = capturing
	case m.get.share.callStep:
		p.pc = calling
	default:
		p.pc = loading
	}
	m.setWaiting(&t, p.flight, false)
	m.step(x, &t, "R%d acquire: lease t%d", int8(i), p.tok)
	if s.left.lateAcquires > 0 && s.lateAcq == 0 {
		m.retryAcquire(x, t, i)
	}
}

// raced is the answer H: the record is not the one that was read.
func (m *keyed) raced(x *explorer, s *State, i int) {
	t := *s
	p := &t.r[i]
	switch {
	case p.bg:
		m.quit(x, s, i, "R%d acquire: H, refreshed already")
	case m.tags && !m.get.uncheckedRaces:
		m.readTagged(x, &t, i, "R%d acquire: H v%d")
	case t.rec.kind == stale && !p.soft && !m.get.serveExpired:
		p.seen = t.rec.cid
		m.step(x, &t, "R%d acquire: H, softly invalidated, goes on from there", int8(i))
	case m.get.share.stages:
		m.startProof(x, &t, i, "R%d acquire: H v%d, the answer is on its way")
	default:
		val := t.rec.val
		m.endFlight(&t, p.flight, false, 0)
		m.finish(&t, i, val)
		m.step(x, &t, "R%d acquire: H, returns v%d", int8(i), val)
	}
}

// load is the loader: one read of the database, or an error.
func (m *keyed) load(x *explorer, s *State, i int) {
	p := &s.r[i]
	if m.get.loadFirst && !p.bg {
		t := *s
		t.r[i].pc = committing
		m.step(x, &t, "R%d uses v%d, read before the lease", int8(i), p.val)
		return
	}
	for _, val := range m.rows(s) {
		t := *s
		t.r[i].val, t.r[i].pc = val, committing
		m.countLoad(&t, i)
		m.step(x, &t, "R%d reads v%d from the database", int8(i), val)
	}
	if s.left.loadErrors > 0 {
		t := *s
		t.left.loadErrors--
		t.rec.release(p.tok)
		if p.flight != 0 {
			t.f[p.flight-1].over, t.f[p.flight-1].failed = true, true
		}
		t.r[i] = reader{pc: done, soft: p.soft}
		m.step(x, &t, "R%d loader fails, the key backs off", int8(i))
	}
}

// rows are the versions that a read of the database may find.
func (m *keyed) rows(s *State) []int8 {
	if m.replicaReads && s.lagging != s.db {
		return []int8{s.lagging, s.db}
	}
	return []int8{s.db}
}

// bypass loads without a lease and without a flight.
func (m *keyed) bypass(x *explorer, s *State, i int) {
	for _, val := range m.rows(s) {
		t := *s
		m.endFlight(&t, t.r[i].flight, false, val)
		m.finish(&t, i, val)
		m.step(x, &t, "R%d bypasses the cache, returns v%d", int8(i), val)
	}
}

// commit sends the commit of a load.
func (m *keyed) commit(x *explorer, s *State, i int) {
	if m.get.share.on {
		m.commitFlight(x, s, i)
		return
	}
	t := *s
	p := &t.r[i]
	if m.get.tagAtCommit {
		m.captureTag(&t, p)
	}
	val, tok := p.val, p.tok
	switch m.commitLoad(&t, tok, val, p.tag) {
	case older:
		m.goAgain(&t, i)
		m.step(x, &t, "R%d commit t%d: older than what is cached", int8(i), tok)
	case committed:
		m.finish(&t, i, val)
		m.step(x, &t, "R%d commit t%d accepted, returns v%d", int8(i), tok, val)
	default:
		m.finish(&t, i, val)
		m.step(x, &t, "R%d commit t%d refused, returns v%d", int8(i), tok, val)
	}
}

// goAgain sends a Get back to its own read; a refresh ends instead.
func (m *keyed) goAgain(t *State, i int) {
	p := t.r[i]
	next := reader{pc: reading, soft: p.soft, floor: p.floor, loads: p.loads, again: true}
	if p.bg {
		next = reader{pc: done, soft: p.soft}
	}
	next.after = p.after
	t.r[i] = next
}
