package dash

import (
	"fmt"
	"strings"

	"github.com/larder-go/cache/internal/meter"
)

// Alert is one alerting rule. Broken are series on which it fires, within an hour
// after a day as they are before; OrBroken are others.
type Alert struct {
	Name, Expr, For, Severity string
	Means                     string
	Labels                    []string // of what it fires for, beside job and the cache's name
	Broken, OrBroken          []Series
}

// per is a second's rate over a window, by job and cache.
func per(id meter.ID, window string, more ...string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s[%s]))", labels(more), name(id), window)
}

// outcomes is per of look-ups with these outcomes.
func outcomes(which, window string) string {
	return fmt.Sprintf(`sum by (%s) (rate(%s{%s=~"%s"}[%s]))`, labels(nil), name(meter.Requests), meter.Label(meter.Outcome), which, window)
}

// top is the highest of the processes.
func top(id meter.ID) string { return fmt.Sprintf("max by (%s) (%s)", labels(nil), name(id)) }

func labels(more []string) string { return "job, " + by(more) }

// The recorded series, for what is compared with its own past.
const (
	missRatio = "job_cache:cache_miss_ratio:rate10m"
	coalesced = "job_cache:cache_coalesced:rate5m"
)

// Records are the recording rules: name and expression.
var Records = [][2]string{
	{missRatio, outcomes("miss", "10m") + " / " + per(meter.Requests, "10m")},
	{coalesced, per(meter.Coalesced, "5m")},
}

