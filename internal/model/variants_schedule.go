package model

// scheduleVariants are write-behind's schedule, and what each of its rules is for.
func scheduleVariants() []Variant {
	usual := scheduleFaults{puts: 3, expiries: 2, crashes: 1, failures: 2, deaths: 1, requeues: 1}
	with := func(change func(m *schedule)) *schedule {
		m := &schedule{left: usual}
		change(m)
		return m
	}
	return []Variant{
		{
			Number:   "100",
			Sentence: "write-behind: claims that end, crashes, puts meanwhile, failures, dead letters and their return",
			schedule: with(func(*schedule) {}),
		},
		{
			Number: "100a", Breaks: "QS",
			Sentence: "the sink does not compare versions",
			schedule: with(func(m *schedule) { m.noFence = true }),
		},
		{
			Number: "101", Breaks: "S",
			Sentence: "ack does not look whether the key was put again",
			schedule: with(func(m *schedule) { m.blindAck = true }),
		},
		{
			Number: "101a", Breaks: "F",
			Sentence: "a key that was put again while it was written counts as dirty since its ack",
			schedule: with(func(m *schedule) { m.ackTime = true }),
		},
		{
			Number: "102", Breaks: "S",
			Sentence: "a put leaves the dead letter of its key",
			schedule: with(func(m *schedule) { m.keepLetter = true }),
		},
		{
			Number: "102a", Breaks: "S",
			Sentence: "the same, and the letter is requeued over what is newer",
			schedule: with(func(m *schedule) { m.keepLetter, m.blindQueue = true, true }),
		},
		{
			Number:   "103",
			Sentence: "Redis comes back with the first put, and the sink says that it has a newer one",
			schedule: with(func(m *schedule) { m.left.restores, m.left.requeues = 1, 0 }),
		},
		{
			Number: "103a", Breaks: "Q",
			Sentence: "the same, the sink says nothing",
			schedule: with(func(m *schedule) { m.left.restores, m.silent = 1, true }),
		},
		{
			Number: "103b", Breaks: "Q",
			Sentence: "the same, and a worker that was paused since acknowledges that put",
			schedule: with(func(m *schedule) { m.left.restores, m.keepLate = 1, true }),
		},
		{
			Number:   "104",
			Sentence: "an Update past a dead letter, which is not requeued from then on; no worker is paused beyond its lease",
			schedule: with(func(m *schedule) { m.left.updates, m.left.puts, m.left.expiries = 1, 2, 0 }),
		},
		{
			Number: "104a", Breaks: "QS",
			Sentence: "the same, the letter is requeued nevertheless",
			schedule: with(func(m *schedule) { m.left.updates, m.left.puts, m.left.expiries, m.unmarked = 1, 2, 0, true }),
		},
	}
}
