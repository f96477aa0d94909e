// Package report keeps what a run found, as JSON, and writes it as tables.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/larder-go/cache/bench/stat"
)

// Report is one scenario's run.
type Report struct {
	Scenario string    `json:"scenario"`
	About    string    `json:"about"`
	Command  string    `json:"command"`
	Quick    bool      `json:"quick"` // too short to be quoted
	Began    time.Time `json:"began"`
	Took     string    `json:"took"`
	Machine  Machine   `json:"machine"`
	Sections []Section `json:"sections"`
	Notes    []string  `json:"notes,omitempty"`
}

// Section is one table.
type Section struct {
	Title   string   `json:"title"`
	Floor   string   `json:"floor,omitempty"` // the row that ratios are to
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Column is one figure of all rows.
type Column struct {
	Metric string `json:"metric"`
	Digits int    `json:"digits"` // behind the point
	Ratio  bool   `json:"ratio"`  // also as a ratio to the floor
}

// Row is one line of a table.
type Row struct {
	Name   string                  `json:"name"`
	About  string                  `json:"about,omitempty"`
	Kind   string                  `json:"kind"`
	Cells  map[string]stat.Summary `json:"cells"`
	Ratios map[string]stat.Summary `json:"ratios,omitempty"` // to the floor, round by round
	Asked  string                  `json:"asked,omitempty"`  // what Redis was asked for each operation
}

// Best returns the ratio of the row's best round to the floor's best, whenever they
// were, or zero. Where the machine is shared it says more than the median: in the best
// rounds nobody else was there. Of rates the highest is best, of all else the lowest.
func (s *Section) Best(row *Row, metric string) float64 {
	floor := s.Find(s.Floor)
	if floor == nil || floor.Cells[metric].N == 0 || row.Cells[metric].N == 0 {
		return 0
	}
	mine, its := row.Cells[metric].Min, floor.Cells[metric].Min
	if strings.HasSuffix(metric, "/s") {
		mine, its = row.Cells[metric].Max, floor.Cells[metric].Max
	}
	if its == 0 {
		return 0
	}
	return mine / its
}

// Find returns the section of a title.
func (r *Report) Find(title string) *Section {
	for i := range r.Sections {
		if r.Sections[i].Title == title {
			return &r.Sections[i]
		}
	}
	return nil
}

// Find returns the row of a name.
func (s *Section) Find(name string) *Row {
	if s == nil {
		return nil
	}
	for i := range s.Rows {
		if s.Rows[i].Name == name {
			return &s.Rows[i]
		}
	}
	return nil
}

// Save writes the report to dir as <scenario>.json and <scenario>.md.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, r.Scenario+".json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Scenario+".md"), []byte(r.Markdown()), 0o644)
}

// Render writes the text of a report that is there again.
func Render(dir, scenario string) error {
	r, err := Load(dir, scenario)
	if err != nil || r == nil {
		return err
	}
	return r.Save(dir)
}

// Load reads the report of a scenario from dir. One that is not there is nil.
func Load(dir, scenario string) (*Report, error) {
	data, err := os.ReadFile(filepath.Join(dir, scenario+".json"))
	if os.IsNotExist(err) {
		return nil, nil //nolint:nilnil // as said above
	}
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", scenario, err)
	}
	return &r, nil
}
