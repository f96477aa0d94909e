package cache

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of a cache's counters since New, and of what it is doing. Hits, Stale, Absent and
// Misses add up to the look-ups: the calls of Get and GetOrLoad, and of their
// batch forms one for each key; a call that was refused for its arguments is
// none. A look-up counts as what its own first read found, except that one which
// ends with a stale value counts as Stale.
type Stats struct {
	HitsL1       int64         // fresh values from this process's memory; part of Hits
	Hits         int64         // fresh values
	Stale        int64         // values past their soft expiry, under StaleWhileRevalidate or StaleIfError
	Absent       int64         // remembered absences
	Misses       int64         // all other look-ups, also those that failed, or never began: ErrClosed, ctx had ended
	Loads        int64         // loader calls
	LoadErrors   int64         // loader calls that failed, panics included, ErrNotFound not
	LoadsAbsent  int64         // loader calls that said ErrNotFound
	Coalesced    int64         // times that a look-up joined a load of another caller in this process
	LockWaits    int64         // flights that waited for a load in another process
	RefusedFills int64         // loaded values that were not stored because they may be outdated
	Refreshes    int64         // refreshes begun in the background; one that finds the key being loaded ends without a load
	Bypassed     int64         // reads and writes that went past the cache: Redis failed, or the record must not be touched
	Corrupt      int64         // records of ours that could not be used: damaged, another codec, an older schema
	Foreign      int64         // records that are not ours
	Pending      int64         // invalidations that are queued now
	Dirty        int64         // write-behind keys of all processes that are not in the sink, as the workers of this process last sampled
	DeadLetters  int64         // write-behind values that were given up, as last sampled; these two and Lag are 0 where no worker runs
	Flushed      int64         // write-behind values that this process's workers brought to the sink
	FlushErrors  int64         // calls of the sink that failed
	RedisErrors  int64         // operations that Redis did not answer properly; each key of a batch is one
	Lag          time.Duration // for how long the oldest dirty key has waited, as last sampled
	Overdue      int64         // keys whose loader runs although its context has ended
	Refilling    int64         // 1 while loads are limited because the cache was emptied, else 0
	Unencodable  int64         // values that the codec refused, returned without being stored
	Unpublished  int64         // changes of this process that Redis did not publish to the L1s: its user may not
	Loading      int64         // keys that this process is loading now, for callers or to refresh them; waits for the load of another process included
	Waiting      int64         // look-ups of this process that wait for such a load now; each key of a batch is one
}

// stats are the counters behind Stats, but for those that are kept by group
// (keygroup.go).
type stats struct {
	coalesced, lockWaits, refusedFills      atomic.Int64
	bypassed, corrupt, foreign, unencodable atomic.Int64

	refreshes   [len(causeNames)]atomic.Int64
	redisErrors map[op]*atomic.Int64 // of each of failing; the map does not change
}

func newRedisErrors() map[op]*atomic.Int64 {
	all := make(map[op]*atomic.Int64, len(failing))
	for _, o := range failing {
		all[o] = new(atomic.Int64)
	}
	return all
}

// cause is why an entry is refreshed in the background.
type cause uint8

const (
	causeEarly cause = iota // XFetch
	causeStale
)

var causeNames = [...]string{"early", "stale"}

// snapshot adds the groups up.
func (t *telemetry) snapshot() Stats {
	s, g := &t.stats, t.groups
	near, failed, absent := g.total(outcomeHitL1), g.loaded(resultError), g.loaded(resultAbsent)
	all := Stats{
		HitsL1:       near,
		Hits:         g.total(outcomeHit) + near,
		Stale:        g.total(outcomeStale),
		Absent:       g.total(outcomeAbsent),
		Misses:       g.total(outcomeMiss),
		Loads:        g.loaded(resultOK) + failed + absent,
		LoadErrors:   failed,
		LoadsAbsent:  absent,
		Coalesced:    s.coalesced.Load(),
		LockWaits:    s.lockWaits.Load(),
		RefusedFills: s.refusedFills.Load(),
		Bypassed:     s.bypassed.Load(),
		Corrupt:      s.corrupt.Load(),
		Foreign:      s.foreign.Load(),
		Unencodable:  s.unencodable.Load(),
	}
	for i := range s.refreshes {
		all.Refreshes += s.refreshes[i].Load()
	}
	for _, n := range s.redisErrors {
		all.RedisErrors += n.Load()
	}
	return all
}

// sharded is a counter that goroutines on different processors add to without
// passing one cache line around.
type sharded struct {
	shards [8]struct {
		n atomic.Int64
		_ [56]byte // the rest of the cache line
	}
}

func (s *sharded) add() { s.shards[rand.Uint32()%uint32(len(s.shards))].n.Add(1) }

func (s *sharded) load() (sum int64) {
	for i := range s.shards {
		sum += s.shards[i].n.Load()
	}
	return sum
}
