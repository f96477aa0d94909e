package model

// leaseVariants are the protocols of a fill: what has to be fenced, and against what.
func leaseVariants() []Variant {
	inv, twice := by(writeInvalidate), faults{evictions: 2, deadlines: 2}
	return []Variant{
		{
			Number: "1", Breaks: "I",
			Sentence: "cache-aside without protection: commit, DEL against GET, load, SET",
			keyed:    keyed{reader: getNaive, programs: inv},
		},
		{
			Number: "2", Breaks: "I",
			Sentence: "the same, DEL before the commit",
			keyed:    keyed{reader: getNaive, programs: by(writeDeleteFirst)},
		},
		{
			Number: "3", Breaks: "I",
			Sentence: "delayed double delete, the write returns before the second",
			keyed:    keyed{reader: getNaive, programs: by(writeDouble(false))},
		},
		{
			Number: "4", Breaks: "I",
			Sentence: "delayed double delete, the write waits for the second",
			keyed:    keyed{reader: getNaive, programs: by(writeDouble(true))},
		},
		{
			Number: "5", Breaks: "I",
			Sentence: "SET NX lock with compare-and-delete, plain SET of the value",
			keyed:    keyed{reader: getLocked, programs: inv, left: faults{deadlines: 1}},
		},
		{
			Number:   "6",
			Sentence: "lease; two evictions, two lease deadlines",
			keyed:    keyed{reader: get, programs: inv, left: twice},
		},
		{
			Number:   "6L",
			Sentence: "lease, nobody writes, nothing fails: one loader",
			keyed:    keyed{reader: get, programs: by(writeNothing), checkL: true},
		},
		{
			Number: "6L'", Breaks: "L",
			Sentence: "lease: an invalidation lets a second loader in",
			keyed:    keyed{reader: get, programs: inv, checkL: true},
		},
		{
			Number: "7", Breaks: "I",
			Sentence: "commit on a missing record",
			keyed:    keyed{reader: get, programs: inv, get: getRules{commitOnMissing: true}},
		},
		{
			Number: "8", Breaks: "IQ",
			Sentence: "commit asks for any lease instead of its own",
			keyed: keyed{
				reader: get, programs: inv,
				get: getRules{anyToken: true, unversioned: true}, left: faults{deadlines: 1},
			},
		},
		{
			Number: "9", Breaks: "I",
			Sentence: "the database is read before acquire",
			keyed:    keyed{reader: get, programs: inv, get: getRules{loadFirst: true}},
		},
		{
			Number: "10", Breaks: "I",
			Sentence: "the loader reads a replica of the database that lags",
			keyed:    keyed{reader: get, programs: inv, replicaReads: true},
		},
		{
			Number: "11", Breaks: "I",
			Sentence: "lease, the invalidation before the commit",
			keyed:    keyed{reader: get, programs: by(writeDeleteFirst)},
		},
		{
			Number: "12", Breaks: "Q",
			Sentence: "lease, the writer crashes between commit and invalidation",
			keyed:    keyed{reader: get, programs: inv, left: faults{crashes: 1}},
		},
		{
			Number: "13", Breaks: "IQ",
			Sentence: "lease, failover of Redis with asynchronous replication",
			keyed:    keyed{reader: get, programs: inv, left: faults{failovers: 1}},
		},
		{
			Number:   "14",
			Sentence: "lease, failover, a write waits for the only replica",
			keyed: keyed{
				reader: get, programs: inv, waitReplica: true, left: faults{failovers: 1},
			},
		},
	}
}
