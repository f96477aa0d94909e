package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/stat"
)

// Table collects the rounds of one section.
type Table struct {
	title   string
	columns []Column
	floor   string
	rows    []*entries
}

// entries are the rounds of one row.
type entries struct {
	row     Row
	samples []runner.Sample
	asked   map[string]int64
	ops     float64
}

// NewTable returns an empty table whose ratios are to the row called floor; "" is
// without ratios.
func NewTable(title, floor string, columns ...Column) *Table {
	return &Table{title: title, floor: floor, columns: columns}
}

// Add adds a round of a row. Rounds of different rows are compared in the order in
// which they are added; the empty sample of one that failed holds its place.
func (t *Table) Add(row peers.Row, s runner.Sample, a runner.Audit) {
	e := t.entry(row)
	e.samples = append(e.samples, s)
	e.ops += s[runner.Ops]
	for command, n := range a.Commands {
		e.asked[command] += n
	}
}

func (t *Table) entry(row peers.Row) *entries {
	for _, e := range t.rows {
		if e.row.Name == row.Name {
			return e
		}
	}
	e := &entries{row: Row{Name: row.Name, About: row.About, Kind: string(row.Kind)}, asked: map[string]int64{}}
	t.rows = append(t.rows, e)
	return e
}

// Section returns the table's summaries, its rows in the order of names; rows that
// names does not have come last.
func (t *Table) Section(names ...string) Section {
	s := Section{Title: t.title, Floor: t.floor, Columns: t.columns}
	var floor *entries
	for _, e := range t.rows {
		if e.row.Name == t.floor {
			floor = e
		}
	}
	for _, e := range t.rows {
		s.Rows = append(s.Rows, e.summary(t.columns, floor))
	}
	place := func(r Row) int {
		if i := slices.Index(names, r.Name); i >= 0 {
			return i
		}
		return len(names)
	}
	slices.SortStableFunc(s.Rows, func(a, b Row) int { return cmp.Compare(place(a), place(b)) })
	return s
}

func (e *entries) summary(columns []Column, floor *entries) Row {
	row := e.row
	row.Cells, row.Ratios = map[string]stat.Summary{}, map[string]stat.Summary{}
	for _, c := range columns {
		values := e.values(c.Metric)
		if len(values) == 0 {
			continue
		}
		row.Cells[c.Metric] = stat.Summarize(values)
		if c.Ratio && floor != nil {
			row.Ratios[c.Metric] = stat.Summarize(e.ratios(floor, c.Metric))
		}
	}
	row.Asked = perOperation(e.asked, e.ops)
	return row
}

// ratios are those of the rounds in which both have the figure.
func (e *entries) ratios(floor *entries, metric string) []float64 {
	var mine, its []float64
	for i := range min(len(e.samples), len(floor.samples)) {
		a, ok := e.samples[i][metric]
		b, also := floor.samples[i][metric]
		if ok && also {
			mine, its = append(mine, a), append(its, b)
		}
	}
	return stat.Ratios(mine, its)
}

func (e *entries) values(metric string) (values []float64) {
	for _, s := range e.samples {
		if v, ok := s[metric]; ok {
			values = append(values, v)
		}
	}
	return values
}

// perOperation says how often each command ran for each operation, those that ran
// for less than a thousandth left out.
func perOperation(asked map[string]int64, ops float64) string {
	if ops == 0 {
		return ""
	}
	var parts []string
	for _, command := range slices.Sorted(maps.Keys(asked)) {
		if each := float64(asked[command]) / ops; each >= 0.001 {
			parts = append(parts, fmt.Sprintf("%s %.3g", command, each))
		}
	}
	return strings.Join(parts, ", ")
}
