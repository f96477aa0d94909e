package model

// writeVariants are the protocols of a write that stores or guards the record.
func writeVariants() []Variant {
	once := faults{evictions: 1, deadlines: 1}
	setv, counting := writeVersioned(setvRules{}), writeCounting(true)
	return []Variant{
		{
			Number: "15", Breaks: "I",
			Sentence: "commit, then set: two writers",
			keyed:    keyed{reader: get, programs: by(writeSet(false))},
		},
		{
			Number:   "16",
			Sentence: "setv that creates, nothing is evicted",
			keyed: keyed{
				reader:   get,
				programs: by(writeVersioned(setvRules{create: true, overLease: true})),
			},
		},
		{
			Number: "17", Breaks: "I",
			Sentence: "setv that creates, one eviction",
			keyed: keyed{
				reader: get, programs: by(writeVersioned(setvRules{create: true})),
				left: faults{evictions: 1},
			},
		},
		{
			Number: "18", Breaks: "I",
			Sentence: "setv over a record that is only a lease",
			keyed: keyed{
				reader: get, programs: by(writeVersioned(setvRules{overLease: true})),
				left: faults{evictions: 1},
			},
		},
		{
			Number:   "19",
			Sentence: "setv that only updates; two evictions, two lease deadlines",
			keyed: keyed{
				reader: get, programs: by(setv),
				left: faults{evictions: 2, deadlines: 2},
			},
		},
		{
			Number:   "20",
			Sentence: "counted intents, nothing populated",
			keyed:    keyed{reader: get, programs: by(writeCounting(false)), left: once},
		},
		{
			Number:   "21",
			Sentence: "counted intents, populated without overlap",
			keyed:    keyed{reader: get, programs: by(counting), left: once},
		},
		{
			Number: "22", Breaks: "Q",
			Sentence: "counted intents, a crash: an intent that ended lets another's be removed",
			keyed: keyed{
				reader: get, programs: by(counting), intentOutlivesTx: true,
				left: faults{deadlines: 1, crashes: 1},
			},
		},
		{
			Number:   "22b",
			Sentence: "set of intents, a crash, intents outlive transactions",
			keyed: keyed{
				reader: get, programs: by(writeIntent), intentOutlivesTx: true,
				left: faults{deadlines: 1, crashes: 1},
			},
		},
		{
			Number:   "22c",
			Sentence: "set of intents, one eviction, no crash",
			keyed:    keyed{reader: get, programs: by(writeIntent), left: once},
		},
		{
			Number: "23", Breaks: "Q",
			Sentence: "intents, a crash, the intent may be evicted",
			keyed: keyed{
				reader: get, programs: by(counting),
				left: faults{deadlines: 1, crashes: 1, evictions: 1},
			},
		},
		{
			Number:   "40",
			Sentence: "Update beside invalidate",
			keyed:    keyed{reader: get, programs: by(writeIntent, writeInvalidate), left: once},
		},
		{
			Number:   "41",
			Sentence: "setv beside invalidate",
			keyed:    keyed{reader: get, programs: by(setv, writeInvalidate), left: once},
		},
		{
			Number:   "42",
			Sentence: "setv beside Update",
			keyed:    keyed{reader: get, programs: by(setv, writeIntent), left: once},
		},
		{
			Number: "43", Breaks: "IQ",
			Sentence: "Update beside an invalidate that does not mark the intent",
			keyed:    keyed{reader: get, programs: by(writeIntent, writeUnmarked)},
		},
	}
}
