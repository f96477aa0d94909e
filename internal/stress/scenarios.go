package main

import "time"

// names are the scenarios in the order in which they are run.
var names = []string{"history", "tags", "eviction", "coldkey", "herd", "hotkey", "storm", "behind", "l1", "absorb", "chaos", "frozen"}

// scenarios are the long forms: history, tags, eviction and behind take length for each
// mode of the library, hot key, storm and L1 a sixth of it for each mode; chaos takes
// length, and frozen an eighteenth of it for each mode: 10 s of three minutes.
func scenarios(length time.Duration, seed uint64) map[string]scenario {
	const seconds = 3
	part := max(length/6, seconds*time.Second)
	return map[string]scenario{
		"history":  historyRun{ours: length, controls: part, gets: 100_000},
		"tags":     tagRun{historyRun{ours: length, controls: part, gets: 100_000}},
		"eviction": historyRun{ours: length, controls: part, gets: 100_000, evicted: 10_000},
		"coldkey":  coldKey(30),
		"herd":     herd(20),
		"hotkey":   hotKeyRun{length: part, strict: true},
		"storm":    stormRun{length: part, readers: 250, strict: true},
		"l1":       nearRun{length: part, gets: 100_000},
		"absorb":   absorbRun{workers: 20, rate: 100_000, length: part},
		"behind":   behindRun{length: length, keys: 200, workers: 3, every: 300 * time.Millisecond},
		"chaos":    chaosRun{length: length, seed: seed, calm: chaosCalm(length), worst: 2 * time.Second},
		"frozen":   frozenRun{length: max(length/18, seconds*time.Second)},
	}
}

// chaosCalm is the least time between two faults: what a long run can spare.
func chaosCalm(length time.Duration) time.Duration {
	return min(max(length/10, 2*time.Second), 4*time.Second)
}

// shortScenarios take some seconds each, on whatever machine: figures that only a quiet
// one reaches are not asked for.
func shortScenarios(seed uint64) map[string]scenario {
	cold, crowded := coldKey(5), herd(5)
	cold.strict, crowded.strict = false, false
	crowded.median, crowded.worst = 5, 10 // callers who load one after the other take hundreds
	return map[string]scenario{
		"history":  historyRun{ours: 3 * time.Second, controls: time.Second, gets: 1000},
		"tags":     tagRun{historyRun{ours: 3 * time.Second, controls: time.Second, gets: 1000}},
		"eviction": historyRun{ours: 2 * time.Second, controls: time.Second, gets: 1000, evicted: 1000},
		"coldkey":  cold,
		"herd":     crowded,
		"hotkey":   hotKeyRun{length: 2 * time.Second},
		"storm":    stormRun{length: 2 * time.Second, readers: 50},
		"l1":       nearRun{length: 4 * time.Second, gets: 1000},
		"absorb":   absorbRun{workers: 20, rate: 100_000, length: 3 * time.Second},
		"behind":   behindRun{length: 3 * time.Second, keys: 200, workers: 2, every: 500 * time.Millisecond},
		"chaos":    chaosRun{length: 9 * time.Second, seed: seed, calm: 1500 * time.Millisecond, worst: 500 * time.Millisecond},
		"frozen":   frozenRun{length: time.Second},
	}
}

// coldKey is one load for 8 processes of 128 callers.
func coldKey(rounds int) herdRun {
	return herdRun{title: "Cold key", workers: 8, callers: 128, rounds: rounds, controls: 3, load: 20 * time.Millisecond, strict: true}
}

// herd is coldKey with bounds on what it takes.
func herd(rounds int) herdRun {
	return herdRun{
		title: "Herd", workers: 4, callers: 250, rounds: rounds, controls: 3, load: 50 * time.Millisecond,
		strict: true, median: 1.3, worst: 1.6,
	}
}
