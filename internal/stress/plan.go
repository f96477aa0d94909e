package main

import (
	"context"
	"time"
)

// plan is what a worker process is told when it starts.
type plan struct {
	Job     string // a key of jobs
	Mode    string // how it caches
	Name    string // the cache's name, or what the controls' keys begin with
	Addrs   []string
	Cluster bool
	Ledger  string // the file of the system of record
	Rows    int    // and its rows: the keys, and one more to warm up with
	Worker  int    // 0 to Workers-1
	Workers int

	Callers  int           // goroutines that read
	LoadMin  time.Duration // a load takes this long after it has read
	LoadMax  time.Duration // to this long
	Fresh    time.Duration // TTL of entries
	Pause    time.Duration // readers of a storm: longest pause between two calls
	Write    time.Duration // history: longest pause of a writer; storm, chaos: between two writes
	Rate     int           // hot key, chaos: requests per second and worker
	SlowFrom time.Duration // calls that take this long are counted as slow
	Trace    bool          // report the loads one by one
	Filler   int           // bytes of each value that is written to provoke evictions; 0: none
	SlowAt   time.Duration // chaos: loads take LoadMin before this time of the round, LoadMax after it; 0: between them
	Limit    int           // chaos: how many loads each process may make at once, with a lease or without
}

// keys is the number of keys that the run is about.
func (p *plan) keys() int { return p.Rows - 1 }

// warmKey is the row that only the warm-up uses.
func (p *plan) warmKey() int { return p.Rows - 1 }

// order starts one round in a worker.
type order struct {
	Start time.Time     // when, on the clock that the processes share
	For   time.Duration // for how long, if the round does not end by itself
	Key   int           // which key, if the round is about one
}

// report is a worker's answer to an order, or the sum of several.
type report struct {
	Gets, Stale int64 // calls that returned a version, and those below the floor
	Writes      int64
	Loads       int64
	MostLoads   int64 // in the name of one call
	Slow        int64 // gets of at least plan.SlowFrom
	Unanswered  int64 // commands of the library that Redis did not answer in time
	Asked       int64 // of Redis, of a key that L1s have
	Failed      int64 // gets and writes that returned an error
	Failure     string
	First, Last time.Time // of a herd: the first call and the last return
	Calls       histogram // how long gets took
	Spans       []span    `json:",omitempty"` // the loads, if plan.Trace
	Ordeal      ordeal    // of chaos
}

// span is one load.
type span struct{ Begin, End time.Time }

// fail counts an error, and keeps the first. One because ctx has ended is none:
// the round was cut short.
func (r *report) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.Failed++
	if r.Failure == "" {
		r.Failure = err.Error()
	}
}

// merge adds other to r.
func (r *report) merge(other *report) {
	r.Gets += other.Gets
	r.Stale += other.Stale
	r.Writes += other.Writes
	r.Loads += other.Loads
	r.MostLoads = max(r.MostLoads, other.MostLoads)
	r.Slow += other.Slow
	r.Unanswered += other.Unanswered
	r.Asked += other.Asked
	r.Failed += other.Failed
	if r.Failure == "" {
		r.Failure = other.Failure
	}
	if r.First.IsZero() || !other.First.IsZero() && other.First.Before(r.First) {
		r.First = other.First
	}
	if other.Last.After(r.Last) {
		r.Last = other.Last
	}
	r.Calls.merge(other.Calls)
	r.Spans = append(r.Spans, other.Spans...)
	r.Ordeal.merge(&other.Ordeal)
}

// stalePart is the part of the gets that were stale.
func (r *report) stalePart() float64 {
	if r.Gets == 0 {
		return 0
	}
	return float64(r.Stale) / float64(r.Gets)
}
