package dash_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/dash"
	"github.com/larder-go/cache/internal/meter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "../.."

func TestWhatIsCommittedIsWhatIsMade(t *testing.T) {
	files, err := dash.Files(root)
	require.NoError(t, err)
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "%s: run make dashboards", path)
	}
}

// expressions are all PromQL that there is.
func expressions() (all []string) {
	for _, row := range dash.Rows {
		for _, p := range row.Panels {
			for _, q := range p.Queries {
				all = append(all, q.Expr)
			}
		}
	}
	for _, a := range dash.Alerts {
		all = append(all, a.Expr)
	}
	for _, r := range dash.Records {
		all = append(all, r[1])
	}
	return all
}

var words = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

func TestExpressionsNameWhatIsMeasured(t *testing.T) {
	known, used := map[string]bool{}, map[string]bool{}
	for _, i := range meter.List {
		known[i.Prometheus()] = true
		for _, part := range []string{"_bucket", "_count"} {
			known[i.Prometheus()+part] = i.Kind.Histogram()
		}
	}
	for label := range meter.Labels {
		known[meter.Label(label)] = true
	}
	for _, r := range dash.Records {
		known[r[0]] = true
	}
	for _, expr := range expressions() {
		for _, word := range words.FindAllString(expr, -1) {
			if strings.Contains(word, "cache_") {
				assert.True(t, known[word], "%s in %s", word, expr)
				used[strings.TrimSuffix(word, "_bucket")] = true
			}
		}
	}
	for _, i := range meter.List {
		assert.True(t, used[i.Prometheus()], "%s is shown nowhere", i.Name)
	}
}

func TestEachPanelSaysWhatItMeans(t *testing.T) {
	titles := map[string]bool{}
	for _, row := range dash.Rows {
		for _, p := range row.Panels {
			assert.False(t, titles[p.Title], "%s is there twice", p.Title)
			titles[p.Title] = true
			assert.Regexp(t, `^[A-Z0-9].{30,}\.$`, p.Means, p.Title)
			assert.NotEmpty(t, p.Queries, p.Title)
		}
	}
	for _, a := range dash.Alerts {
		assert.Regexp(t, `^[A-Z].{30,}\.$`, a.Means, a.Name)
		assert.NotEmpty(t, a.Broken, "%s: on what does it fire?", a.Name)
	}
}

func TestTheDashboardIsWhatGrafanaReads(t *testing.T) {
	text, err := dash.Grafana()
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			ID      int
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ RefID, Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &board))
	var ids []int
	taken := map[string]int{}
	for _, p := range board.Panels {
		assert.NotContains(t, ids, p.ID)
		ids = append(ids, p.ID)
		assert.Equal(t, p.Type == "timeseries", len(p.Targets) > 0)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				at := fmt.Sprint(x, ",", y)
				assert.Zero(t, taken[at], "panels overlap at %s", at)
				taken[at] = p.ID
				assert.Less(t, x, 24)
			}
		}
	}
	assert.Greater(t, len(ids), 20)
	assert.True(t, slices.IsSorted(ids))
}

// promtool runs it, if there is one.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, os.Getenv("CACHE_REQUIRE_PROMTOOL"), "no promtool on the PATH")
		t.Skip("no promtool on the PATH: the rules are not run")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestTheRulesAreRules(t *testing.T) {
	promtool(t, "check", "rules", root+"/dashboards/alerts.yaml")
}

func TestAlertsFireOnWhatIsBrokenAlone(t *testing.T) {
	promtool(t, "test", "rules", root+"/dashboards/alerts_test.yaml")
}

func TestPanelsAskWhatPrometheusUnderstands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "panels.yaml")
	var b strings.Builder
	b.WriteString("groups:\n  - name: panels\n    rules:\n")
	for i, expr := range expressions() {
		expr = strings.ReplaceAll(expr, "$__rate_interval", "5m")
		fmt.Fprintf(&b, "      - record: panel_%d\n        expr: |\n          %s\n", i, strings.ReplaceAll(expr, "\n", "\n          "))
	}
	require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
	promtool(t, "check", "rules", file)
}
