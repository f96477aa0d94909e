package main

import (
	"fmt"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
)

// jsonPeers are the rows with encoding/json, which the same codec must beat where
// callers are many.
var jsonPeers = []string{"AutoPipeline", "go-redis/cache json", "rueidis"}

// targetList is what the library is to reach; see README.md for the reasons.
var targetList = []report.Target{
	hit(1, peers.SameCodec, 1.0), hit(1, peers.Default, 1.3),
	hit(16, peers.SameCodec, 1.2), hit(16, peers.Default, 2.4),
	hit(256, peers.SameCodec, 2.5, jsonPeers...), hit(256, peers.Default, 4),
	hit(1024, peers.SameCodec, 2.5, jsonPeers...), hit(1024, peers.Default, 4.8),
	{
		Work: "bytes of an L2 hit, " + title(1), Want: "≤ 2,500", Scenario: l2hitName, Section: title(1),
		Row: peers.Default, Metric: runner.Bytes, Bound: 2500,
	},
	delayed(1), delayed(4), delayed(16),
	cpu(peers.SameCodec, 0.65), cpu(peers.Default, 0.35),
	near(1, peers.NearPointerRow, "T a pointer", 2), near(16, peers.NearPointerRow, "T a pointer", 2.2),
	near(1, peers.NearRow, nearCopies, 2), near(16, peers.NearRow, nearCopies, 2.2), nearAllocs(1), nearAllocs(16),
	ofMiss(0, "≤ 1.4 × the floor's time", tookP50, 1.4), ofMiss(1, "≤ 1.7 × the floor's time", tookP50, 1.7),
	ofMiss(2, "≥ 0.72 × the floor's rate", runner.Rate, 0.72), ofMiss(3, "≥ 0.72 × the floor's rate", runner.Rate, 0.72),
	ofMiss(4, "≤ 1.1 × the floor's time", tookP50, 1.1), ofMiss(5, "≤ 1.1 × the floor's time", tookP50, 1.1),
	{
		Work: "cold miss, until the loader is done (all there would be without awaiting the commit)", Want: "≤ 1.2 × the floor's time",
		Scenario: "miss", Section: missTitle, Row: peers.Default, Metric: loadedP50, Against: tookP50, Bound: 1.2,
	},
	ofBatch(1, "≤ 1.15 × the floor's time", tookP50, true, 1.15), ofBatch(16, "≤ 1.25 × the floor's time", tookP50, true, 1.25),
	ofBatch(1, "≤ 400 KB allocated", runner.Bytes, false, 400_000), ofBatch(1, "3 exchanges", exchanges, false, 3), ofBatch(1, "1 loader call", loaderCalls, false, 1),
	ofHerd("1 load in each round", runner.Loads, 1, true), ofHerd("no errors", runner.Failures, 0, true), ofHerd("median round ≤ 1.3 × the loader", overLoad, 1.3, false), ofHerd("worst round ≤ 1.6 × the loader", overLoad, 1.6, true),
	ofHotKey("1 load per period: none within half a TTL of another", doubled, 0),
	ofHotKey("1 load per TTL (1.15)", loadsEach, 1.15),
	ofHotKey("at most the first caller ≥ 25 ms", slowEach, 0.1), ofHotKey("p99 ≤ 3 × that of a key that never expires", p99Ratio, 3),
	ofKill(keysTitle, "0 errors", failedShare, 0), ofKill(keysTitle, "p99 ≤ 150 ms + loader until the breaker opens", dyingP99, 150+millis(killLoad)),
	ofKill(keysTitle, "then p99 ≤ loader + 2 ms", deadP99, 2+millis(killLoad)), ofKill(keysTitle, "then p99 ≤ what the loader took + 2 ms", deadExtra, 2), ofKill(keysTitle, "hits within 2 s of the restart", backAfter, 2000),
	ofKill(oneKeyTitle, "0 errors", failedShare, 0), ofKill(oneKeyTitle, "dead: ≤ 2 × loader + 2 ms", deadP99, 2+2*millis(killLoad)), ofKill(oneKeyTitle, "dead: p99 ≤ 2 × what the loader took + 2 ms", deadExtra, 2),
	put("appendonly off"), put("appendonly everysec"), drain("appendonly off"), drain("appendonly everysec"),
}