// Alerts are the alerting rules.
var Alerts = []Alert{
	{
		Name: "CacheMissRatioDeviates", For: "10m", Severity: "warning",
		Means: "Misses are far more frequent than they were over the last day, beyond its ups and downs: keys, codec or schema have changed, Redis evicts, or invalidations have become many.",
		Expr: fmt.Sprintf("%[1]s > avg_over_time(%[1]s[1d] offset 1h) + 3 * stddev_over_time(%[1]s[1d] offset 1h) + 0.05\n"+
			"and %[2]s > 1", missRatio, per(meter.Requests, "10m")),
		Broken: []Series{
			requests("hit", steadily(day, 540), steadily(90, 240)), requests("miss", steadily(day, 60), steadily(90, 360)),
		},
	},
	{
		Name: "CacheStampedeSuspected", For: "5m", Severity: "warning",
		Means: "Loads are repeated: there are half as many again as look-ups and refreshes that could have caused one; or far more look-ups wait for loads of others than usual. Look for a hot key that is invalidated all the time, a lease that is evicted, or a Redis that fails.",
		Expr: fmt.Sprintf("(%[1]s > 1 and %[1]s > 1.5 * clamp_min(%[2]s + %[3]s - %[4]s, 0))\n"+
			"or (%[4]s > 5 and %[4]s > 0.5 * %[5]s and %[4]s > 5 * avg_over_time(%[6]s[1d] offset 1h))",
			per(meter.Loads, "5m"), outcomes("miss|stale", "5m"), per(meter.Refreshes, "5m"), per(meter.Coalesced, "5m"),
			outcomes("miss", "5m"), coalesced),
		Broken: []Series{
			requests("hit", steadily(day+90, 540)), requests("miss", steadily(day, 60), steadily(90, 6000)),
			of(meter.Loads, "cache_load_result", "ok").with(steadily(day, 55), steadily(90, 60)),
			of(meter.Refreshes, "cache_refresh_cause", "early").with(steadily(day+90, 0)),
			of(meter.Coalesced).with(steadily(day, 5), steadily(90, 5940)),
		},
		OrBroken: []Series{
			requests("hit", steadily(90, 540)), requests("miss", steadily(90, 60)), requests("stale", steadily(90, 0)),
			of(meter.Loads, "cache_load_result", "ok").with(steadily(90, 300)),
			of(meter.Refreshes, "cache_refresh_cause", "early").with(steadily(90, 5)),
			of(meter.Coalesced).with(steadily(90, 20)),
		},
	},
	{
		Name: "CacheFillsRefused", For: "10m", Severity: "warning",
		Means:  "More than a tenth of what is loaded is not stored, because a change overlapped its load: keys change faster than they load.",
		Expr:   fmt.Sprintf("%[1]s > 0.05 and %[1]s > 0.1 * %[2]s", per(meter.RefusedFills, "10m"), per(meter.Loads, "10m")),
		Broken: []Series{of(meter.Loads, "cache_load_result", "ok").with(steadily(90, 60)), of(meter.RefusedFills).with(steadily(90, 20))},
	},
	{
		Name: "CacheRedisErrors", For: "5m", Severity: "warning", Labels: []string{meter.Op},
		Means:  "Redis does not answer operations of the cache properly; values are loaded instead.",
		Expr:   per(meter.RedisErrors, "5m", meter.Op) + " > 0.05",
		Broken: []Series{of(meter.RedisErrors, "cache_operation", "get").with(steadily(90, 30))},
	},
	{
		Name: "CacheBreakerOpen", For: "1m", Severity: "critical",
		Means:  "Redis, or a node of it, is not asked because it does not answer: what it would have are loads now, within the load limit.",
		Expr:   top(meter.BreakerOpen) + " > 0",
		Broken: []Series{of(meter.BreakerOpen).with(level(90, 1))},
	},
	{
		Name: "CacheInvalidationsPending", For: "5m", Severity: "critical",
		Means:  "Invalidations have been waiting for Redis: other processes may serve what was invalidated.",
		Expr:   fmt.Sprintf("sum by (%s) (%s) > 0", labels(nil), name(meter.Pending)),
		Broken: []Series{of(meter.Pending).with(level(90, 3))},
	},
	{
		Name: "CacheWriteBehindLag", For: "5m", Severity: "critical",
		Means:  "Acknowledged writes have not been in the sink for a minute: it fails, or is slower than the writes.",
		Expr:   top(meter.Lag) + " > 60",
		Broken: []Series{of(meter.Lag).with(growing(90, 20))},
	},
	{
		Name: "CacheWriteBehindUnseen", For: "5m", Severity: "critical",
		Means: "No process tells how much waits for the sink, though one did within the last day, or is running: all are gone, or Redis does not answer them, while what they put may wait there. Of a cache that was given up this ends after a day.",
		// absent() makes the labels of what it misses from its selector, and this rule is for
		// caches of any name: what is missed is what was there, or writes behind.
		Expr: fmt.Sprintf("group by (%[1]s) (present_over_time(%[2]s[1d]) or %[3]s)\nunless group by (%[1]s) (%[2]s)",
			labels(nil), name(meter.Lag), name(meter.Flushed)),
		Broken:   []Series{of(meter.Lag).with(level(30, .2))},
		OrBroken: []Series{of(meter.Flushed).with(steadily(90, 0))},
	},
	{
		Name: "CacheSinkDoesNotAnswer", For: "5m", Severity: "critical",
		Means: "A process has calls of the sink under way, and none has returned for five minutes: the system of record hangs, and the sink does not look at its context.",
		Expr: fmt.Sprintf("max by (%s) (%s > 0 unless rate(%s_count[5m]) > 0)",
			labels(nil), name(meter.SinkCalls), name(meter.SinkDuration)),
		Broken: []Series{
			of(meter.SinkCalls).with(level(90, 4)), counted(meter.SinkDuration).with(steadily(30, 60), steadily(60, 0)),
		},
		OrBroken: []Series{of(meter.SinkCalls).with(level(90, 1))},
	},
	{
		Name: "CacheSinkRetries", For: "5m", Severity: "warning",
		Means:  "The sink has failed with the same key for ten minutes, which is longer than it takes to give up a value that it alone refuses: it fails with all, or its failures do not count. The log has what it says.",
		Expr:   top(meter.OldestRetry) + " > 600",
		Broken: []Series{of(meter.OldestRetry).with(growing(90, 60))},
	},
	{
		Name: "CachePutsWait", For: "5m", Severity: "critical",
		Means:  "Calls of Set and Delete wait for room: MaxDirty keys wait for the sink, or are dead letters.",
		Expr:   fmt.Sprintf("sum by (%s) (%s) > 0", labels(nil), name(meter.WaitingPuts)),
		Broken: []Series{of(meter.WaitingPuts).with(level(90, 3))},
	},
	{
		Name: "CacheDeadLetters", For: "5m", Severity: "critical",
		Means:  "The sink has refused values for good. They are in no system of record until somebody retries or drops them: DeadLetters lists them.",
		Expr:   top(meter.DeadLetters) + " > 0",
		Broken: []Series{of(meter.DeadLetters).with(level(90, 1))},
	},
	{
		Name: "CacheL1Evictions", For: "15m", Severity: "info",
		Means:  "More than a fifth of what is put into the L1 has to make room for something else: its MaxBytes is too small for what is hot.",
		Expr:   fmt.Sprintf("%[1]s > 1 and %[1]s > 0.2 * %[2]s", per(meter.L1Evictions, "10m"), outcomes("hit|miss", "10m")),
		Broken: []Series{requests("hit", steadily(90, 600)), of(meter.L1Evictions).with(steadily(90, 300))},
	},
}

// Rules is the file of the rules.
func Rules() []byte {
	var b strings.Builder
	b.WriteString("# Made by `make dashboards` from internal/dash: change it there. Thresholds are yours to tune.\ngroups:\n  - name: larder-cache\n    rules:\n")
	for _, r := range Records {
		fmt.Fprintf(&b, "      - record: %s\n        expr: %s\n", r[0], r[1])
	}
	for _, a := range Alerts {
		fmt.Fprintf(&b, "      - alert: %s\n        expr: |\n          %s\n        for: %s\n        labels:\n          severity: %s\n        annotations:\n          summary: %q\n          description: %q\n",
			a.Name, strings.ReplaceAll(a.Expr, "\n", "\n          "), a.For, a.Severity, summary(a, "{{ $labels.cache_name }}", "{{ $labels.job }}"), a.Means)
	}
	return []byte(b.String())
}

func summary(a Alert, cache, job string) string {
	return a.Name + ": cache " + cache + " of " + job
}
