package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larder-go/cache/bench/stat"
)

// Markdown returns the report as text with tables.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", r.Scenario, r.About)
	fmt.Fprintf(&b, "`%s`, %s, %s\n\n%s\n\n", r.Command, r.Began.UTC().Format("2006-01-02 15:04 MST"), r.Took, r.Machine)
	if r.Quick {
		b.WriteString("**Short rounds: these numbers show that it runs, not how fast it is.**\n\n")
	}
	for _, s := range r.Sections {
		s.markdown(&b)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "* %s\n", note)
	}
	return b.String()
}

func (s *Section) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n", s.Title)
	head := []string{"row", "what"}
	for _, c := range s.Columns {
		head = append(head, c.Metric)
		if c.Ratio && s.Floor != "" {
			head = append(head, "× "+s.Floor, "best × best")
		}
	}
	asked := slices.ContainsFunc(s.Rows, func(r Row) bool { return r.Asked != "" })
	if asked {
		head = append(head, "Redis was asked, each op")
	}
	line(b, head)
	rule := []string{"---", "---"}
	for range len(head) - 2 {
		rule = append(rule, "---:")
	}
	line(b, rule)
	for _, r := range s.Rows {
		line(b, r.cells(s, asked))
	}
	b.WriteString("\n")
}

func (r *Row) cells(s *Section, asked bool) []string {
	name := r.Name
	if r.Kind == "ours" {
		name = "**" + name + "**"
	}
	cells := []string{name, r.About}
	for _, c := range s.Columns {
		cells = append(cells, cell(r.Cells, c.Metric, c.Digits))
		if c.Ratio && s.Floor != "" {
			cells = append(cells, cell(r.Ratios, c.Metric, 2), fmt.Sprintf("%.2f", s.Best(r, c.Metric)))
		}
	}
	if asked {
		cells = append(cells, r.Asked)
	}
	return cells
}

// cell is the median and, of several rounds that differ, the spread.
func cell(all map[string]stat.Summary, metric string, digits int) string {
	v, ok := all[metric]
	if !ok || v.N == 0 {
		return "-"
	}
	median := fmt.Sprintf("%.*f", digits, v.Median)
	low, high := fmt.Sprintf("%.*f", digits, v.Min), fmt.Sprintf("%.*f", digits, v.Max)
	if low == high {
		return median
	}
	return fmt.Sprintf("%s (%s…%s)", median, low, high)
}

func line(b *strings.Builder, cells []string) {
	for _, c := range cells {
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", "\\|"))
	}
	b.WriteString("|\n")
}

// String is one line about the machine, and one with the versions.
func (m Machine) String() string {
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(m.Modules)) {
		versions = append(versions, name+" "+m.Modules[name])
	}
	load := ""
	if m.Load != "" {
		load = ", load average before the run " + m.Load
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, redis %s; client and server share the cores%s\n\n%s",
		m.CPU, m.Cores, m.OS, m.Arch, m.Go, m.Redis, load, strings.Join(versions, ", "))
}
