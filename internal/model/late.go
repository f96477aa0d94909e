package model

// A command that timed out is sent again, and its first copy may run long after the second:
// it sat in a socket. What the copy does then must be harmless.

// retryAcquire is the grant of t, and a copy of the acquire that is still in the network. It
// carries the same token, or one of its own if every attempt draws a new one.
func (m *keyed) retryAcquire(x *explorer, t State, i int) {
	t.left.lateAcquires--
	t.lateAcq = t.r[i].tok
	if !m.retryToken {
		t.lateAcq = m.freshToken(&t)
	}
	m.step(x, &t, "R%d acquire: lease t%d; a copy with t%d is late", int8(i), t.r[i].tok, t.lateAcq)
}

// expandLate runs the copies that are late.
func (m *keyed) expandLate(x *explorer, s *State) {
	if s.late != 0 {
		m.expandLateTag(x, s)
	}
	if s.lateAcq != 0 {
		t := *s
		t.lateAcq = 0
		if r := &t.rec; r.kind == none || (r.kind == lease && !r.live) {
			*r = record{kind: lease, tok: s.lateAcq, live: true}
		}
		m.step(x, &t, "the late copy of the acquire runs: t%d", s.lateAcq)
	}
	if s.lateBeg != 0 {
		t := *s
		t.lateBeg = 0
		token := int(s.lateBeg) - 1
		if !m.retryToken {
			token += maxWriters // a token of that attempt's own, which no wend will bring
		}
		t.rec.begin(token, m.intents)
		m.step(x, &t, "the late copy of W%d's wbegin runs", s.lateBeg-1)
	}
	if s.lateEnd != 0 {
		t := *s
		t.lateEnd, t.lateVal = 0, 0
		t.rec.end(int(s.lateEnd)-1, s.lateVal, m.freshToken(s), 0, m.intents)
		m.step(x, &t, "the late copy of W%d's wend runs", s.lateEnd-1)
	}
}

// expandLateTag runs the second copy of a command that replaced the tag token: a SET of a
// token that the client made brings that token back, the script mints another one.
func (m *keyed) expandLateTag(x *explorer, s *State) {
	t := *s
	t.late = 0
	if m.clientTokens {
		t.tag = s.late
	} else {
		t.tag = m.freshTag(s)
	}
	m.step(x, &t, "a late copy of the tag command runs: token %d", t.tag)
}

// lateVariants are commands that run twice.
func lateVariants() []Variant {
	acquires := keyed{
		reader: get, programs: by(writeInvalidate),
		left: faults{evictions: 1, deadlines: 1, lateAcquires: 1},
	}
	intents := keyed{
		reader: get, programs: by(writeIntent, writeInvalidate), intentOutlivesTx: true,
		left: faults{deadlines: 1, lateIntents: 2},
	}
	sameToken, sameIntent := acquires, intents
	sameToken.retryToken, sameIntent.retryToken = true, true
	lost := sameIntent
	lost.left.lateIntents = 1
	return []Variant{
		{
			Number: "56", Breaks: "IQ",
			Sentence: "acquire is retried with the same token, its first copy runs after an invalidation",
			keyed:    sameToken,
		},
		{
			Number:   "56a",
			Sentence: "each attempt of acquire has a token of its own",
			keyed:    acquires,
		},
		{
			Number: "57", Breaks: "IQ",
			Sentence: "late copies of both wbegin and wend populate an old value",
			keyed:    sameIntent,
		},
		{
			Number: "57b", Breaks: "IQ",
			Sentence: "a late copy of wbegin restores an intent that was lost, without its conflict",
			keyed:    lost,
		},
		{
			Number:   "57a",
			Sentence: "each attempt of wbegin has a token of its own",
			keyed:    intents,
		},
	}
}
