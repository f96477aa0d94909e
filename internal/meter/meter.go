// Package meter is the list of what a cache measures. Its instruments are made
// from it, and so are the table in ARCHITECTURE.md, the dashboard and the alerts:
// none of them can name what there is not.
package meter

import "strings"

// Kind is what an instrument is to OpenTelemetry.
type Kind uint8

const (
	// Counter is an observable counter: it only grows.
	Counter Kind = iota
	// UpDown is an observable up-down counter: the figures of several processes
	// add up.
	UpDown
	// Gauge is an observable gauge of integers: they do not.
	Gauge
	// Seconds is an observable gauge of durations.
	Seconds
	// Durations is a histogram of seconds.
	Durations
	// Sizes is a histogram of bytes.
	Sizes
)

// String is the kind in words.
func (k Kind) String() string {
	return [...]string{"counter", "up-down counter", "gauge", "gauge", "histogram", "histogram"}[k]
}

// Histogram reports whether instruments of the kind are recorded, not observed.
func (k Kind) Histogram() bool { return k == Durations || k == Sizes }

// Labels. Keys are never among them.
const (
	Name    = "cache.name"
	Group   = "cache.group" // of WithKeyGroup; left out where there is none
	Outcome = "cache.outcome"
	Result  = "cache.load.result"
	Cause   = "cache.refresh.cause"
	Op      = "cache.operation"
)

// Labels are the values that a label can have; those of Name and Group are up to
// the program.
var Labels = map[string][]string{
	Name:    nil,
	Group:   nil,
	Outcome: {"hit_l1", "hit", "stale", "absent", "miss"},
	Result:  {"ok", "error", "absent"},
	Cause:   {"early", "stale"},
	Op:      {"get", "put", "remove", "flush", "load", "lock.wait", "slide"},
}

// Instrument is one of the list.
type Instrument struct {
	Name, Unit, Description string

	Kind    Kind
	Labels  []string  // beside Name, which all have
	Buckets []float64 // of a histogram: their upper bounds
	Where   string    // which caches have it; "": all
}

// durations are from a hit in the process to a load that times out.
var durations = []float64{.000001, .00001, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// loads are those of loaders and sinks: what is faster needs no cache.
var loads = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

var ages = []float64{.1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}

var sizes = []float64{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}

// Prometheus is the instrument's name there, as OpenTelemetry's exporters translate
// it: dots to underscores, the unit and what the kind adds at the end.
func (i Instrument) Prometheus() string {
	name := strings.ReplaceAll(i.Name, ".", "_")
	switch i.Unit {
	case "s":
		name += "_seconds"
	case "By":
		name = strings.TrimSuffix(name, "_bytes") + "_bytes"
	}
	if i.Kind == Counter {
		name += "_total"
	}
	return name
}

// Label is a label's name in Prometheus.
func Label(name string) string { return strings.ReplaceAll(name, ".", "_") }
