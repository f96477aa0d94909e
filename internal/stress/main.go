// Command stress runs the library against real Redis servers, from several
// operating system processes at once, and checks what it promises: that nobody
// is served what was invalidated before they asked, that a key is loaded once,
// and how long callers wait. Beside it run the controls, which do it the usual
// way: a scenario in which they look fine has shown nothing, and fails.
//
//	go run ./internal/stress                       # everything, 60 s per history
//	go run ./internal/stress -for 10s -topology single -scenario storm
//
// It prints a table per scenario. The exit code is 1 if a pass figure was
// missed, and 2 if a scenario could not be run. The figures about time are for
// a machine that does nothing else: a scenario that misses one of them, or whose
// control looks fine, is run three times at most, and the last run counts.
//
// The processes are this program again, started with a plan in the environment
// (worker.go). Parent and workers exchange lines of JSON; the system of record
// is a file that all of them map into memory (ledger.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/redistest"
)

// scenario is something that can be run against a target.
type scenario interface {
	run(ctx context.Context, to target) (*table, error)
}

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

// servers are the options of the servers that a scenario needs. What a primary
// keeps for its replicas counts as memory: with the default of 1 MB nothing
// would be left for entries, and Redis would refuse scripts instead of evicting.
func servers(name string) []redistest.Option {
	if name == "behind" {
		return durable()
	}
	if name == "eviction" {
		return []redistest.Option{
			redistest.MaxMemory(scarceMemory, scarcePolicy), redistest.Config("repl-backlog-size", "64kb"),
		}
	}
	return nil
}

// silent keeps what go-redis logs about servers that end out of the tables.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func main() {
	redis.SetLogger(silent{})
	if isWorker() {
		if err := work(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "stress worker:", err)
			os.Exit(2)
		}
		return
	}
	name := flag.String("scenario", "all", strings.Join(names, ", ")+" or all")
	length := flag.Duration("for", time.Minute, "how long each history runs")
	topology := flag.String("topology", "all", "single, cluster or all")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "chaos: decides which fault comes when")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	missed, err := runAll(ctx, os.Stdout, chosen(*name, names), chosen(*topology, []string{single, cluster}), *length, *seed)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "stress:", err)
		os.Exit(2)
	case missed > 0:
		fmt.Printf("\n%d pass figures missed\n", missed)
		os.Exit(1)
	}
}

// chosen is one of all, or all of them.
func chosen(one string, all []string) []string {
	if one == "all" {
		return all
	}
	return []string{one}
}

// tries is how often a scenario is run at most, if nothing is missed but what a
// busy machine may spoil.
const tries = 3

// try runs a scenario until it has shown something, prints each table and returns
// the last one, nil if there is none.
func try(out io.Writer, run func() (*table, error)) (t *table, err error) {
	for range tries {
		if t, err = run(); t != nil {
			err = errors.Join(err, t.print(out))
		}
		if err != nil || len(t.missed) > 0 || len(t.spoilt) == 0 {
			break
		}
	}
	return t, err
}

// runAll runs scenarios, prints their tables, and returns how many pass figures
// they missed. One that could not be run ends it.
func runAll(ctx context.Context, out io.Writer, names, topologies []string, length time.Duration, seed uint64) (missed int, err error) {
	for _, topology := range topologies {
		for _, name := range names {
			s, ok := scenarios(length, seed)[name]
			if !ok || !slices.Contains([]string{single, cluster}, topology) {
				return missed, fmt.Errorf("no such scenario or topology: %s, %s", name, topology)
			}
			t, err := try(out, func() (t *table, err error) {
				stage := redistest.NewStage(ctx)
				err = stage.Run(func(tb testing.TB) (err error) {
					t, err = s.run(ctx, deploy(tb, topology, servers(name)...))
					return err
				})
				return t, errors.Join(err, stage.End())
			})
			if t != nil {
				missed += len(t.missed) + len(t.spoilt)
			}
			if err != nil {
				return missed, fmt.Errorf("%s, %s: %w", name, topology, err)
			}
		}
	}
	return missed, nil
}
