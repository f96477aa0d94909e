package model

// liveVariants are the ways in which a call could go on without end: the loop of a call has
// three rounds, and a flight asks three times for the lease.
func liveVariants() []Variant {
	return append(append(versionVariants(), unservableVariants()...), waitVariants()...)
}

// staged are all rules of sharing, for one process beside others.
var staged = sharing{
	on: true, split: true, seal: true, callStep: true, ruleB: true, stages: true, impatient: true,
}

// versionVariants have a row whose version goes down twice, as a restored backup's, a lagging
// replica's, or that of a row that was deleted and inserted again.
func versionVariants() []Variant {
	model := func(o getRules) keyed {
		o.share = staged
		return keyed{
			reader: get, programs: by(writeRestore), warm: true, skipQ: true, checkW: true,
			get: o, left: faults{deadlines: 1, softEnds: 1},
		}
	}
	unbounded := model(getRules{staleFloor: true, endless: true})
	unbounded.checkW = false // which would be met first
	waiting := model(getRules{staleFloor: true})
	waiting.checkW, waiting.left.rivals, waiting.get.share.alwaysWaits = false, 1, true
	rivals := model(getRules{})
	rivals.checkW, rivals.left.rivals = false, 1
	beside := model(getRules{})
	beside.programs, beside.left.evictions = by(writeRestore, writeInvalidate), 1
	return []Variant{
		{
			Number:   "80",
			Sentence: "the row's version goes down: what has to be loaded again is replaced all the same",
			keyed:    model(getRules{}),
		},
		{
			Number:   "80'",
			Sentence: "the same, beside a writer that invalidates",
			keyed:    beside,
		},
		{
			Number:   "80''",
			Sentence: "the same, beside a load of another process",
			keyed:    rivals,
		},
		{
			Number: "80a", Breaks: "B",
			Sentence: "the version of a record counts for ever, and a call looks again without bound",
			keyed:    unbounded,
		},
		{
			Number: "80b", Breaks: "W",
			Sentence: "the version of a record counts for ever: a call makes all its three loads",
			keyed:    model(getRules{staleFloor: true}),
		},
		{
			Number: "80c", Breaks: "W'",
			Sentence: "the same, and in each round it waits for another process too",
			keyed:    waiting,
		},
	}
}

// unservableVariants have records that no look-up can serve.
func unservableVariants() []Variant {
	model := func(m keyed) keyed {
		m.reader, m.programs, m.warm = get, by(writeInvalidate, writeNothing), true
		m.get.share, m.get.invalidFlag, m.get.noRefresh = staged, true, true
		return m
	}
	garbled := func(endless bool) keyed {
		return model(keyed{
			garbled: true, onError: 2, get: getRules{endless: endless},
			left: faults{deadlines: 1, softEnds: 1, loadErrors: 1},
		})
	}
	cut := func(o getRules) keyed {
		return model(keyed{cutShort: true, get: o, left: faults{evictions: 1, deadlines: 1}})
	}
	unnamed := func(o getRules) keyed {
		return model(keyed{zeroCID: true, get: o, left: faults{deadlines: 1, softEnds: 1}})
	}
	return []Variant{
		{
			Number:   "81",
			Sentence: "a stale value that does not decode when it is needed: the call loads by itself",
			keyed:    garbled(false),
		},
		{
			Number: "81a", Breaks: "B",
			Sentence: "the same, the call looks again without bound",
			keyed:    garbled(true),
		},
		{
			Number:   "82",
			Sentence: "a record that is cut short (D) is replaced by a lease",
			keyed:    cut(getRules{}),
		},
		{
			Number: "82a", Breaks: "B",
			Sentence: "acquire answers H about it, and is asked without bound",
			keyed:    cut(getRules{cutIsChanged: true, endless: true}),
		},
		{
			Number:   "82b",
			Sentence: "acquire answers H about it, and is asked three times",
			keyed:    cut(getRules{cutIsChanged: true}),
		},
		{
			Number:   "82'",
			Sentence: "a stale record with the cid of no load is replaced like any other",
			keyed:    unnamed(getRules{}),
		},
		{
			Number: "82a'", Breaks: "B",
			Sentence: "acquire answers H about it, and is asked without bound",
			keyed:    unnamed(getRules{cutIsChanged: true, endless: true}),
		},
		{
			Number:   "82b'",
			Sentence: "acquire answers H about it, and is asked three times",
			keyed:    unnamed(getRules{cutIsChanged: true}),
		},
	}
}

// waitVariants have others that keep a call waiting.
func waitVariants() []Variant {
	model := func(m keyed) keyed {
		m.reader, m.warm = get, true
		m.get.share, m.get.invalidFlag, m.get.noRefresh = staged, true, true
		return m
	}
	held := func(soloJoins bool) keyed {
		m := model(keyed{
			programs: by(writeNothing), garbled: true, onError: 2,
			left: faults{deadlines: 1, softEnds: 1, rivals: 1},
		})
		m.get.share.soloJoins = soloJoins
		return m
	}
	backoffs := func(endless bool) keyed {
		return model(keyed{
			programs: by(writeNothing), onError: 1, get: getRules{endless: endless},
			left: faults{softEnds: 1, rivals: 3},
		})
	}
	return []Variant{
		{
			Number:   "83",
			Sentence: "another process loads for too long, a joiner has no stale value: its next round is its last",
			keyed:    held(false),
		},
		{
			Number: "83a", Breaks: "B",
			Sentence: "the same, a call in its last round joins another one's flight",
			keyed:    held(true),
		},
		{
			Number:   "84",
			Sentence: "the key backs off in each round: the third ends the call",
			keyed:    backoffs(false),
		},
		{
			Number: "84a", Breaks: "B",
			Sentence: "the same, a call sleeps and looks again without bound",
			keyed:    backoffs(true),
		},
	}
}

// intentVariants have a writer that dies and leaves its intent, and writers after it.
func intentVariants() []Variant {
	model := func(o intentRules) keyed {
		return keyed{
			reader: get, programs: by(writeIntent), ownDeadlines: true, intents: o,
			left: faults{crashes: 1},
		}
	}
	return []Variant{
		{
			Number: "85", Writers: 3,
			Sentence: "a writer dies on a key that others write: its intent ends by its own deadline",
			keyed:    model(intentRules{}),
		},
		{
			Number: "85a", Breaks: "E", Writers: 3,
			Sentence: "the same, each wbegin prolongs one deadline for all intents",
			keyed:    model(intentRules{common: true}),
		},
		{
			Number: "85b", Breaks: "IQ", Writers: 3,
			Sentence: "the same, what a dead intent overlapped is forgotten with it",
			keyed:    model(intentRules{forgetful: true}),
		},
	}
}
