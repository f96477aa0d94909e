package region

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Entry is an entry on its way into Redis.
type Entry struct {
	Class       *expiry.Policy
	Stamp       Stamp
	Absent      bool
	Version     uint64
	LoadedAt    int64 // Redis time in ms; 0: unknown
	Delta, EWMA time.Duration
	Behind      bool      // a put: Redis assigns the version
	Began       time.Time // when the load began; zero: now, it was not loaded

	Soft, Grace time.Duration
	Size        int // encoded bytes of the value; -1: none

	record []byte // room for the header, and the body
	head   int    // where the value begins in it
	crcAt  int
	proof  int           // how many bytes of it are before that
	lives  bool          // something was left of its life when it was sent
	usual  *atomic.Int64 // hears how large the value is
}

// mostUsual bounds the room for a value that is made because the last one needed it.
const mostUsual = 4 << 10

// life is the PX of the entry: Fresh runs from the start of the load, so a load
// that took longer than that leaves nothing to store, and 0 removes the record.
func (e *Entry) life(now time.Time) time.Duration {
	life := expiry.AddDurations(e.Soft, e.Grace)
	if !e.Began.IsZero() {
		life -= now.Sub(e.Began)
	}
	return max(life.Truncate(time.Millisecond), 0)
}

// Times is life, and how much of it the entry is fresh: below zero, it has been stale
// for so long.
func (e *Entry) Times(now time.Time) (soft, life time.Duration) {
	life = e.life(now)
	return life - e.Grace, life
}

// Record is what is stored, but for its header; nil before [Entry.Seal].
func (e *Entry) Record() []byte { return e.record }

// Open begins e's record: times from its class, and what it depends on. The value, if it
// has one, is to be appended to what it returns, for [Entry.Seal].
func (r *Region) Open(e *Entry, redisKey string) ([]byte, error) {
	if e.LoadedAt == 0 && !e.Behind {
		e.LoadedAt = r.Store.Earliest(context.Background(), redisKey)
	}
	e.Size, e.usual = -1, &r.usual
	room := envelope.HeaderSize + 128
	if e.Absent {
		e.Soft, e.Grace = e.Class.Absent, 0
	} else {
		room += int(r.usual.Load())
		e.Soft = e.Class.Soft(rand.Float64())
		e.Grace = e.Class.Grace(r.LoadTimeout, max(e.Delta, e.EWMA))
	}
	data, crcAt, err := envelope.AppendBody(make([]byte, envelope.HeaderSize, room), &envelope.Body{
		Absent: e.Absent, Codec: r.Codec, Schema: r.Schema, LoadedAt: e.LoadedAt, Delta: e.Delta, EWMA: e.EWMA,
		Clear: e.Stamp.Clear, Tags: e.Stamp.Tags, Soft: e.Soft, Grace: e.Grace, Proof: noProof[:r.ProofSize],
	})
	e.head, e.crcAt, e.proof = len(data), crcAt, r.ProofSize
	return data, err
}

// noProof stands in for a proof until the value is there.
var noProof [envelope.MaxProof]byte

// ToProve is, of a record of which all but the proof is there, what is to be proven beside
// the value, the value, and where the proof goes.
func (e *Entry) ToProve(data []byte) (proven, value, proof []byte) {
	body := data[envelope.HeaderSize:]
	return body[:e.crcAt-e.proof-1], data[e.head:], body[e.crcAt-e.proof : e.crcAt]
}

// Seal ends e's record, which Open has begun.
func (e *Entry) Seal(data []byte, redisKey string) {
	if !e.Absent {
		e.Size = len(data) - e.head
		e.usual.Store(int64(min(e.Size, mostUsual)))
	}
	envelope.Seal(data[envelope.HeaderSize:], e.crcAt, redisKey, e.Version)
	e.record = data
}

// ToStore is e as the store sends it without a lease.
func (r *Region) ToStore(e *Entry, key, redisKey string) store.Entry {
	soft, life := e.Times(e.Began)
	return store.Entry{
		Key: redisKey, Version: e.Version, TTL: life, Soft: soft, CID: envelope.NewToken(), Record: e.record, Notice: r.Notice(key),
	}
}

// Put is e as spans tell of it; nil is none.
func (e *Entry) Put(key string) telemetry.Put {
	if e == nil {
		return telemetry.Put{Key: key, Size: -1}
	}
	return telemetry.Put{Key: key, Size: e.Size, TTL: e.Soft}
}
