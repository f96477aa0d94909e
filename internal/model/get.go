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
	endless         bool // BUG: rounds and acquires are not counted
	staleFloor      bool // BUG: the version of a record counts although it has to be loaded again
	cutIsChanged    bool // BUG: acquire answers H about a record that it cannot compare

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
		t.r[i].floor, t.r[i].round = s.floor, 1
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
		m.share(x, s, i)
	case attending:
		m.attend(x, s, i)
	case sleeping:
		m.sleep(x, s, i)
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
		m.commitReply(x, s, i)
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
	rec := &t.rec
	switch {
	case rec.serves() && m.tags:
		m.readTagged(x, t, i, "R%d GET v%d")
	case rec.serves(), rec.stale() && m.get.serveExpired:
		m.hit(x, t, i)
	case rec.stale() && p.soft && !rec.garbled:
		val := rec.val
		p.bg, p.seen = true, rec.cid
		m.miss(p)
		m.step(x, t, "R%d returns stale v%d and refreshes", int8(i), val)
	default:
		m.see(rec, p)
		if m.get.loadFirst {
			p.val = t.db
		}
		m.miss(p)
		m.step(x, t, "R%d GET misses", int8(i))
	}
}

// see is what p keeps of a record that it cannot be given. Whether a value that is only
// there for an error decodes is not looked at before it is needed.
func (m *keyed) see(rec *record, p *reader) {
	p.seen, p.fallback = 0, nothing
	switch {
	case !rec.holdsValue():
		return
	case rec.stale() && p.onError && rec.garbled:
		p.fallback = undecodable
	case rec.stale() && p.onError:
		p.fallback = decodes
	case rec.fresh || p.soft:
		p.swept = rec.garbled && m.get.invalidFlag
	}
	p.seen = rec.cid
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
	m.answer(t, i, val)
	m.step(x, t, "R%d hits v%d", int8(i), val)
	if m.get.noRefresh || t.bad != fine {
		return
	}
	p := &refresh.r[i]
	p.bg, p.seen = true, refresh.rec.cid
	m.miss(p)
	m.step(x, &refresh, "R%d hits v%d and starts an early refresh", int8(i), val)
}

// answer ends a Get with val and checks invariant I. Of a background refresh it is the end,
// its Get has answered long ago.
func (m *keyed) answer(t *State, i int, val int8) {
	p := &t.r[i]
	if !p.bg && val < p.floor {
		p.val = val
		m.breaks(t, brokenI, i)
		return
	}
	t.r[i] = p.over()
}

// yields says that reader i is a refresh that ends when somebody else is at the key, because
// nobody has joined its flight.
func (m *keyed) yields(s *State, i int) bool {
	if !s.r[i].bg {
		return false
	}
	for k := range m.readers {
		if s.r[k].pc == joined && s.r[k].flight == s.r[i].flight {
			return false
		}
	}
	return true
}

// yield ends a refresh because somebody else is at the key, and the flight it leads.
func (m *keyed) yield(x *explorer, s *State, i int, what string) {
	t := *s
	m.finishFlight(&t, t.r[i].flight, abandoned, 0)
	m.proceed(x, &t, i, abandoned, yes, 0, what)
}

// acquire is the script acquire and what follows from each of its answers.
func (m *keyed) acquire(x *explorer, s *State, i int) {
	p, rec := &s.r[i], &s.rec
	busy := rec.tok != 0 && rec.live && (!p.swept || !m.get.invalidRobs)
	changed := rec.holdsValue() && rec.cid != p.seen ||
		m.get.cutIsChanged && (rec.kind == cutShort || rec.holdsValue() && rec.cid == 0)
	switch {
	case m.unleased(s, p):
		m.loadUnleased(x, s, i)
	case rec.kind == intent && rec.bars():
		m.barred(x, s, i)
	case changed:
		m.changed(x, s, i)
	case rec.backsOff():
		m.backOff(x, s, i)
	case busy:
		m.busy(x, s, i)
	default:
		m.grant(x, s, i)
	}
}

// barred is the answer W: a write is open.
func (m *keyed) barred(x *explorer, s *State, i int) {
	if m.yields(s, i) {
		m.yield(x, s, i, "R%d acquire: W")
		return
	}
	m.loadUnleased(x, s, i)
}

// backOff is the answer E: a load has failed.
func (m *keyed) backOff(x *explorer, s *State, i int) {
	t := *s
	m.finishFlight(&t, t.r[i].flight, backedOff, 0)
	m.proceed(x, &t, i, backedOff, yes, 0, "R%d acquire: E")
}

// sleep ends when the back-off has.
func (m *keyed) sleep(x *explorer, s *State, i int) {
	if s.rec.backsOff() {
		return
	}
	t := *s
	t.r[i].pc = reading
	m.step(x, &t, "R%d has slept", int8(i))
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
	m.countAcquire(&t, i)
	p.seen, p.swept, p.acquires = 0, false, 0
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

// changed is the answer H: the record is not the one that was read.
func (m *keyed) changed(x *explorer, s *State, i int) {
	t := *s
	p, rec := &t.r[i], &t.rec
	m.countAcquire(&t, i)
	switch {
	case m.yields(s, i):
		m.yield(x, s, i, "R%d acquire: H")
	case m.tags && rec.serves() && !m.get.uncheckedRaces:
		m.readTagged(x, &t, i, "R%d acquire: H v%d")
	case !rec.serves() && !(rec.stale() && (p.soft || m.get.serveExpired)):
		m.see(rec, p)
		m.step(x, &t, "R%d acquire: H, not to be served, goes on from there", int8(i))
	case m.get.share.stages:
		m.startProof(x, &t, i, "R%d acquire: H v%d, the answer is on its way")
	default:
		val := rec.val
		m.finishFlight(&t, p.flight, found, val)
		m.proceed(x, &t, i, found, yes, val, "R%d acquire: H")
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
		m.countLoad(&t, i)
		m.finishFlight(&t, p.flight, failed, 0)
		m.proceed(x, &t, i, failed, yes, 0, "R%d loader fails")
	}
}

// rows are the versions that a read of the database may find.
func (m *keyed) rows(s *State) []int8 {
	if m.replicaReads && s.lagging != s.db {
		return []int8{s.lagging, s.db}
	}
	return []int8{s.db}
}

// bypass loads without a lease.
func (m *keyed) bypass(x *explorer, s *State, i int) {
	for _, val := range m.rows(s) {
		t := *s
		m.countLoad(&t, i)
		m.finishFlight(&t, t.r[i].flight, loaded, val)
		m.proceed(x, &t, i, loaded, yes, val, "R%d bypasses the cache")
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
	val := p.val
	switch m.commitLoad(&t, p.tok, val, p.tag) {
	case older:
		m.proceed(x, &t, i, outdated, yes, val, "R%d commit: older than what is cached")
	case committed:
		m.proceed(x, &t, i, stored, yes, val, "R%d commit accepted")
	default:
		m.proceed(x, &t, i, loaded, yes, val, "R%d commit refused")
	}
}
