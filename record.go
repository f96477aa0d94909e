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
	unproved                  // read again, with what is left of it
)

// record is one Redis record as a reader sees it. Its body aliases the bytes
// that were read.
type record struct {
	state  state
	absent bool // the entry says that there is no such record
	header envelope.Header
	body   envelope.Body
	left   time.Duration // until the soft expiry; negative once it has passed
	timed  bool          // left is known
	void   bool          // invalid because a token that it depends on was replaced
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
// been slid: there it takes now, an estimate of Redis time in ms. 0: unknown.
func (r *record) age(now int64) time.Duration {
	switch {
	case now > 0 && r.body.LoadedAt > 0:
		return time.Duration(now-r.body.LoadedAt) * time.Millisecond
	case now > 0 || !r.timed:
		return 0
	}
	return r.body.Soft - r.left
}

// stake is what XFetch draws against: what is left of a fresh entry's lifetime, and
// that lifetime; of a sliding entry its MaxAge counts, if its age is known at now, an
// estimate of Redis time in ms. ok is false where there is nothing to draw against.
func (r *record) stake(class *TTL, now int64) (left, soft time.Duration, ok bool) {
	if !r.timed {
		return 0, 0, false
	}
	if !class.Sliding || r.absent {
		return r.left, r.body.Soft, true
	}
	age := r.age(now)
	return class.MaxAge - age, class.MaxAge, age != 0
}

// reader is what classifying a record needs to know of its reader.
type reader struct {
	codec  uint8
	schema uint16
	class  *TTL
	now    int64 // of the redisClock, for a sliding class; else 0
	peeked bool  // the record was read without what is left of it
	latest int64 // the latest that Redis's clock can say, in us; 0: not known
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
	out := record{header: header, body: body, absent: body.Absent}
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
	case r.peeked:
		out.prove(r.class, r.latest)
	default:
		out.expire(r.class, rec.PTTL, r.now)
	}
	return out
}

// prove is expire for a record that was read without its PTTL: what is left is worked
// out from its soft deadline, but not beyond what the sealed times allow, and the latest
// that it can be now for Redis, so at least so much is left. It is not for an entry
// whose load time nobody knows.
func (r *record) prove(class *TTL, latest int64) {
	r.state = unproved
	at := r.body.LoadedAt
	if at == 0 || at > latest/1000 {
		return
	}
	r.left, r.timed = time.Duration(at*1000-latest)*time.Microsecond+r.body.Soft, true
	if fresh := r.header.Fresh; fresh > 0 {
		r.left = min(r.left, time.Duration(fresh*1000-latest)*time.Microsecond)
	}
	r.window(class, max(-r.left, 0), 0)
}

// bodiless is the state of a record that holds no entry.
func bodiless(k envelope.Kind) state {
	if k == envelope.Intent {
		return bypassed
	}
	return missing
}

// expire works out what is left of an entry and which window it is in. Redis
// keeps the record for its soft TTL plus a grace, so PTTL less the grace is
// what is left: no clock of another machine is compared with anything.
//
// Expire shortens a record's life to the longest window, so of an entry that was
// expired before its time the window tells for how long it has been stale, as far as
// it is used up.
//
// A record without a known PTTL (it expired between PTTL and GET, or somebody
// removed its expiry) counts as fresh and is not refreshed early.
func (r *record) expire(class *TTL, pttl time.Duration, now int64) {
	if pttl >= 0 {
		r.left, r.timed = pttl-r.body.Grace, true
	}
	past := max(-r.left, 0)
	if r.early() && r.timed {
		r.left = min(r.left, 0)
		past = max(class.staleWindow()-pttl, 0)
	}
	r.window(class, past, now)
}

// earlier is by how much the soft deadline must be before what the sealed times say
// for the entry to count as expired before its time.
const earlier = time.Second

// early reports whether Expire has made the entry stale before its time.
func (r *record) early() bool {
	fresh, at := r.header.Fresh, r.body.LoadedAt
	return fresh > 0 && at > 0 && fresh < at+(r.body.Soft-earlier).Milliseconds()
}

// window is which window an entry is in that has been stale for past.
func (r *record) window(class *TTL, past time.Duration, now int64) {
	switch {
	case r.tooOld(class, now):
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

// tooOld reports whether the entry is past its class's MaxAge. Of a sliding
// entry past its soft expiry whose age is not known, that is assumed: it is not
// served stale.
func (r *record) tooOld(class *TTL, now int64) bool {
	if class.MaxAge == 0 || !r.timed {
		return false
	}
	if age := r.age(now); age > 0 || !class.Sliding {
		return age > class.MaxAge
	}
	return r.left <= 0
}

// staleWindow is the longest time for which the class serves anything stale.
func (t *TTL) staleWindow() time.Duration {
	return max(t.StaleWhileRevalidate, t.StaleIfError)
}
