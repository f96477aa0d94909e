package cache

import (
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// state is what a record, as it was read, means to a reader: the rows of the
// table "States and reads" in ARCHITECTURE.md. The zero value is a miss.
type state uint8

const (
	missing      state = iota // nothing there, a lease or a back-off: acquire decides
	invalid                   // ours, but unusable: replaced, never served
	bypassed                  // an open write, or a newer schema: load without storing
	foreign                   // not ours: load without storing, never touch
	fresh                     // served
	stale                     // past its soft expiry, within StaleWhileRevalidate: served, refreshed
	staleIfError              // within StaleIfError only: served when the load fails
	expired                   // past every window: as a miss, but the record is there to refresh
)

// record is one Redis record as a reader sees it. Its body aliases the bytes
// that were read.
type record struct {
	state   state
	absent  bool // the entry says that there is no such record
	header  envelope.Header
	body    envelope.Body
	left    time.Duration // until the soft expiry; negative once it has passed
	timed   bool          // left is known
	now     int64         // about Redis's time in ms when it was read, of a sliding class; 0: not known
	sliding bool          // its reader's class slides
	void    bool          // invalid because a token that it depends on was replaced
}

// found reports whether the record holds an entry that may be served as it is.
func (r *record) found() bool { return r.state == fresh || r.state == stale }

// dependent reports whether the record's use depends on the tokens that it carries.
func (r *record) dependent() bool {
	return r.state >= fresh && r.header.Kind != envelope.Dirty
}

// untouchable reports whether the record must not be replaced by a fill.
func (r *record) untouchable() bool { return r.state == bypassed || r.state == foreign }

// age is the time since the load that produced the entry began. What is left
// of its soft TTL tells it without any clock, except for an entry that may have
// been slid: there it takes about what time it is for Redis. 0: unknown.
func (r *record) age() time.Duration {
	switch {
	case r.now > 0 && r.body.LoadedAt > 0:
		return time.Duration(r.now-r.body.LoadedAt) * time.Millisecond
	case r.sliding || !r.timed:
		return 0
	}
	return r.body.Soft - r.left
}

// stake is what XFetch draws against: what is left of a fresh entry's lifetime, and
// that lifetime; of a sliding entry its MaxAge counts, if its age is known. ok is false
// where there is nothing to draw against.
func (r *record) stake(class *TTL) (left, soft time.Duration, ok bool) {
	if !r.timed {
		return 0, 0, false
	}
	if !class.Sliding || r.absent {
		return r.left, r.body.Soft, true
	}
	age := r.age()
	return class.MaxAge - age, class.MaxAge, age != 0
}

// reader is what classifying a record needs to know of its reader.
type reader struct {
	codec  uint8
	schema uint16
	class  *TTL
	window time.Duration // for which Expire keeps what it makes stale
	now    int64         // about Redis's time in ms, for a sliding class; else, or not known: 0
}

// classify says what rec means. key is the Redis key. The order of the checks
// is the order of the table.
func (r reader) classify(key string, rec store.Record) record {
	switch {
	case rec.Foreign:
		return record{state: foreign}
	case rec.Data == nil:
		return record{state: missing}
	}
	header, body, err := envelope.Decode(rec.Data, key)
	out := record{header: header, body: body, absent: body.Absent, now: r.now, sliding: r.class.Sliding}
	switch {
	case errors.Is(err, envelope.ErrForeign):
		out.state = foreign
	case errors.Is(err, envelope.ErrNewer):
		out.state = bypassed
	case errors.Is(err, envelope.ErrNoBody):
		out.state = bodiless(header.Kind)
	case err != nil && header.Kind == envelope.Dirty:
		out.state = bypassed
	case err != nil:
		out.state = invalid
	case body.Schema > r.schema:
		out.state = bypassed
	case header.Kind == envelope.Dirty && body.Codec != r.codec && !body.Absent:
		out.state = bypassed
	case header.Kind == envelope.Dirty:
		out.state = fresh
	case body.Codec != r.codec && !body.Absent, body.Schema < r.schema:
		out.state = invalid
	default:
		out.expire(&r, &rec)
	}
	return out
}

// bodiless is the state of a record that holds no entry.
func bodiless(k envelope.Kind) state {
	if k == envelope.Intent {
		return bypassed
	}
	return missing
}

// expire works out what is left of an entry and which window it is in. Only the store
// knows how it knows: no clock of another machine is compared with anything.
//
// A record of which that is not known (it expired while it was read, or somebody removed
// its expiry) counts as fresh and is not refreshed early.
func (r *record) expire(by *reader, rec *store.Record) {
	class := by.class
	r.left, r.timed = rec.Left(&r.header, &r.body, by.windows())
	past := max(-r.left, 0)
	switch {
	case r.tooOld(class):
		r.state = invalid
	case !r.timed || r.left > 0:
		r.state = fresh
	case r.absent:
		r.state = expired
	case past < min(class.StaleWhileRevalidate, r.body.Grace):
		r.state = stale
	case past < min(class.StaleIfError, r.body.Grace):
		r.state = staleIfError
	default:
		r.state = expired
	}
}

// windows are what the store asks of the class, and of the cache's: Expire knows no other.
func (r *reader) windows() (w store.Windows) {
	w.Stale = max(r.class.policy().StaleWindow(), r.window)
	if r.class.Sliding {
		w.MaxAge = r.class.MaxAge
	}
	return w
}

// tooOld reports whether the entry is past its class's MaxAge. Of a sliding
// entry past its soft expiry whose age is not known, that is assumed: it is not
// served stale.
func (r *record) tooOld(class *TTL) bool {
	if class.MaxAge == 0 || !r.timed {
		return false
	}
	if age := r.age(); age > 0 || !class.Sliding {
		return age > class.MaxAge
	}
	return r.left <= 0
}
