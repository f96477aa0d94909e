package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLedgerIsOneForAllWhoOpenIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	mine, err := createLedger(path, 2)
	require.NoError(t, err)
	defer mine.close()
	theirs, err := openLedger(path, 2)
	require.NoError(t, err)
	defer theirs.close()

	first, second := mine.write(1), theirs.write(1)
	assert.Equal(t, int64(2), mine.read(1))
	assert.Zero(t, mine.floor(1), "a write that has not returned sets no floor")
	theirs.finish(1, second)
	mine.finish(1, first) // returns last
	assert.Equal(t, second, mine.floor(1), "the floor never falls")
	assert.Zero(t, theirs.read(0))
	assert.Zero(t, theirs.floor(0))
}

func TestHistogramOfSeveralProcessesKnowsQuantilesWithinTwoPercent(t *testing.T) {
	var sum histogram
	for worker := range 4 {
		var h, arrived histogram
		for i := range 250 {
			h.add(time.Duration(4*i+worker+1) * time.Millisecond)
		}
		text, err := json.Marshal(h)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &arrived))
		sum.merge(arrived)
	}
	assert.Equal(t, int64(1000), sum.count())
	assert.InEpsilon(t, 500*time.Millisecond, sum.quantile(0.5), 0.021)
	assert.InEpsilon(t, 990*time.Millisecond, sum.quantile(0.99), 0.021)
	assert.Equal(t, time.Second, sum.quantile(1))
	assert.Equal(t, time.Second, sum.Max)
	assert.Zero(t, new(histogram).quantile(0.99))
}

func TestTraceCountsLoadsAtOnceAndTheNearest(t *testing.T) {
	at := func(begin, end int) span {
		return span{Begin: time.Unix(int64(begin), 0), End: time.Unix(int64(end), 0)}
	}
	loads := trace{at(20, 25), at(0, 10), at(8, 12), at(9, 30)}
	assert.Equal(t, 3, loads.most())
	assert.Equal(t, time.Second, loads.nearest())
	assert.Equal(t, 1, trace{at(0, 10), at(10, 20)}.most(), "one that begins as another ends is not beside it")
	assert.Zero(t, trace{at(0, 1)}.nearest())
	begin, end, ok := loads.bounds()
	assert.Equal(t, []any{int64(0), int64(30), true}, []any{begin.Unix(), end.Unix(), ok})
	_, _, ok = trace{}.bounds()
	assert.False(t, ok)
}

func TestRunFailsWhoseNaiveControlLooksFine(t *testing.T) {
	h := historyRun{gets: 100}
	fine := report{Gets: 1000, Stale: 10, Writes: 1}
	var control table
	h.judge(&control, naive, &fine, 0)
	assert.Len(t, control.spoilt, 1, "1 %% is not more than 1 %%")
	var library table
	h.judge(&library, ours, &fine, 0)
	require.Len(t, library.missed, 1)
	assert.Contains(t, library.missed[0], "10 stale reads")
}

func TestOnlyWhatABusyMachineMaySpoilIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		missed []string
		spoilt []int // in each run
		runs   int
	}{
		{"nothing missed", nil, []int{0}, 1},
		{"spoilt once", nil, []int{1, 0}, 2},
		{"spoilt each time", nil, []int{1, 2, 1}, 3},
		{"missed and spoilt", []string{"stale reads"}, []int{1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := 0
			got, err := try(io.Discard, func() (*table, error) {
				found := &table{missed: c.missed, spoilt: make([]string, c.spoilt[runs])}
				runs++
				return found, nil
			})
			require.NoError(t, err)
			assert.Equal(t, c.runs, runs)
			assert.Len(t, got.spoilt, c.spoilt[c.runs-1], "the last run counts")
			assert.Equal(t, c.missed, got.missed)
		})
	}
}

func TestReportsAddUp(t *testing.T) {
	noon := time.Unix(0, 0)
	var sum report
	sum.merge(&report{Gets: 1, Loads: 2, MostLoads: 2, First: noon.Add(2), Last: noon.Add(3)})
	sum.merge(&report{Gets: 1, Stale: 1, First: noon.Add(1), Last: noon.Add(2), Failed: 1, Failure: "first"})
	sum.merge(&report{Failed: 1, Failure: "second"})
	assert.Equal(t, noon.Add(1), sum.First)
	assert.Equal(t, noon.Add(3), sum.Last)
	assert.Equal(t, "first", sum.Failure)
	assert.Equal(t, []int64{2, 1, 2, 2}, []int64{sum.Gets, sum.Stale, sum.Loads, sum.Failed})
	assert.EqualValues(t, 2, sum.MostLoads)
	assert.InDelta(t, 0.5, sum.stalePart(), 1e-9)
}

func TestUnknownScenariosAndTopologiesAreErrors(t *testing.T) {
	all := scenarios(time.Minute, 1)
	for _, name := range []string{"histroy", ""} {
		_, err := runAll(t.Context(), io.Discard, all, []string{name}, []string{single})
		assert.ErrorContains(t, err, "no such scenario")
	}
	_, err := runAll(t.Context(), io.Discard, all, []string{"herd"}, []string{"ring"})
	assert.ErrorContains(t, err, "ring")
	assert.ElementsMatch(t, names, keys(all), "-scenario all runs every one of them")
	assert.ElementsMatch(t, names, keys(shortScenarios(1)))
}

func keys(m map[string]scenario) (all []string) {
	for name := range m {
		all = append(all, name)
	}
	return all
}

func TestWorkerCutsItsRoundShortWhenItsParentIsGone(t *testing.T) {
	to := deploy(t, single)
	p := to.plan(plan{
		Job: "history", Mode: ours, Rows: 2, Callers: 2, Fresh: time.Minute, LoadMax: time.Millisecond,
		Write: time.Millisecond, Ledger: filepath.Join(t.TempDir(), "ledger"),
	})
	l, err := createLedger(p.Ledger, p.Rows)
	require.NoError(t, err)
	require.NoError(t, l.close())
	text, err := json.Marshal(p)
	require.NoError(t, err)
	t.Setenv(planVariable, string(text))

	in, parent := io.Pipe()
	out := newLines()
	done := make(chan error, 1)
	go func() { done <- work(in, out) }()
	assert.NotEmpty(t, <-out.lines, "says that it is ready")
	require.NoError(t, json.NewEncoder(parent).Encode(order{Start: time.Now(), For: time.Hour}))
	require.NoError(t, parent.Close())
	var r report
	require.NoError(t, json.Unmarshal(<-out.lines, &r))
	require.NoError(t, <-done)
	assert.Zero(t, r.Failed, "being cut short is no failure")
}

// lines is a writer that hands over what is written, one write at a time.
type lines struct{ lines chan []byte }

func newLines() lines { return lines{lines: make(chan []byte, 4)} }

func (l lines) Write(b []byte) (int, error) {
	l.lines <- bytes.Clone(b)
	return len(b), nil
}

func TestPlanWithoutAJobIsRefused(t *testing.T) {
	t.Setenv(planVariable, "{}")
	assert.ErrorContains(t, work(strings.NewReader(""), io.Discard), "no such job")
	t.Setenv(planVariable, "{")
	assert.Error(t, work(strings.NewReader(""), io.Discard))
}

func TestFleetThatCannotStartLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	_, err := launch(t.Context(), plan{Job: "none", Rows: 1}, 2)
	assert.ErrorContains(t, err, "worker 0")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
