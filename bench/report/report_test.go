package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
)

var (
	floor = peers.Row{Name: "floor", About: "GET", Kind: peers.Floor}
	ours  = peers.Row{Name: "ours", Kind: peers.Ours}
	other = peers.Row{Name: "other", Kind: peers.Other}
)

// sampled is a report of two rounds, in the second of which all was half as fast.
func sampled() *report.Report {
	t := report.NewTable("one", floor.Name, report.Column{Metric: "ops/s", Ratio: true}, report.Column{Metric: "allocs", Digits: 1})
	gets := runner.Audit{Commands: map[string]int64{"get": 100, "expire": 0}}
	t.Add(floor, runner.Sample{runner.Ops: 100, "ops/s": 1000, "allocs": 3}, gets)
	t.Add(ours, runner.Sample{runner.Ops: 50, "ops/s": 3000, "allocs": 1.5}, gets)
	t.Add(other, runner.Sample{runner.Ops: 100, "ops/s": 2000}, gets)
	t.Add(ours, runner.Sample{runner.Ops: 50, "ops/s": 1500, "allocs": 1.5}, gets)
	t.Add(floor, runner.Sample{runner.Ops: 100, "ops/s": 500, "allocs": 3}, gets)
	return &report.Report{Scenario: "trial", About: "About it.", Sections: []report.Section{t.Section("ours", "floor")}, Notes: []string{"a note"}}
}

func TestATableHasMediansSpreadsRatiosAndWhatRedisWasAsked(t *testing.T) {
	want := `## one

| row | what | ops/s | × floor | best × best | allocs | Redis was asked, each op |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
| **ours** |  | 2250 (1500…3000) | 3.00 | 3.00 | 1.5 | get 2 |
| floor | GET | 750 (500…1000) | 1.00 | 1.00 | 3.0 | get 1 |
| other |  | 2000 | 2.00 | 2.00 | - | get 1 |

* a note
`
	text := sampled().Markdown()
	assert.Contains(t, text, want)
	assert.Contains(t, text, "# trial\n\nAbout it.\n")
	assert.NotContains(t, text, "Short rounds")
}

func TestAShortRunSaysSo(t *testing.T) {
	r := sampled()
	r.Quick = true
	assert.Contains(t, r.Markdown(), "**Short rounds")
}

func TestAReportIsReadAsItWasSaved(t *testing.T) {
	dir := t.TempDir()
	r := sampled()
	r.Machine = report.ThisMachine("7.0")
	require.NoError(t, r.Save(dir))
	got, err := report.Load(dir, "trial")
	require.NoError(t, err)
	assert.Equal(t, r, got)
	none, err := report.Load(dir, "never run")
	require.NoError(t, err)
	assert.Nil(t, none)
}

func TestTargetsAreJudgedByTheRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, sampled().Save(dir))
	base := report.Target{Scenario: "trial", Section: "one", Row: "ours", Metric: "ops/s", Ratio: true, More: true}
	tests := []struct {
		name           string
		change         func(*report.Target)
		met, measured  string
		best, floorHas string
	}{
		{"kept", func(t *report.Target) { t.Bound = 2.9 }, "yes", "3.00, best × best 3.00", "2.00 other", "750 ops/s"},
		{"kept exactly", func(t *report.Target) { t.Bound = 3 }, "yes", "3.00, best × best 3.00", "2.00 other", "750 ops/s"},
		{"missed", func(t *report.Target) { t.Bound = 3.1 }, "no", "3.00, best × best 3.00", "2.00 other", "750 ops/s"},
		{"kept, but a row to beat is better", func(t *report.Target) {
			t.Row, t.Bound, t.Beat = "other", 1, []string{"ours"}
		}, "no", "2.00, best × best 2.00, below ours", "2.00 other", "750 ops/s"},
		{"the worst round counts", func(t *report.Target) { t.Ratio, t.Worst, t.Bound = false, true, 2000 }, "no", "2250 (1500…3000) ops/s", "2000 other", "750 ops/s"},
		{"at most", func(t *report.Target) { t.Ratio, t.More, t.Metric, t.Bound = false, false, "allocs", 2 }, "yes", "1.50 allocs", "-", "3.00 allocs"},
		{"against another figure of the floor", func(t *report.Target) {
			t.Ratio, t.More, t.Metric, t.Against, t.Bound = false, false, "allocs", "ops/s", 1
		}, "yes", "0.00", "-", "3.00 allocs"},
		{"a row that was left out is not judged", func(t *report.Target) { t.Row = "none" }, "-", "-", "-", "-"},
		{"nor a scenario that was not run", func(t *report.Target) { t.Scenario = "none" }, "-", "-", "-", "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := base
			tt.change(&target)
			got, err := report.Judge(dir, []report.Target{target})
			require.NoError(t, err)
			require.Len(t, got, 1)
			assert.Equal(t, report.Verdict{Measured: tt.measured, Floor: tt.floorHas, BestPeer: tt.best, Met: tt.met}, got[0])
			text, err := report.SaveVerdicts(dir, got)
			require.NoError(t, err)
			assert.Contains(t, text, "| "+tt.met+" |")
		})
	}
}

func TestResultsReplaceTheOlderOnesOfAPage(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	require.NoError(t, sampled().Save(dir))
	text := "before\n<!-- results: written by `go run . readme` -->\nold\n<!-- end of results -->\nafter\n"
	require.NoError(t, os.WriteFile(page, []byte(text), 0o600))
	for range 2 {
		require.NoError(t, report.Include(page, dir, []string{"trial", "never run"}))
		got, err := os.ReadFile(page)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(got), "before\n<!-- results"))
		assert.True(t, strings.HasSuffix(string(got), "<!-- end of results -->\nafter\n"))
		assert.Equal(t, 1, strings.Count(string(got), "### trial\n"))
		assert.NotContains(t, string(got), "old")
	}
	require.NoError(t, os.WriteFile(page, []byte("no marks"), 0o600))
	require.Error(t, report.Include(page, dir, nil))
}
