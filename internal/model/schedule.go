package model

import "hash/maphash"

// schedule is the system around write-behind: one key, callers who put it, two workers that
// bring it to a sink, a flush, and an operator with a dead letter. Values are numbered in the
// order in which they were acknowledged, and a put's number is its version and its time.
type schedule struct {
	left scheduleFaults

	noFence    bool // BUG: the sink takes an older version over a newer one
	silent     bool // BUG: the sink does not say that it had a newer one
	blindAck   bool // BUG: ack does not look whether the key was put again
	keepLate   bool // BUG: a worker whose claim was lost leaves its value to readers
	ackTime    bool // BUG: a key that was put again is dirty since its ack
	keepLetter bool // BUG: a put leaves the key's dead letter where it is
	blindQueue bool // BUG: a letter is requeued whatever is there
	unmarked   bool // BUG: an Update leaves the key's letter as it is
}

// scheduleFaults counts what may still happen.
type scheduleFaults struct {
	puts, updates    int8
	expiries         int8 // leases that are over while their workers go on
	crashes          int8 // workers that forget what they have
	failures, deaths int8 // calls of the sink; values that are given up for one
	requeues         int8
	restores         int8 // Redis comes back with the first put, when the sink has the last
}

const scheduleWorkers = 2

// Places of a worker, and of the flush.
const (
	looking int8 = iota
	holding      // has claimed the key
	knowing      // has read its value
	having       // the sink has it, or had a newer one
	failing      // the sink has failed
)

// scheduleWorker is one.
type scheduleWorker struct {
	pc, ver  int8
	hadNewer bool
}

// scheduleState is a state of it.
type scheduleState struct {
	left      scheduleFaults
	last      int8 // number that was given last
	acked     int8 // newest that was acknowledged
	rec       int8 // version in the record, 0 none
	dirty     bool // it is a dirty one
	scheduled bool
	since     int8 // from when on the key is dirty
	claim     int8 // worker, plus one, who holds the key; 0: it is due
	letter    int8 // version of the dead letter, 0 none
	marked    bool // it is not to be requeued
	val, ver  int8 // what the sink has: the value, and the version it compares with
	flush     int8 // 0 not begun, 1 waits, 2 is over
	began     int8 // when it did, which is what was newest then
	early     bool // it was too early
	given     int8 // newest that was given up: nobody waits for it
	w         [scheduleWorkers]scheduleWorker
}

func (m *schedule) initial() any { return &scheduleState{left: m.left} }

func (m *schedule) fingerprint(s any, seed maphash.Seed) uint64 {
	return maphash.Comparable(seed, *s.(*scheduleState))
}

func (m *schedule) violation(state any) string {
	s := state.(*scheduleState)
	idle := s.w == [scheduleWorkers]scheduleWorker{}
	queued := s.dirty && s.scheduled && s.rec >= s.acked
	switch {
	case s.val < s.acked && !queued && s.letter != s.acked:
		return "S: an acknowledged value is neither in the sink nor on its way, nor a letter"
	case s.dirty != s.scheduled || s.scheduled && s.letter != 0:
		return "S: a record that is dirty and not in the schedule, or the other way round, or a letter beside it"
	case s.early:
		return "F: a flush has returned before the sink had what was acknowledged before it began"
	case idle && !s.scheduled && s.letter == 0 && s.val != s.acked:
		return "Q: at rest the sink has something else than what was acknowledged last"
	case idle && !s.scheduled && s.rec != 0 && s.rec != s.val:
		return "Q: at rest readers are given something else than what the sink has"
	}
	return ""
}

func (m *schedule) expand(state any, x *explorer) {
	s := state.(*scheduleState)
	m.expandCallers(x, s)
	for i := range scheduleWorkers {
		m.expandWorker(x, s, i)
	}
	m.expandFaults(x, s)
}

