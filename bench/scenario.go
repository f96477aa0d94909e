package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/internal/redistest"
)

// scenario is one thing that is measured: what the parent does, and what its
// children do.
type scenario struct {
	name, about string
	run         func(*bench) error
	job         runner.Job
}

// scenarios, in the order of `all`.
var scenarios = []scenario{
	l2hit, delay, l1hit, miss, batch, stampede, hotkey, kill, writeBehind, telemetry, growth, size, codec,
}

func find(name string) (scenario, bool) {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		return scenario{}, false
	}
	return scenarios[i], true
}

func names() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// jobs are what children can do: those of the scenarios, and to fill a Redis.
func jobs() map[string]runner.Job {
	all := map[string]runner.Job{fillJob: fill}
	for _, s := range scenarios {
		all[s.name] = s.job
	}
	return all
}

// bench is one run of a scenario, in the parent.
type bench struct {
	settings
	scenario scenario
	report   report.Report
	version  string // of the last Redis
	servers  []*runner.Server
	failures int
}

func newBench(s settings, sc scenario) (*bench, error) {
	return &bench{settings: s, scenario: sc}, nil
}

// server starts a Redis that ends with the scenario.
func (b *bench) server(opts ...redistest.Option) (*runner.Server, error) {
	s, err := runner.StartServer(opts...)
	if err != nil {
		return nil, err
	}
	b.servers = append(b.servers, s)
	b.version = s.Version()
	return s, nil
}

func (b *bench) close() {
	for _, s := range b.servers {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	b.servers = nil
}

// count is how many rounds: as told, or one when quick.
func (b *bench) count(rounds int) int {
	switch {
	case b.rounds > 0:
		return b.rounds
	case b.quick:
		return 1
	default:
		return rounds
	}
}

// some is a tenth of n when quick.
func (b *bench) some(n int) int {
	if b.quick {
		return n / 10
	}
	return n
}

// length is how long a measurement takes: a fifth when quick, and long enough for a
// profile if one is taken.
func (b *bench) length(d time.Duration) time.Duration {
	switch {
	case b.quick:
		return d / 5
	case b.profiles != "":
		return 10 * d
	default:
		return d
	}
}

// chosen leaves out the rows that -rows does not name, but for floors.
func (b *bench) chosen(rows []peers.Row) []peers.Row {
	if b.settings.rows == "" {
		return rows
	}
	names := strings.Split(b.settings.rows, ",")
	return slices.DeleteFunc(rows, func(r peers.Row) bool {
		return r.Kind != peers.Floor && !slices.Contains(names, r.Name)
	})
}

// tolerated is how many measurements may fail before the scenario does.
const tolerated = 10

// failed notes that a measurement failed: an unattended run goes on without it, and
// its tables say so. Its sample is empty.
func (b *bench) failed(spec runner.Spec, err error) error {
	b.failures++
	text := fmt.Sprintf("%s, round %d, %d goroutines %s: no figures: %v", spec.Row, spec.Round+1, spec.Goroutines, spec.Mode, err)
	fmt.Fprintln(os.Stderr, "bench:", text)
	if b.failures > tolerated {
		return err
	}
	b.note(text + ".")
	return nil
}

// measure runs one child on s. What is the same for all children of the scenario
// is filled in. The sample of a child that failed is empty.
func (b *bench) measure(s *runner.Server, spec runner.Spec) (runner.Sample, runner.Audit, error) {
	began := time.Now()
	sample, audit, err := runner.Measure(s, b.complete(s, spec))
	b.say(spec, began)
	if err != nil {
		return runner.Sample{}, runner.Audit{}, b.failed(spec, err)
	}
	return sample, audit, nil
}

// measureAll runs several children of one row that begin together. There are no
// samples if one of them failed.
func (b *bench) measureAll(s *runner.Server, processes int, spec runner.Spec, during func(time.Time) error) ([]runner.Sample, runner.Audit, error) {
	began := time.Now()
	var specs []runner.Spec
	for n := range processes {
		spec.Process = n
		specs = append(specs, b.complete(s, spec))
	}
	samples, audit, err := runner.MeasureAll(s, specs, during)
	b.say(spec, began)
	if err != nil {
		return nil, runner.Audit{}, b.failed(spec, err)
	}
	return samples, audit, nil
}

// say is the sign of life of a long run.
func (b *bench) say(spec runner.Spec, began time.Time) {
	fmt.Fprintf(os.Stderr, "%s %s: round %d, %d goroutines, %s %v\n",
		b.scenario.name, spec.Row, spec.Round+1, spec.Goroutines, spec.Mode, time.Since(began).Round(time.Millisecond))
}

func (b *bench) complete(s *runner.Server, spec runner.Spec) runner.Spec {
	if spec.Job == "" {
		spec.Job = b.scenario.name
	}
	if spec.Addr == "" {
		spec.Addr = s.Addr()
	}
	if b.profiles != "" {
		row := strings.NewReplacer(" ", "-", "/", "-", "*", "").Replace(spec.Row)
		name := fmt.Sprintf("%s-%s-%d-%d-%d.pprof", spec.Job, row, spec.Goroutines, spec.Process, spec.Round)
		spec.CPUProfile = filepath.Join(b.profiles, name)
		if abs, err := filepath.Abs(spec.CPUProfile); err == nil {
			spec.CPUProfile = abs
		}
	}
	return spec
}

// add ends a table.
func (b *bench) add(t *report.Table, rows []peers.Row) {
	var names []string
	for _, row := range rows {
		names = append(names, row.Name)
	}
	b.report.Sections = append(b.report.Sections, t.Section(names...))
}

func (b *bench) note(text string) { b.report.Notes = append(b.report.Notes, text) }

// noteMissing says which libraries are not there, and why.
func (b *bench) noteMissing() {
	for _, m := range peers.Missing {
		b.note(m.Name + " is not here: " + m.Reason + ".")
	}
}
