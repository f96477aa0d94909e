package region

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Options are what a region is made of.
type Options struct {
	Space  keyspace.Space
	Class  *expiry.Policy // the cache's own
	Codec  uint8
	Schema uint16
	// Migrates says that unflushed writes of an older schema can be read.
	Migrates bool
	// ProofSize is how long the proof in each record is, which authenticates it; 0: there
	// are none.
	ProofSize int

	Loads       load.Settings
	LoadTimeout time.Duration
	Logger      *slog.Logger
	Telemetry   *telemetry.Recorder

	// Failed hears errors of Redis that a caller may never see, nils among them.
	Failed func(op telemetry.Op, errs ...error)
	// Refused hears of a key whose loaded value was not stored.
	Refused func(key string)
}

// Region is one named set of entries. Make it with [New], then set Store and what the
// strategy and the L1 say, before it is used.
type Region struct {
	Space      keyspace.Space
	Store      *store.Store
	Pending    *pending.Queue
	Flights    *load.Group
	Clear      ClearLease
	Strategy   StrategyRecord
	Background *Background
	Expected   load.Expectation // of look-ups

	RedisKey func(key string) string // where an entry lives is up to the strategy
	Buffered bool                    // the strategy keeps writes in Redis that are not flushed yet
	Local    *near.Space             // the L1's part; nil: no L1

	Options
	releases *load.Slots
	channel  string       // where changes are told
	usual    atomic.Int64 // encoded bytes of the last value, at most mostUsual
}

// New returns a region that has not asked Redis for anything.
func New(o Options) *Region {
	r := &Region{
		Space: o.Space, Options: o, RedisKey: o.Space.Entry, channel: o.Space.Channel(),
		Background: newBackground(), Flights: load.NewGroup(o.Loads),
		releases: load.NewSlots(o.Loads.Places.Limit()),
	}
	r.Pending = r.newQueue()
	r.Clear.emptied = r.Flights.Places.Refill
	return r
}

// Judge says what rec, which was read under redisKey, means to a reader with class.
func (r *Region) Judge(ctx context.Context, class *expiry.Policy, redisKey string, rec *store.Record) record.Record {
	reader := record.Reader{Codec: r.Codec, Schema: r.Schema, Class: class, Window: r.Class.StaleWindow(), Migrates: r.Migrates}
	if class.Sliding {
		reader.Now = r.Store.Now(ctx, redisKey)
	}
	found := store.Found(rec, redisKey, reader.Windows())
	return reader.Judge(&found)
}

// Hurry has what Redis did not take sent at once: it answers again. The cache refills
// then, also if Redis has lost nothing: its clear token tells nothing of what was
// invalidated meanwhile, which may be most of the keys.
func (r *Region) Hurry() {
	r.Flights.Places.Refill()
	r.Pending.Hurry()
}

func (r *Region) failed(op telemetry.Op, errs ...error) { r.Failed(op, errs...) }