// expandCallers are puts, an Update, the flush and the operator.
func (m *schedule) expandCallers(x *explorer, s *scheduleState) {
	if s.left.puts > 0 {
		t := *s
		t.left.puts--
		t.last++
		t.acked, t.rec, t.dirty = t.last, t.last, true
		if !t.scheduled {
			t.scheduled, t.since, t.claim = true, t.last, 0
		}
		if !m.keepLetter {
			t.letter, t.marked = 0, false
		}
		x.step(&t, "v%d put", t.last)
	}
	if s.left.updates > 0 && !s.scheduled {
		t := *s
		t.left.updates--
		t.last++
		t.acked, t.rec, t.val = t.last, 0, t.last // past the cache: the version that the sink compares stays
		t.marked = t.letter != 0 && !m.unmarked
		x.step(&t, "Update writes v%d, and removes the entry", t.last)
	}
	if s.left.requeues > 0 && s.letter != 0 && (m.blindQueue || !s.dirty) && !s.marked {
		t := *s
		t.left.requeues--
		t.rec, t.dirty, t.scheduled, t.since, t.claim, t.letter = t.letter, true, true, t.last, 0, 0
		x.step(&t, "letter of v%d requeued", t.rec)
	}
	t := *s
	switch {
	case s.flush == 0:
		t.flush, t.began = 1, s.acked
		x.step(&t, "a flush begins")
	case s.flush == 1 && (!s.scheduled || s.since > s.began):
		t.flush, t.early = 2, s.val < s.began && s.given < s.began
		x.step(&t, "the flush returns")
	}
}

// expandWorker claims, reads, writes and settles.
func (m *schedule) expandWorker(x *explorer, s *scheduleState, i int) {
	t, me := *s, int8(i)
	w := &t.w[i]
	switch w.pc {
	case looking:
		if s.scheduled && s.claim == 0 {
			t.claim, w.pc = me+1, holding
			x.step(&t, "P%d claims the key", me)
		}
	case holding:
		if w.pc, w.ver = knowing, s.rec; !s.dirty {
			*w = scheduleWorker{} // somebody has settled it: the claim is not this one's any more
		}
		x.step(&t, "P%d reads v%d", me, s.rec)
	case knowing:
		if w.pc, w.hadNewer = having, s.ver > w.ver; s.ver < w.ver || m.noFence {
			t.val, t.ver = w.ver, w.ver
		}
		x.step(&t, "P%d writes v%d, the sink has v%d", me, s.w[i].ver, t.val)
		if s.left.failures > 0 {
			t := *s
			t.left.failures--
			t.w[i].pc = failing
			x.step(&t, "P%d fails with v%d", me, s.w[i].ver)
		}
	case having:
		m.ack(&t, i)
		x.step(&t, "P%d acknowledges v%d", me, s.w[i].ver)
	case failing:
		if *w = (scheduleWorker{}); s.claim == me+1 {
			t.claim = 0
		}
		x.step(&t, "P%d has v%d tried again", me, s.w[i].ver)
		if s.left.deaths > 0 && s.claim == me+1 && s.rec == s.w[i].ver {
			t := *s
			t.left.deaths--
			t.w[i] = scheduleWorker{}
			t.letter, t.rec, t.dirty, t.scheduled, t.claim = s.rec, 0, false, false, 0
			t.given = max(t.given, s.rec)
			x.step(&t, "P%d gives v%d up", me, s.w[i].ver)
		}
	}
}

// ack is the script.
func (m *schedule) ack(t *scheduleState, i int) {
	w := t.w[i]
	t.w[i] = scheduleWorker{}
	if t.dirty && t.rec > w.ver && !m.blindAck {
		t.claim = 0
		if t.since = w.ver; m.ackTime {
			t.since = t.last + 1
		}
		return
	}
	late := t.claim != int8(i)+1 && !m.keepLate
	t.scheduled, t.claim = false, 0
	if t.dirty && (t.rec != w.ver || w.hadNewer && !m.silent || late) {
		t.rec = 0
	}
	t.dirty = false
}

func (m *schedule) expandFaults(x *explorer, s *scheduleState) {
	if s.left.expiries > 0 && s.scheduled && s.claim != 0 {
		t := *s
		t.left.expiries--
		t.claim = 0
		x.step(&t, "the lease is over")
	}
	for i := range scheduleWorkers {
		if s.left.crashes > 0 && s.w[i].pc != looking {
			t := *s
			t.left.crashes--
			t.w[i] = scheduleWorker{}
			x.step(&t, "P%d dies", int8(i))
		}
	}
	if s.left.restores > 0 && s.last > 1 && s.val == s.acked && !s.scheduled && s.letter == 0 {
		t := *s
		t.left.restores--
		t.rec, t.dirty, t.scheduled, t.since, t.claim = 1, true, true, 1, 0
		x.step(&t, "Redis comes back with v1")
	}
}
