// Package dash makes the Grafana dashboard, the Prometheus rules with their tests,
// and the tables of the documentation, from internal/meter's list. `make dashboards`
// writes them; a test compares them with what is committed.
package dash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/larder-go/cache/internal/meter"
)

// Files returns what belongs into the repository at root, by path. Of documents it
// replaces the part between two markers.
func Files(root string) (map[string][]byte, error) {
	grafana, err := Grafana()
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{
		"dashboards/grafana.json":     grafana,
		"dashboards/alerts.yaml":      Rules(),
		"dashboards/alerts_test.yaml": RuleTests(),
	}
	for _, part := range []struct{ path, name, text string }{
		{"ARCHITECTURE.md", "metrics", metricsTable()},
		{"examples/observability/README.md", "panels", panelsTable()},
		{"examples/observability/README.md", "alerts", alertsTable()},
	} {
		text, known := all[part.path]
		if !known {
			if text, err = os.ReadFile(filepath.Join(root, part.path)); err != nil {
				return nil, err
			}
		}
		replaced, err := replace(string(text), part.name, part.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.path, err)
		}
		all[part.path] = []byte(replaced)
	}
	return all, nil
}

// replace puts text between the markers of that name.
func replace(document, name, text string) (string, error) {
	begin, end := "<!-- "+name+": made by make dashboards -->\n", "<!-- end of "+name+" -->"
	before, rest, ok := strings.Cut(document, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("no markers of %s", name)
	}
	return before + begin + text + end + after, nil
}

// name is an instrument's in Prometheus.
func name(id meter.ID) string { return meter.Of(id).Prometheus() }

// metricsTable is the list, for readers.
func metricsTable() string {
	var b strings.Builder
	b.WriteString("| instrument | in Prometheus | kind, unit | labels beside `" + meter.Name + "` | what it is |\n|---|---|---|---|---|\n")
	for _, i := range meter.List {
		labels := make([]string, 0, len(i.Labels))
		for _, l := range i.Labels {
			labels = append(labels, "`"+l+"`")
		}
		what := i.Description
		if i.Where != "" {
			what += " Only of caches " + strings.Replace(i.Where, "write-behind", "that write behind", 1) + "."
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s, %s | %s | %s |\n", i.Name, i.Prometheus(), i.Kind, i.Unit, strings.Join(labels, ", "), what)
	}
	return b.String()
}

// panelsTable says what each panel means.
func panelsTable() string {
	var b strings.Builder
	for _, row := range Rows {
		fmt.Fprintf(&b, "\n**%s**\n\n| panel | what it means |\n|---|---|\n", row.Title)
		for _, p := range row.Panels {
			fmt.Fprintf(&b, "| %s | %s |\n", p.Title, p.Means)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// alertsTable says what each alert means.
func alertsTable() string {
	var b strings.Builder
	b.WriteString("| alert | after | what it means |\n|---|---|---|\n")
	for _, a := range Alerts {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", a.Name, a.For, a.Means)
	}
	return b.String()
}
