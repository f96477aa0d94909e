package model

// sharingVariants are the ways in which one caller may be given what another one found.
func sharingVariants() []Variant {
	once := faults{evictions: 1, deadlines: 1}
	return []Variant{
		{
			Number: "25", Breaks: "I",
			Sentence: "singleflight that shares whatever was loaded",
			keyed: keyed{
				reader: get, programs: by(writeInvalidate),
				get: getRules{share: sharing{on: true, anyResult: true}},
			},
		},
		{
			Number:   "26",
			Sentence: "shared after an accepted commit, which ends the flight in the same step",
			keyed: keyed{
				reader: get, programs: by(writeInvalidate), warm: true, left: once,
				get: getRules{share: sharing{on: true}},
			},
		},
		{
			Number: "26b", Breaks: "I",
			Sentence: "the commit's answer is a step of its own, joined until it is processed",
			keyed: keyed{
				reader: get, programs: by(writeInvalidate), warm: true, left: once,
				get: getRules{share: sharing{on: true, split: true, lateJoiners: true}},
			},
		},
		{
			Number:   "26c",
			Sentence: "the same, the flight is sealed before the commit is sent",
			keyed: keyed{
				reader: get, programs: by(writeInvalidate), warm: true, left: once,
				get: getRules{share: sharing{on: true, split: true, seal: true}},
			},
		},
		{
			Number: "27", Breaks: "I",
			Sentence: "a caller joins another caller's GET in flight",
			keyed: keyed{
				reader: get, programs: by(writeInvalidate), warm: true,
				get: getRules{joinReads: true, share: sharing{on: true}},
			},
		},
	}
}

// tagVariants are the protocols around tag tokens.
func tagVariants() []Variant {
	tagged := func(o getRules, left faults) keyed {
		return keyed{reader: get, programs: by(writeTagged), tags: true, get: o, left: left}
	}
	shared := func(reread bool) keyed {
		return tagged(getRules{share: sharing{on: true, split: true, seal: true, reread: reread}},
			faults{evictions: 1, deadlines: 1, tagEvictions: 1})
	}
	late := tagged(getRules{}, faults{evictions: 1, deadlines: 1, tagEvictions: 1, lateCopies: 1})
	clientMade := late
	clientMade.clientTokens = true
	return []Variant{
		{
			Number:   "30",
			Sentence: "tags captured under the lease, a missing one minted; two tag evictions",
			keyed:    tagged(getRules{}, faults{evictions: 1, deadlines: 1, tagEvictions: 2}),
		},
		{
			Number: "31", Breaks: "I",
			Sentence: "the token is captured at the commit",
			keyed:    tagged(getRules{tagAtCommit: true}, faults{}),
		},
		{
			Number:   "32",
			Sentence: "a missing tag means never invalidated, none is evicted",
			keyed:    tagged(getRules{missingTagValid: true}, faults{}),
		},
		{
			Number: "33", Breaks: "I",
			Sentence: "the same, one tag is evicted",
			keyed:    tagged(getRules{missingTagValid: true}, faults{tagEvictions: 1}),
		},
		{
			Number: "34", Breaks: "I",
			Sentence: "tagged values shared after an accepted commit",
			keyed:    shared(false),
		},
		{
			Number:   "35",
			Sentence: "the same, the token is read again behind the seal",
			keyed:    shared(true),
		},
		{
			Number: "36", Breaks: "IQ",
			Sentence: "a late copy of the SET of a token that the client made",
			keyed:    clientMade,
		},
		{
			Number:   "37",
			Sentence: "a late copy of a command that mints in each execution",
			keyed:    late,
		},
	}
}
