// Command stress runs the library against real Redis servers, from several
// operating system processes at once, and checks what it promises: that nobody
// is served what was invalidated before they asked, that a key is loaded once,
// and how long callers wait. Beside it run the controls, which do it the usual
// way: a scenario in which they look fine has shown nothing, and fails.
//
//	go run ./internal/stress                       # everything, 60 s per history
//	go run ./internal/stress -for 10s -topology single -scenario storm
//	go run ./internal/stress -short                # everything, some seconds each
//
// It prints a table per scenario. The exit code is 1 if a pass figure was
// missed, and 2 if a scenario could not be run. The figures about time are for
// a machine that does nothing else: a scenario that misses one of them, or whose
// control looks fine, is run three times at most, and the last run counts. The short
// forms check what the long ones check, but for the figures that need a quiet machine.
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
	short := flag.Bool("short", false, "the short form of each scenario, in place of -for")
	topology := flag.String("topology", "all", "single, cluster or all")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "chaos: decides which fault comes when")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	all := scenarios(*length, *seed)
	if *short {
		all = shortScenarios(*seed)
	}
	missed, err := runAll(ctx, os.Stdout, all, chosen(*name, names), chosen(*topology, []string{single, cluster}))
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
func runAll(ctx context.Context, out io.Writer, all map[string]scenario, names, topologies []string) (missed int, err error) {
	for _, topology := range topologies {
		for _, name := range names {
			s, ok := all[name]
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
