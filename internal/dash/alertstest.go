package dash

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/larder-go/cache/internal/meter"
)

// This file makes the unit tests of the rules, for `promtool test rules`: each alert
// fires on a series that is broken, and none does on two days as they should be,
// with a daily wave.

// day is one, in minutes, which is how often the series have a value.
const day = 24 * 60

// Series is one series of a test. Its values are in promtool's notation.
type Series struct {
	name   string
	labels map[string]string
	values string
}

// of is the series of an instrument, with labels: name, value, name, value …
func of(id meter.ID, labels ...string) Series {
	s := Series{name: name(id), labels: map[string]string{"job": "shop", "instance": "a", meter.Label(meter.Name): "users"}}
	for i := 0; i < len(labels); i += 2 {
		s.labels[labels[i]] = labels[i+1]
	}
	return s
}

// counted is how often something was recorded in a histogram.
func counted(id meter.ID) Series {
	s := of(id)
	s.name += "_count"
	return s
}

func requests(outcome string, parts ...part) Series {
	return of(meter.Requests, meter.Label(meter.Outcome), outcome).with(parts...)
}

// part is so many minutes of a series: from a value on, or from the last one if it
// continues, with so much added each minute.
type part struct {
	minutes   int
	from, add float64
	continues bool
}

// steadily is a counter that grows by so much each minute.
func steadily(minutes int, add float64) part { return part{minutes, 0, add, true} }

// level is a gauge that stands still, growing one that does not.
func level(minutes int, at float64) part    { return part{minutes, at, 0, false} }
func growing(minutes int, add float64) part { return part{minutes, 0, add, false} }

// with are the series' values.
func (s Series) with(parts ...part) Series {
	var all []string
	last := 0.0
	for _, p := range parts {
		first := p.from
		if p.continues {
			first = last + p.add
		}
		last = first + p.add*float64(p.minutes-1)
		all = append(all, fmt.Sprintf("%g%+gx%d", first, p.add, p.minutes-1))
	}
	s.values = strings.Join(all, " ")
	return s
}

func (s Series) yaml() string {
	var labels []string
	for _, l := range slices.Sorted(maps.Keys(s.labels)) {
		labels = append(labels, fmt.Sprintf("%s=%q", l, s.labels[l]))
	}
	return fmt.Sprintf("      - series: '%s{%s}'\n        values: '%s'\n", s.name, strings.Join(labels, ","), s.values)
}

// wave are two days of a counter: by the hour, around so much a minute, up to a part
// more or less, highest at that hour.
func wave(around, swing, peak float64) (parts []part) {
	for hour := range 48 {
		add := around * (1 + swing*math.Cos(2*math.Pi*(float64(hour)-peak)/24))
		parts = append(parts, steadily(60, math.Round(add*100)/100))
	}
	return parts
}

// normal are two normal days: traffic and misses in a daily wave, the misses not in
// proportion, with now and then an error.
func normal() []Series {
	return []Series{
		requests("hit_l1", wave(600, .8, 15)...),
		requests("hit", wave(500, .8, 15)...),
		requests("stale", wave(2, .8, 15)...),
		requests("absent", wave(5, .8, 15)...),
		requests("miss", wave(60, .5, 18)...),
		of(meter.Loads, "cache_load_result", "ok").with(wave(55, .5, 18)...),
		of(meter.Loads, "cache_load_result", "error").with(wave(.2, .5, 18)...),
		of(meter.Refreshes, "cache_refresh_cause", "early").with(wave(5, .5, 18)...),
		of(meter.Coalesced).with(wave(6, .8, 15)...),
		of(meter.RefusedFills).with(wave(1, .8, 15)...),
		of(meter.RedisErrors, "cache_operation", "get").with(wave(.2, .5, 3)...),
		of(meter.L1Evictions).with(wave(10, .8, 15)...),
		of(meter.BreakerOpen).with(level(2*day, 0)),
		of(meter.Pending).with(level(day, 0), level(2, 1), level(day-2, 0)),
		of(meter.Lag).with(level(day, .2), level(3, 30), level(day-3, .3)),
		of(meter.DeadLetters).with(level(2*day, 0)),
		of(meter.Flushed).with(wave(60, .8, 15)...),
		of(meter.SinkCalls).with(level(2*day, 1)),
		counted(meter.SinkDuration).with(wave(20, .8, 15)...),
		of(meter.OldestRetry).with(level(day, 0), level(4, 700), level(day-4, 0)),
		of(meter.WaitingPuts).with(level(day, 0), level(3, 5), level(day-3, 0)),
	}
}

// fires writes the test that the alert fires on series.
func (a Alert) fires(b *strings.Builder, series []Series) {
	fmt.Fprintf(b, "  - name: %s fires\n    interval: 1m\n    input_series:\n", a.Name)
	at := 60
	for _, s := range series {
		b.WriteString(s.yaml())
		if strings.Contains(s.values, fmt.Sprintf("x%d ", day-1)) {
			at = day + 60
		}
	}
	fmt.Fprintf(b, "    alert_rule_test:\n      - eval_time: %dm\n        alertname: %s\n        exp_alerts:\n          - exp_labels:\n"+
		"              severity: %s\n              job: shop\n              cache_name: users\n", at, a.Name, a.Severity)
	for _, l := range a.Labels {
		fmt.Fprintf(b, "              %s: %s\n", meter.Label(l), series[0].labels[meter.Label(l)])
	}
	fmt.Fprintf(b, "            exp_annotations:\n              summary: %q\n              description: %q\n", summary(a, "users", "shop"), a.Means)
}

// RuleTests is the file of the tests.
func RuleTests() []byte {
	var b strings.Builder
	b.WriteString("# Made by `make dashboards` from internal/dash: change it there.\nrule_files: [alerts.yaml]\nevaluation_interval: 2m\ntests:\n")
	for _, a := range Alerts {
		a.fires(&b, a.Broken)
		if a.OrBroken != nil {
			a.fires(&b, a.OrBroken)
		}
	}
	b.WriteString("  - name: all are quiet on two normal days\n    interval: 1m\n    input_series:\n")
	for _, s := range normal() {
		b.WriteString(s.yaml())
	}
	b.WriteString("    alert_rule_test:\n")
	for _, a := range Alerts {
		for at := 60; at < 2*day; at += 60 {
			fmt.Fprintf(&b, "      - {eval_time: %dm, alertname: %s, exp_alerts: []}\n", at, a.Name)
		}
	}
	return []byte(b.String())
}
