// Command bench compares this library with others, and with what one would write
// without any: see README.md.
//
//	go run . [flags] <scenario>…
//	go run . all        every scenario, then the targets
//	go run . list       what there is
//	go run . targets    the targets, from the results that are there
//	go run . readme     puts the results into README.md
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
)

func main() {
	if spec := os.Getenv(runner.EnvSpec); spec != "" {
		exitOn(runner.Serve(jobs(), spec, os.Stdin, os.Stdout))
		return
	}
	exitOn(parent())
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	quick    bool
	long     bool
	rounds   int
	rows     string
	results  string
	profiles string
}

func parent() error {
	var s settings
	flag.BoolVar(&s.quick, "quick", false, "short rounds, to see that all of it runs")
	flag.BoolVar(&s.long, "long", false, "also what takes minutes: 10,000,000 keys in growth")
	flag.IntVar(&s.rounds, "rounds", 0, "rounds of each measurement; 0: as the scenario says")
	flag.StringVar(&s.rows, "rows", "", "only these rows, separated by commas; the floor stays")
	flag.StringVar(&s.results, "results", "results", "folder for tables and JSON; \"\" writes none")
	flag.StringVar(&s.profiles, "cpuprofile", "", "folder for a CPU profile of each child; rounds take ten times as long")
	flag.Usage = usage
	flag.Parse()
	if s.profiles != "" {
		if err := os.MkdirAll(s.profiles, 0o755); err != nil {
			return err
		}
	}
	switch flag.Arg(0) {
	case "", "list":
		usage()
		return nil
	case "targets":
		return targets(s.results)
	case "readme":
		for _, name := range names() {
			if err := report.Render(s.results, name); err != nil {
				return err
			}
		}
		return report.Include("README.md", s.results, names())
	case "all":
		return runAll(s)
	}
	for _, name := range flag.Args() {
		if err := run(s, name); err != nil {
			return err
		}
	}
	return nil
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go run . [flags] <scenario>… | all | targets | readme | list")
	for _, s := range scenarios {
		fmt.Fprintf(os.Stderr, "  %-12s %s\n", s.name, s.about)
	}
	flag.PrintDefaults()
}

func runAll(s settings) error {
	began := time.Now()
	for _, scenario := range scenarios {
		if err := run(s, scenario.name); err != nil {
			return err
		}
	}
	fmt.Printf("all of it took %v\n", time.Since(began).Round(time.Second))
	return targets(s.results)
}

// run runs one scenario, prints its tables and keeps them.
func run(s settings, name string) error {
	scenario, ok := find(name)
	if !ok {
		usage()
		return fmt.Errorf("no scenario %q", name)
	}
	began, load := time.Now(), report.Load1()
	b, err := newBench(s, scenario)
	if err != nil {
		return err
	}
	defer b.close()
	if err := scenario.run(b); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r := &b.report
	r.Scenario, r.About, r.Quick, r.Began = scenario.name, scenario.about, s.quick, began
	r.Command = "go run . " + strings.Join(append(flags(s), name), " ")
	r.Took = time.Since(began).Round(time.Second).String()
	r.Machine = report.ThisMachine(b.version)
	r.Machine.Load = load
	fmt.Println(r.Markdown())
	if s.results == "" {
		return nil
	}
	return r.Save(filepath.Clean(s.results))
}

// flags are those that change the numbers.
func flags(s settings) (given []string) {
	if s.quick {
		given = append(given, "-quick")
	}
	if s.long {
		given = append(given, "-long")
	}
	if s.rounds != 0 {
		given = append(given, fmt.Sprint("-rounds ", s.rounds))
	}
	if s.rows != "" {
		given = append(given, fmt.Sprintf("-rows %q", s.rows))
	}
	return given
}
