package cache

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of a cache's counters since New. Hits, Stale, Absent and
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
	RedisErrors  int64         // operations that Redis did not answer properly
	Lag          time.Duration // for how long the oldest dirty key has waited, as last sampled
	Unencodable  int64         // values that the codec refused, returned without being stored
}

// stats are the counters behind Stats. Those on the hit path are sharded.
type stats struct {
	hits, hitsL1, stale, absent, misses sharded

	loads, loadErrors, loadsAbsent        atomic.Int64
	coalesced, lockWaits, refusedFills    atomic.Int64
	refreshes, bypassed, corrupt, foreign atomic.Int64
	redisErrors, unencodable              atomic.Int64
}

func (s *stats) snapshot() Stats {
	near := s.hitsL1.load()
	return Stats{
		HitsL1:       near,
		Hits:         s.hits.load() + near,
		Stale:        s.stale.load(),
		Absent:       s.absent.load(),
		Misses:       s.misses.load(),
		Loads:        s.loads.Load(),
		LoadErrors:   s.loadErrors.Load(),
		LoadsAbsent:  s.loadsAbsent.Load(),
		Coalesced:    s.coalesced.Load(),
		LockWaits:    s.lockWaits.Load(),
		RefusedFills: s.refusedFills.Load(),
		Refreshes:    s.refreshes.Load(),
		Bypassed:     s.bypassed.Load(),
		Corrupt:      s.corrupt.Load(),
		Foreign:      s.foreign.Load(),
		RedisErrors:  s.redisErrors.Load(),
		Unencodable:  s.unencodable.Load(),
	}
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
