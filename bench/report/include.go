package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The lines of a page between which results stand.
const (
	beginResults = "<!-- results: written by `go run . readme` -->"
	endResults   = "<!-- end of results -->"
)

// Include puts the targets and the tables of the scenarios in dir into the page,
// between its two marks. What was not run is left out.
func Include(page, dir string, scenarios []string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), beginResults)
	_, after, ended := strings.Cut(rest, endResults)
	if !ok || !ended {
		return fmt.Errorf("%s: no place for results", page)
	}
	var b strings.Builder
	for _, name := range append([]string{"targets"}, scenarios...) {
		table, err := os.ReadFile(filepath.Join(dir, name+".md"))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		b.WriteString(demoted(string(table)))
	}
	return os.WriteFile(page, []byte(before+beginResults+"\n\n"+b.String()+endResults+after), 0o644)
}

// demoted makes the headings of a page those of a chapter.
func demoted(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			b.WriteString("##")
		}
		b.WriteString(line)
	}
	return b.String() + "\n"
}
