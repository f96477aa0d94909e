package model

// flightVariants are the rules of who shares a load: proofs per stage, (b), detached flights,
// and that nobody waits for more than two loads.
func flightVariants() []Variant {
	rules := sharing{on: true, split: true, seal: true, callStep: true, ruleB: true}
	staged := rules
	staged.stages, staged.impatient = true, true
	model := func(o sharing, left faults, programs ...writeProgram) keyed {
		return keyed{
			reader: get, programs: programs, warm: true, left: left,
			get: getRules{share: o, noRefresh: true},
		}
	}
	with := func(o sharing, change func(*sharing)) sharing {
		change(&o)
		return o
	}
	once := faults{evictions: 1, deadlines: 1}
	any := func(o *sharing) { o.anyResult = true }
	return append([]Variant{
		{
			Number:   "60",
			Sentence: "shared after an accepted commit, or if the loader was called after the call began",
			keyed:    model(rules, once, writeInvalidate),
		},
		{
			Number: "60a", Breaks: "I",
			Sentence: "any uncommitted result is shared with all joiners",
			keyed:    model(with(rules, any), once, writeInvalidate),
		},
		{
			Number:   "60b",
			Sentence: "loads without a lease beside open intents are shared by (b) alone",
			keyed:    model(rules, once, writeIntent),
		},
		{
			Number: "60c", Breaks: "I",
			Sentence: "loads without a lease are shared with all joiners",
			keyed:    model(with(rules, any), once, writeIntent),
		},
		{
			Number:   "60d",
			Sentence: "shared flights beside expire and setv",
			keyed:    model(staged, once, writeExpire(false), writeVersioned(setvRules{})),
		},
		{
			Number:   "63",
			Sentence: "what a poll or acquire finds is given to those who joined before it was sent",
			keyed: model(staged, faults{evictions: 1, deadlines: 1, loadErrors: 1},
				writeInvalidate),
		},
		{
			Number: "63a", Breaks: "I",
			Sentence: "what a poll or acquire finds is given to later joiners too",
			Readers:  3,
			keyed: model(with(staged, func(o *sharing) { o.lateJoiners, o.impatient = true, false }), faults{},
				writeInvalidate),
		},
	}, processVariants(model, with, rules, staged)...)
}

// processVariants have the writer in the readers' process, or count loads.
func processVariants(
	model func(sharing, faults, ...writeProgram) keyed,
	with func(sharing, func(*sharing)) sharing,
	rules, staged sharing,
) []Variant {
	outage := faults{evictions: 1, deadlines: 1, outages: 1}
	local := with(staged, func(o *sharing) { o.local = true })
	counted := func(o sharing) keyed {
		m := model(o, faults{evictions: 1, deadlines: 1}, writeInvalidate)
		m.checkW = true
		return m
	}
	endless := counted(with(staged, func(o *sharing) { o.alwaysWaits = true }))
	endless.left = faults{}
	// What other processes load counts for W' only: a call that has polled a load which
	// failed goes on waiting, round after round. Were it impatient from then on it would
	// load beside the one load that the fleet makes in each back-off (scenario 27).
	rivals := model(staged, faults{evictions: 1, deadlines: 1}, writeInvalidate)
	rivals.programs, rivals.left.rivals = by(writeNothing), 2
	tagged := model(with(staged, func(o *sharing) { o.reread = true }),
		faults{deadlines: 1, tagEvictions: 1}, writeTagged, writeInvalidate)
	tagged.tags, tagged.get.invalidFlag = true, true
	return []Variant{
		{
			Number:   "64",
			Readers:  2, // has been run with two only
			Sentence: "all rules of sharing with tags: a writer of the tag beside one of the key",
			keyed:    tagged,
		},
		{
			Number:   "61",
			Readers:  2, // three did not finish within four minutes
			Sentence: "an invalidation fails: flights are detached, the key is bypassed until it lands",
			keyed:    model(local, outage, writeInvalidate),
		},
		{
			Number: "61a", Breaks: "I",
			Sentence: "the same, flights are not detached",
			keyed: model(with(local, func(o *sharing) { o.noDetach = true }), outage,
				writeInvalidate),
		},
		{
			Number: "61b", Breaks: "I",
			Sentence: "the same, a flight led by an earlier caller still sends acquire",
			Readers:  3,
			keyed: model(with(local, func(o *sharing) { o.sendsPending, o.impatient = true, false }),
				faults{outages: 1}, writeInvalidate),
		},
		{
			Number:   "62",
			Sentence: "a caller waits once for a load that began before its call",
			keyed:    counted(staged),
		},
		{
			Number:   "62'",
			Sentence: "the same beside loads of other processes, of which it waits for one in each round",
			keyed:    rivals,
		},
		{
			Number: "62a", Breaks: "W", Readers: 3,
			Sentence: "a caller waits as often as it finds somebody loading",
			keyed:    endless,
		},
	}
}
