package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/larder-go/cache/bench/stat"
)

// Target is one bound that a run should keep.
type Target struct {
	Work     string // what is done
	Want     string // the bound, in words
	Scenario string
	Section  string
	Row      string
	Metric   string
	Ratio    bool    // of Metric to the floor, round by round
	Against  string  // ratio of the medians of Metric and of this one of the floor
	Bound    float64 // of the median, or with Worst of all rounds
	More     bool    // at least Bound; else at most
	Worst    bool
	Beat     []string // rows that must not be better, too
}

// Verdict is what a run says of a target.
type Verdict struct {
	Work     string `json:"work"`
	Want     string `json:"target"`
	Measured string `json:"measured"`
	Floor    string `json:"floor"`    // of the floor, as it is
	BestPeer string `json:"bestPeer"` // in the same units as Measured
	Met      string `json:"met"`      // yes, no, or - if nothing was measured
}

const notMeasured = "-"

// Judge holds the reports in dir against the targets. What was not run is not
// judged.
func Judge(dir string, targets []Target) ([]Verdict, error) {
	var all []Verdict
	for _, t := range targets {
		r, err := Load(dir, t.Scenario)
		if err != nil {
			return nil, err
		}
		v := Verdict{Work: t.Work, Want: t.Want, Measured: notMeasured, Floor: notMeasured, BestPeer: notMeasured, Met: notMeasured}
		if r != nil {
			t.judge(r.Find(t.Section), &v)
		}
		all = append(all, v)
	}
	return all, nil
}

func (t *Target) judge(s *Section, v *Verdict) {
	row := s.Find(t.Row)
	if row == nil {
		return
	}
	got, ok := t.figure(s, row)
	if !ok {
		return
	}
	v.Measured = t.show(got)
	if t.Ratio {
		v.Measured += fmt.Sprintf(", best × best %s", short(s.Best(row, t.Metric)))
	}
	if floor := s.Find(s.Floor); floor != nil {
		v.Floor = short(floor.Cells[t.Metric].Median) + " " + t.Metric
	}
	met := t.kept(got)
	best, value := t.bestPeer(s)
	if best != "" {
		v.BestPeer = short(value) + " " + best
	}
	for _, name := range t.Beat {
		if other, ok := t.figure(s, s.Find(name)); ok && t.better(other.Median, got.Median) {
			met = false
			v.Measured += ", below " + name
		}
	}
	v.Met = "no"
	if met {
		v.Met = "yes"
	}
}

// figure is what is judged of a row.
func (t *Target) figure(s *Section, row *Row) (stat.Summary, bool) {
	if row == nil {
		return stat.Summary{}, false
	}
	cells := row.Cells
	if t.Ratio {
		cells = row.Ratios
	}
	v, ok := cells[t.Metric]
	if ok && t.Against != "" {
		floor := s.Find(s.Floor)
		if floor == nil || floor.Cells[t.Against].Median == 0 {
			return v, false
		}
		by := floor.Cells[t.Against].Median
		v.Median, v.Min, v.Max = v.Median/by, v.Min/by, v.Max/by
	}
	return v, ok && v.N > 0
}

func (t *Target) kept(v stat.Summary) bool {
	value := v.Median
	if t.Worst && t.More {
		value = v.Min
	} else if t.Worst {
		value = v.Max
	}
	return value == t.Bound || t.better(value, t.Bound)
}

func (t *Target) better(a, b float64) bool {
	if t.More {
		return a > b
	}
	return a < b
}

// bestPeer is the best of the rows that are neither ours nor the floor.
func (t *Target) bestPeer(s *Section) (name string, value float64) {
	for i := range s.Rows {
		row := &s.Rows[i]
		if row.Kind != "peer" {
			continue
		}
		if v, ok := t.figure(s, row); ok && (name == "" || t.better(v.Median, value)) {
			name, value = row.Name, v.Median
		}
	}
	return name, value
}

func (t *Target) show(v stat.Summary) string {
	text := short(v.Median)
	if v.Min != v.Max {
		text += fmt.Sprintf(" (%s…%s)", short(v.Min), short(v.Max))
	}
	if !t.Ratio && t.Against == "" {
		text += " " + t.Metric
	}
	return text
}

// short has two digits behind the point for small numbers, none for large ones.
func short(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// SaveVerdicts writes targets.json and targets.md to dir and returns the text.
func SaveVerdicts(dir string, all []Verdict) (string, error) {
	var b strings.Builder
	b.WriteString("# targets\n\nRatios are to the floor of the same run, round by round; the spread is over the rounds. “best × best” compares the best round of each instead, which a busy machine disturbs less; the verdict goes by the median. Peers are measured in the same run.\n\n")
	line(&b, []string{"work", "target", "measured", "floor", "best peer", "met"})
	line(&b, []string{"---", "---", "---", "---", "---", "---"})
	for _, v := range all {
		line(&b, []string{v.Work, v.Want, v.Measured, v.Floor, v.BestPeer, v.Met})
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "targets.json"), append(data, '\n'), 0o644); err != nil {
		return "", err
	}
	return b.String(), os.WriteFile(filepath.Join(dir, "targets.md"), []byte(b.String()), 0o644)
}
