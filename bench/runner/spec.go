// Package runner measures in fresh processes. The parent starts a child for each
// measurement: the same program with a [Spec]. The child prepares, says that it is
// ready, waits for the word, measures, and says what it found; the parent counts
// meanwhile what Redis was asked. Nothing is measured twice in one process, so no row
// lives off another's warm heap or pool.
package runner

import "time"

// Spec is what a child is to measure.
type Spec struct {
	Job        string             `json:"job"` // a scenario's child
	Row        string             `json:"row"`
	Addr       string             `json:"addr"` // of Redis
	Goroutines int                `json:"goroutines,omitempty"`
	Keys       int                `json:"keys,omitempty"`
	Size       int                `json:"size,omitempty"` // of a value's JSON, bytes
	For        time.Duration      `json:"for,omitempty"`
	Count      int                `json:"count,omitempty"` // operations, where For does not say when to stop
	Process    int                `json:"process,omitempty"`
	Round      int                `json:"round,omitempty"`
	Mode       string             `json:"mode,omitempty"`  // what the job makes of it
	Extra      map[string]float64 `json:"extra,omitempty"` // what the job makes of it
	CPUProfile string             `json:"cpuProfile,omitempty"`
}

// Sample is what one measurement found, by the names of the columns.
type Sample map[string]float64

// Names of figures that all jobs share.
const (
	Ops       = "ops"       // operations
	Rate      = "ops/s"     // operations a second
	CPU       = "cpu µs/op" // of the child, user and system
	Allocs    = "allocs/op"
	Bytes     = "B/op" // allocated
	P50       = "p50 µs"
	P99       = "p99 µs"
	PerOp     = "ns/op"
	Failures  = "errors"
	Loads     = "loads"        // calls of the loader
	ServerCPU = "server µs/op" // CPU of Redis, measured by the parent
)
