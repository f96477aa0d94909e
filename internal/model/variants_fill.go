package model

// fillVariants are the marked scripts: acquire with `invalid`, commits of absent rows, set
// and expire against loads under a lease.
func fillVariants() []Variant {
	return append(append(invalidVariants(), absentVariants()...), softVariants()...)
}

// invalidVariants are acquire with the flag that a record was found invalid.
func invalidVariants() []Variant {
	tagged := func(o getRules) keyed {
		return keyed{
			reader: get, programs: by(writeTagged), tags: true, warm: true, get: o,
			left: faults{evictions: 1, deadlines: 1, tagEvictions: 1},
		}
	}
	swept := func(o getRules) keyed {
		return keyed{
			reader: get, programs: by(writeNothing), tags: true, warm: true, staleTag: true,
			checkL: true, get: o,
		}
	}
	return []Variant{
		{
			Number:   "50",
			Sentence: "acquire(invalid) replaces a record with a wrong tag token by a lease",
			keyed:    tagged(getRules{invalidFlag: true}),
		},
		{
			Number: "50a", Breaks: "I",
			Sentence: "what acquire answers instead of a lease is returned without comparing tags",
			keyed:    tagged(getRules{invalidFlag: true, uncheckedRaces: true}),
		},
		{
			Number:   "50L",
			Sentence: "acquire(invalid) respects a lease in force: one loader",
			keyed:    swept(getRules{invalidFlag: true}),
		},
		{
			Number: "50L'", Breaks: "L",
			Sentence: "acquire(invalid) replaces the record without regard to its lease",
			keyed:    swept(getRules{invalidFlag: true, invalidRobs: true}),
		},
	}
}

// absentVariants are loads that find no row, beside versioned writes.
func absentVariants() []Variant {
	setv, once := writeVersioned(setvRules{}), faults{evictions: 1, deadlines: 1}
	model := func(o getRules, left faults, programs ...writeProgram) keyed {
		return keyed{reader: get, programs: programs, warm: true, get: o, left: left}
	}
	crash := model(getRules{absentRemoves: true}, faults{crashes: 1},
		writeDelete, writeInvalidate, writeIntent)
	crash.intentOutlivesTx, crash.crasher = true, 2
	unfenced := crash
	unfenced.get.removeUnfenced = true
	lagging := model(getRules{}, faults{}, setv, writeDelete)
	lagging.replicaReads = true
	return []Variant{
		{
			Number: "51", Writers: 3,
			Sentence: "absent commits skip the version floor, beside setv and a deletion",
			Readers:  2,
			keyed:    model(getRules{}, once, setv, writeDelete, setv),
		},
		{
			Number: "51a", Writers: 3,
			Sentence: "absent loads remove the record (px 0), beside setv and a deletion",
			Readers:  2,
			keyed:    model(getRules{absentRemoves: true}, once, setv, writeDelete, setv),
		},
		{
			Number: "51b", Breaks: "I",
			Sentence: "setv leaves the lease beside the value: an absent commit has no floor",
			keyed: model(getRules{}, once,
				writeDelete, writeVersioned(setvRules{keepLease: true})),
		},
		{
			Number: "51c", Breaks: "IQ",
			Sentence: "setv writes over an unversioned (absent) record instead of deleting it",
			keyed: model(getRules{}, once,
				writeDelete, writeVersioned(setvRules{overUnknown: true})),
		},
		{
			Number: "51d", Writers: 3,
			Sentence: "px 0 compares the token, beside intents and a crash",
			keyed:    crash,
		},
		{
			Number: "51e", Breaks: "Q", Writers: 3,
			Sentence: "px 0 removes whatever is there, an open intent too; a crash",
			keyed:    unfenced,
		},
		{
			Number: "51f", Breaks: "I",
			Sentence: "absent commits without a floor, loaders read a lagging replica",
			keyed:    lagging,
		},
	}
}

// softVariants are set and expire.
func softVariants() []Variant {
	once := faults{evictions: 1, deadlines: 1}
	model := func(soft int, o getRules, programs ...writeProgram) keyed {
		return keyed{
			reader: get, programs: programs, warm: true, get: o, left: once, soft: soft,
		}
	}
	expire := writeExpire(false)
	return []Variant{
		{
			Number:   "52",
			Sentence: "one writer that sets kills the leases of running loads",
			keyed:    model(0, getRules{}, writeSet(false), writeNothing),
		},
		{
			Number: "52a", Breaks: "I",
			Sentence: "set leaves the lease beside the value",
			keyed:    model(0, getRules{unversioned: true}, writeSet(true), writeNothing),
		},
		{
			Number: "52b", Breaks: "I",
			Sentence: "set beside a writer that invalidates",
			keyed:    model(0, getRules{}, writeSet(false), writeInvalidate),
		},
		{
			Number: "52c", Breaks: "I",
			Sentence: "set beside Update",
			keyed:    model(0, getRules{}, writeSet(false), writeIntent),
		},
		{
			Number:   "53",
			Sentence: "expire; readers without StaleWhileRevalidate beside one with it",
			keyed:    model(1, getRules{}, expire),
		},
		{
			Number: "53a", Breaks: "IQ",
			Sentence: "expire leaves the lease of a running load",
			keyed:    model(1, getRules{}, writeExpire(true)),
		},
		{
			Number: "53b", Breaks: "I",
			Sentence: "a softly invalidated value is served to readers without StaleWhileRevalidate",
			keyed:    model(1, getRules{serveExpired: true}, expire),
		},
		{
			Number:   "53c",
			Sentence: "expire beside Update",
			keyed:    model(1, getRules{}, expire, writeIntent),
		},
		{
			Number: "53d", Breaks: "I",
			Sentence: "expire beside a setv that makes the expired record fresh again",
			keyed:    model(1, getRules{}, expire, writeVersioned(setvRules{overStale: true})),
		},
		{
			Number:   "53e",
			Sentence: "expire beside a setv that removes an expired record",
			keyed:    model(1, getRules{}, expire, writeVersioned(setvRules{})),
		},
		{
			Number:   "53f",
			Sentence: "expire beside a setv that updates an expired record and leaves it expired",
			keyed:    model(1, getRules{}, expire, writeVersioned(setvRules{keepStale: true})),
		},
	}
}