func hit(callers int, row string, atLeast float64, beat ...string) report.Target {
	want := fmt.Sprintf("≥ %g × floor", atLeast)
	if len(beat) > 0 {
		want += ", above every peer with encoding/json"
	}
	return report.Target{
		Work: "L2 hit, " + title(callers) + ", " + row, Want: want, Scenario: l2hitName, Section: title(callers),
		Row: row, Metric: runner.Rate, Ratio: true, More: true, Bound: atLeast, Beat: beat,
	}
}

func delayed(callers int) report.Target {
	return report.Target{
		Work: "L2 hit 1 ms away, " + title(callers), Want: "p50 ≤ 1.1 × raw GET", Scenario: "delay", Section: title(callers),
		Row: peers.Default, Metric: runner.P50, Ratio: true, Bound: 1.1,
	}
}

func cpu(row string, atMost float64) report.Target {
	return report.Target{
		Work: "CPU of an L2 hit, 256 goroutines, " + row, Want: fmt.Sprintf("≤ %g × floor", atMost), Scenario: l2hitName,
		Section: title(256), Row: row, Metric: runner.CPU, Ratio: true, Bound: atMost,
	}
}

// nearCopies is what the floor does not do: it hands out a pointer.
const nearCopies = "T a struct of 144 bytes, copied for the caller"

func near(callers int, row, kind string, atMost float64) report.Target {
	return report.Target{
		Work: "L1 hit, " + title(callers) + ", " + kind, Want: fmt.Sprintf("≤ %g × otter, below sturdyc", atMost), Scenario: "l1hit", Section: title(callers),
		Row: row, Metric: runner.PerOp, Ratio: true, Bound: atMost, Beat: []string{"sturdyc"},
	}
}

func nearAllocs(callers int) report.Target {
	t := near(callers, peers.NearRow, nearCopies, 0)
	t.Want, t.Metric, t.Ratio, t.Bound, t.Beat = "0 allocations", runner.Allocs, false, 0.005, nil // the harness has its own
	return t
}

// ofMiss is a bound of one of missCases; of a rate it is the least.
func ofMiss(n int, want, metric string, bound float64) report.Target {
	at := missCases[n].title()
	return report.Target{
		Work: at + ", commit awaited", Want: want, Scenario: "miss", Section: at,
		Row: peers.Default, Metric: metric, Ratio: true, More: metric == runner.Rate, Bound: bound,
	}
}

func ofBatch(callers int, want, metric string, ratio bool, bound float64) report.Target {
	return report.Target{
		Work: "100 keys, half hit, " + title(callers), Want: want, Scenario: "batch", Section: batchTitle(callers), Row: peers.Default,
		Metric: metric, Ratio: ratio, Bound: bound,
	}
}

func ofHerd(want, metric string, bound float64, worst bool) report.Target {
	return report.Target{
		Work: "cold key, 4 processes × 250 callers", Want: want, Scenario: "stampede", Section: herdTitle(4, 250),
		Row: peers.Default, Metric: metric, Bound: bound, Worst: worst,
	}
}

func ofHotKey(want, metric string, bound float64) report.Target {
	return report.Target{Work: "hot key expiring", Want: want, Scenario: "hotkey", Section: hotTitle, Row: peers.Default, Metric: metric, Bound: bound}
}

func ofKill(section, want, metric string, bound float64) report.Target {
	return report.Target{Work: "Redis killed, " + section, Want: want, Scenario: "kill", Section: section, Row: peers.Default, Metric: metric, Bound: bound}
}

func put(disk string) report.Target {
	return report.Target{
		Work: "write-behind put, " + disk, Want: "≤ 2.0 × SET", Scenario: "writebehind", Section: "put, " + disk,
		Row: rowPut, Metric: runner.P50, Ratio: true, Bound: 2,
	}
}

func drain(disk string) report.Target {
	return report.Target{
		Work: "write-behind drain, " + disk, Want: "≥ 20,000 keys/s", Scenario: "writebehind", Section: "drain, " + disk,
		Row: rowDrain, Metric: drained, More: true, Bound: 20_000,
	}
}

// targets prints which of the targets the results in dir meet, and keeps that.
func targets(dir string) error {
	verdicts, err := report.Judge(dir, targetList)
	if err != nil {
		return err
	}
	text, err := report.SaveVerdicts(dir, verdicts)
	fmt.Println(text)
	return err
}
