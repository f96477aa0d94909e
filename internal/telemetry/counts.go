package telemetry

import (
	"sync/atomic"
	"time"
)

// Counts are a cache's counters, but for those that are kept by group.
type Counts struct {
	Coalesced, LockWaits, RefusedFills      atomic.Int64
	Bypassed, Corrupt, Foreign, Unencodable atomic.Int64

	Refreshes   [len(causeNames)]atomic.Int64
	redisErrors map[Op]*atomic.Int64 // of each of failing; the map does not change
}

func newRedisErrors() map[Op]*atomic.Int64 {
	all := make(map[Op]*atomic.Int64, len(failing))
	for _, o := range failing {
		all[o] = new(atomic.Int64)
	}
	return all
}

// RedisFailed counts n operations that Redis did not answer.
func (c *Counts) RedisFailed(o Op, n int64) { c.redisErrors[o].Add(n) }

// Stats is the root package's Stats, whose comments say what the fields mean. The two
// have the same fields in the same order, so that one is converted for nothing to the
// other, and does not compile where they differ.
type Stats struct {
	HitsL1, Hits, Stale, Absent, Misses      int64
	Loads, LoadErrors, LoadsAbsent           int64
	Coalesced, LockWaits, RefusedFills       int64
	Refreshes                                int64
	Bypassed, Corrupt, Foreign               int64
	Pending                                  int64
	Dirty, DeadLetters, Flushed, FlushErrors int64
	RedisErrors                              int64
	Lag                                      time.Duration
	Overdue, Refilling                       int64
	Unencodable, Unpublished                 int64
	Loading, Waiting                         int64
	Retrying                                 int64
	OldestRetry                              time.Duration
	SinkCalls, WaitingPuts                   int64
}

// Snapshot is what the recorder counts. The groups are added up.
func (r *Recorder) Snapshot() Stats {
	g := r.groups
	near, failed, absent := g.total(HitL1), g.loaded(LoadError), g.loaded(LoadAbsent)
	all := Stats{
		HitsL1:       near,
		Hits:         g.total(Hit) + near,
		Stale:        g.total(Stale),
		Absent:       g.total(Absent),
		Misses:       g.total(Miss),
		Loads:        g.loaded(LoadOK) + failed + absent,
		LoadErrors:   failed,
		LoadsAbsent:  absent,
		Coalesced:    r.Coalesced.Load(),
		LockWaits:    r.LockWaits.Load(),
		RefusedFills: r.RefusedFills.Load(),
		Bypassed:     r.Bypassed.Load(),
		Corrupt:      r.Corrupt.Load(),
		Foreign:      r.Foreign.Load(),
		Unencodable:  r.Unencodable.Load(),
	}
	for i := range r.Refreshes {
		all.Refreshes += r.Refreshes[i].Load()
	}
	for _, n := range r.redisErrors {
		all.RedisErrors += n.Load()
	}
	return all
}
