package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table is what a scenario found: a row for each mode, and what of the pass
// figures was missed. A run goes on after a miss, since the other rows tell why.
type table struct {
	title  string
	head   []string
	rows   [][]string
	notes  []string
	missed []string // pass figures that were not reached
	spoilt []string // the same, of those that a busy machine may spoil
}

// add appends a row; cells are formatted by their type.
func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		switch v := cell.(type) {
		case percent:
			row[i] = fmt.Sprintf("%.2f %%", 100*float64(v))
		case time.Duration:
			row[i] = fmt.Sprintf("%.1f ms", float64(v)/float64(time.Millisecond))
		case float64:
			row[i] = fmt.Sprintf("%.2f", v)
		default:
			row[i] = fmt.Sprint(v)
		}
	}
	t.rows = append(t.rows, row)
}

// percent is a part, 0 to 1, that is shown as a percentage.
type percent float64

// note appends a line below the table.
func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// require notes a pass figure that was missed, if ok is false.
func (t *table) require(ok bool, format string, args ...any) {
	if !ok {
		t.missed = append(t.missed, fmt.Sprintf(format, args...))
	}
}

// requireQuiet is require for what may be missed because the machine is busy:
// figures about time, and controls that were not put to the test. Who runs the
// scenario tries again.
func (t *table) requireQuiet(ok bool, format string, args ...any) {
	if !ok {
		t.spoilt = append(t.spoilt, fmt.Sprintf(format, args...))
	}
}

// print writes the table, columns aligned.
func (t *table) print(w io.Writer) error {
	text := &strings.Builder{}
	fmt.Fprintf(text, "\n%s\n", t.title)
	columns := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintf(columns, "%s\t\n", strings.Join(row, "\t"))
	}
	_ = columns.Flush() // a Builder does not fail
	for _, note := range t.notes {
		fmt.Fprintf(text, "  %s\n", note)
	}
	for _, missed := range slices.Concat(t.missed, t.spoilt) {
		fmt.Fprintf(text, "  MISSED: %s\n", missed)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
