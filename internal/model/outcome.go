package model

// outcome is how a flight ended.
type outcome uint8

const (
	underWay  outcome = iota
	stored            // loaded and committed; a proof
	loaded            // loaded, not in Redis: no lease, or the commit was refused
	found             // another process's value, read by a poll or by acquire; a proof
	failed            // the loader's error
	outdated          // the record is fresh and of a newer version than what was loaded
	backedOff         // a load failed moments ago
	contended         // another process loads for longer than a caller waits
	abandoned         // there is no result: a refresh gave way; also the role of who only waits for the end
)

// proof says that a flight with this outcome ends with a command that proves its value.
func (o outcome) proof() bool { return o == stored || o == found }

// rounds is how often a call looks; each look-up is followed by at most one flight. In the
// last round a call is solo: it joins nobody, except where it is entitled to the result
// however the flight ends, asks for the lease once, and loads without it if it is not
// granted.
const rounds = 3

// acquires is how often a flight asks for the lease: first, after the record changed to
// one that cannot be served, and after one wait.
const acquires = 3

// step is what a call does after a flight.
type step uint8

const (
	never          step = iota // the table says that it cannot come to this
	answer                     // returns what the flight found
	lookAgain                  // the next round begins
	staleOrError               // returns its stale value, else the error
	waitOutBackoff             // returns its stale value, else sleeps and looks again, or returns the error
	staleOrSolo                // returns its stale value, else goes to the last round
)

// entitled is for whom a row of the table is.
type entitled uint8

const (
	all entitled = iota
	yes
	no
)

// table is what a call does after a flight, by its outcome, and by whether the call is
// entitled to what was found: by a proof sent after it had joined, or by a loader called
// after the call had begun.
var table = []struct {
	of    []outcome
	who   entitled
	early step // in rounds 1 and 2
	last  step // in round 3
}{
	{[]outcome{stored, loaded, found}, yes, answer, answer},
	{[]outcome{stored, loaded, found}, no, lookAgain, never},
	{[]outcome{failed}, all, staleOrError, staleOrError},
	{[]outcome{outdated}, all, lookAgain, answer}, // a fresh record is there
	{[]outcome{backedOff}, all, waitOutBackoff, staleOrError},
	{[]outcome{contended}, all, staleOrSolo, never},
	{[]outcome{abandoned}, all, lookAgain, never},
}

// steps is table as an array, by outcome, by who and by whether it is the last round.
var steps = func() (steps [abandoned + 1][no + 1][2]step) {
	for _, row := range table {
		for _, o := range row.of {
			for _, who := range []entitled{yes, no} {
				if row.who == all || row.who == who {
					steps[o][who] = [2]step{row.early, row.last}
				}
			}
		}
	}
	return steps
}()

// next is what a call does after a flight in the given round.
func (m *keyed) next(o outcome, who entitled, round int8) step {
	last := 0
	if round >= rounds && !m.get.endless {
		last = 1
	}
	return steps[o][who][last]
}

// proceed is what reader i does after a flight with this outcome and value. t is the
// caller's to change, what says in the trace how the reader learned of it.
func (m *keyed) proceed(x *explorer, t *State, i int, o outcome, who entitled, val int8, what string) {
	p := &t.r[i]
	if p.bg {
		t.r[i] = p.over()
		m.step(x, t, what+", ends the refresh", int8(i))
		return
	}
	switch next := m.next(o, who, p.round); {
	case next == never:
		m.breaks(t, brokenB, i)
		m.step(x, t, what+", in the last round", int8(i))
	case next == answer:
		m.answer(t, i, val)
		m.step(x, t, what+", returns v%d", int8(i), val)
	case next == lookAgain:
		m.lookAgain(t, i, p.round+1)
		m.step(x, t, what+", looks again", int8(i))
	case p.fallback == decodes:
		t.r[i] = p.over()
		m.step(x, t, what+", returns its stale value", int8(i))
	case next == staleOrSolo:
		round := int8(rounds)
		if m.get.endless {
			round = p.round + 1
		}
		m.lookAgain(t, i, round)
		m.step(x, t, what+", has no stale value, looks again", int8(i))
	default:
		m.returnError(x, t, i, next == waitOutBackoff, what)
	}
}

// returnError returns the error of a flight. That of a back-off is returned only by a call
// that may not sleep so long; the other one looks again afterwards.
func (m *keyed) returnError(x *explorer, t *State, i int, sleeps bool, what string) {
	asleep := *t
	t.r[i] = t.r[i].over()
	m.step(x, t, what+", returns the error", int8(i))
	if sleeps {
		m.lookAgain(&asleep, i, asleep.r[i].round+1)
		asleep.r[i].pc = sleeping
		m.step(x, &asleep, what+", sleeps", int8(i))
	}
}

// lookAgain sends the call of reader i to its own read, in the given round.
func (m *keyed) lookAgain(t *State, i int, round int8) {
	p := t.r[i]
	waited := p.waited
	if p.flight != 0 && p.pc != attending {
		f := &t.f[p.flight-1]
		waited = waited || f.calledLoader
	}
	t.r[i] = reader{
		pc: reading, soft: p.soft, onError: p.onError,
		waited: waited, floor: p.floor, loads: p.loads, round: round, after: p.after,
	}
	if round > rounds {
		m.breaks(t, brokenB, i)
	}
}

// solo says that p is in its last round.
func (m *keyed) solo(p *reader) bool { return p.round >= rounds && !m.get.endless }

// countAcquire notes that the flight of reader i has asked for the lease once more.
func (m *keyed) countAcquire(t *State, i int) {
	if t.r[i].acquires++; t.r[i].acquires > acquires {
		m.breaks(t, brokenB, i)
	}
}

// asked says that p has asked for the lease as often as it may.
func (m *keyed) asked(p *reader) bool {
	return !m.get.endless && (p.acquires >= acquires || p.acquires > 0 && m.solo(p))
}

// breaks notes that the last step of reader i broke an invariant.
func (m *keyed) breaks(t *State, b broken, i int) {
	if t.bad == fine {
		t.bad, t.culprit = b, int8(i)
	}
}
