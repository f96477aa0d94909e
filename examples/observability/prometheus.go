package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var errNoPrometheus = errors.New("no prometheus on the PATH")

// prom is a Prometheus that this program has started.
type prom struct {
	url    string
	folder string
	cancel context.CancelFunc
	ended  chan error
}

// configuration has it collect once a second, and know the alerts.
const configuration = `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: shop
    static_configs: [{targets: [%q]}]
`

// startPrometheus starts one in a temporary folder on a free port.
func startPrometheus(ctx context.Context, dashboards, target string) (p *prom, err error) {
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		return nil, errNoPrometheus
	}
	rules, err := filepath.Abs(filepath.Join(dashboards, "alerts.yaml"))
	if err != nil {
		return nil, err
	}
	p = &prom{ended: make(chan error, 1)}
	if p.folder, err = os.MkdirTemp("", "larder-prometheus-"); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err == nil {
		err = os.WriteFile(p.file("prometheus.yaml"), fmt.Appendf(nil, configuration, rules, target), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.folder))
	}
	p.url = "http://" + address
	ctx, p.cancel = context.WithCancel(ctx)
	command := exec.CommandContext(ctx, binary, "--config.file="+p.file("prometheus.yaml"),
		"--storage.tsdb.path="+p.file("data"), "--web.listen-address="+address, "--log.level=warn")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	go func() { p.ended <- command.Run() }()
	return p, nil
}

func (p *prom) file(name string) string { return filepath.Join(p.folder, name) }

// freeAddress is one on which nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stop ends it and removes what it has kept.
func (p *prom) stop() {
	p.cancel()
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
	}
	_ = os.RemoveAll(p.folder)
}

// checked is what Prometheus has said.
type checked struct {
	alerts  int
	queries int
	empty   []string // panels with a query that finds nothing
}

// String is the report.
func (c checked) String() string {
	text := fmt.Sprintf("checked     %d alerts loaded, %d of the dashboard's %d queries have data",
		c.alerts, c.queries-len(c.empty), c.queries)
	for _, panel := range c.empty {
		text += "\n            nothing in: " + panel
	}
	return text
}

// check asks for the alerts, and each query of the dashboard.
func (p *prom) check(ctx context.Context, dashboards string) (c checked, err error) {
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Type, LastError string }
			}
		}
	}
	if err := p.ask(ctx, "/api/v1/rules", nil, &rules); err != nil {
		return c, err
	}
	for _, group := range rules.Data.Groups {
		for _, rule := range group.Rules {
			if rule.LastError != "" {
				return c, fmt.Errorf("a rule fails: %s", rule.LastError)
			}
			if rule.Type == "alerting" {
				c.alerts++
			}
		}
	}
	queries, err := queriesOf(filepath.Join(dashboards, "grafana.json"))
	if err != nil {
		return c, err
	}
	for _, q := range queries {
		var answer struct {
			Data struct{ Result []json.RawMessage }
		}
		if err := p.ask(ctx, "/api/v1/query", url.Values{"query": {q.expr}}, &answer); err != nil {
			return c, fmt.Errorf("%s: %w", q.panel, err)
		}
		c.queries++
		if len(answer.Data.Result) == 0 {
			c.empty = append(c.empty, q.panel)
		}
	}
	return c, nil
}

// ask gets one answer of the API.
func (p *prom) ask(ctx context.Context, path string, query url.Values, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("prometheus says %s to %s", answer.Status, query.Get("query"))
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// query is one of the dashboard.
type query struct{ panel, expr string }

// queriesOf reads the dashboard's, with all that its variables may choose.
func queriesOf(path string) (all []query, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		return nil, err
	}
	chosen := strings.NewReplacer("$__rate_interval", "30s", "$job", ".*", "$cache", ".*")
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			all = append(all, query{panel.Title, chosen.Replace(target.Expr)})
		}
	}
	return all, nil
}
