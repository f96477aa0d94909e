package model

// writeVersionedTagged is a versioned write of a tagged value. early says whether the token
// is captured before the row is committed.
func writeVersionedTagged(early bool) writeProgram {
	return func(m *keyed, x *explorer, s *State, j int) {
		switch t := *s; s.w[j].pc {
		case 0:
			if early && s.w[j].tag == 0 {
				m.captureWrite(x, s, j, 0)
				return
			}
			m.commitRow(x, s, j, false)
		case 1:
			if s.w[j].tag == 0 {
				m.captureWrite(x, s, j, 1)
				return
			}
			t.rec.setv(t.w[j].val, m.freshToken(s), t.w[j].tag, setvRules{})
			m.returns(x, &t, j, "W%d setv, v%d is acknowledged")
		}
	}
}

// writeIntentTagged is Update or Set of a tagged value under an intent.
func writeIntentTagged(early bool) writeProgram {
	return func(m *keyed, x *explorer, s *State, j int) {
		switch t := *s; s.w[j].pc {
		case 0:
			t.rec.begin(j, m.intents)
			t.w[j].pc = afterBegin
			m.step(x, &t, "W%d wbegin", int8(j))
		case afterBegin:
			if early && s.w[j].tag == 0 {
				m.captureWrite(x, s, j, afterBegin)
				return
			}
			m.commitRow(x, s, j, false)
		case 2:
			if s.w[j].tag == 0 {
				m.captureWrite(x, s, j, 2)
				return
			}
			t.rec.end(j, t.w[j].val, m.freshToken(s), t.w[j].tag, m.intents)
			m.returns(x, &t, j, "W%d wend, v%d is acknowledged")
		}
	}
}

// captureWrite captures the tag token for writer j, minting a missing one.
func (m *keyed) captureWrite(x *explorer, s *State, j int, next uint8) {
	t := *s
	if t.tag == 0 {
		t.tag = m.freshTag(s)
	}
	t.w[j].tag, t.w[j].pc = t.tag, next
	m.step(x, &t, "W%d captures tag token %d", int8(j), t.tag)
}

// taggedWriteVariants are writes that store a tagged value, beside an invalidated tag.
func taggedWriteVariants() []Variant {
	model := func(program writeProgram) keyed {
		return keyed{
			reader: get, programs: by(program, writeTagged), tags: true, warm: true,
			get:  getRules{invalidFlag: true},
			left: faults{evictions: 1, deadlines: 1, tagEvictions: 1},
		}
	}
	return []Variant{
		{
			Number:   "54",
			Sentence: "setv of a tagged value, its token captured before the row is committed",
			keyed:    model(writeVersionedTagged(true)),
		},
		{
			Number: "54a", Breaks: "IQ",
			Sentence: "the same, captured after the commit, as change-data-capture must",
			keyed:    model(writeVersionedTagged(false)),
		},
		{
			Number:   "55",
			Sentence: "wend of a tagged value, its token captured before the row is committed",
			keyed:    model(writeIntentTagged(true)),
		},
		{
			Number: "55a", Breaks: "IQ",
			Sentence: "the same, captured before wend only",
			keyed:    model(writeIntentTagged(false)),
		},
	}
}
