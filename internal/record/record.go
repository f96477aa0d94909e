// Package record is what a record in Redis means to who reads it. Nothing here asks Redis
// or a clock: whoever has read the record says what is left of it.
package record

import (
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
)

// Found is a record as it was read: decoded, and not judged yet.
type Found struct {
	Header  envelope.Header
	Body    envelope.Body
	Err     error         // of its decoding
	Missing bool          // there is none
	Foreign bool          // it is of a Redis type other than a string
	Left    time.Duration // of an entry, until the soft expiry, never too long; negative once that has passed
	Timed   bool          // Left is known
}

// Windows are what a reader has to say about for how long an entry is served.
type Windows struct {
	// MaxAge bounds what is left of a sliding class's entry; 0: the class does not slide.
	MaxAge time.Duration
	// Stale is the longest time for which anything is served stale, and for which Expire
	// keeps what it makes stale.
	Stale time.Duration
}

// Record is a record as its reader sees it. Its body aliases the bytes that were read.
type Record struct {
	State   State
	Absent  bool   // the entry says that there is no such record
	Why     Reason // it is not used
	Err     error  // of its decoding
	Header  envelope.Header
	Body    envelope.Body
	Left    time.Duration // until the soft expiry; negative once it has passed
	Timed   bool          // Left is known
	sliding bool          // its reader's class slides
	now     int64         // about Redis's time in ms when it was read, of a sliding class; 0: not known
}

// Dependent reports whether the record's use depends on the tokens that it carries.
func (r *Record) Dependent() bool {
	return r.State >= Fresh && r.Header.Kind != envelope.Dirty
}

// Revoke makes the record invalid, because a token that it depends on was replaced.
func (r *Record) Revoke() { r.State, r.Why = Invalid, Revoked }

// Undecodable says that the codec does not decode the entry, which is invalid then;
// a write that is not flushed yet is bypassed.
func (r *Record) Undecodable() {
	r.State, r.Why = Invalid, Undecodable
	if r.Header.Kind == envelope.Dirty {
		r.State = Bypassed
	}
}

// Age is the time since the load that produced the entry began. What is left
// of its soft TTL tells it without any clock, except for an entry that may have
// been slid: there it takes about what time it is for Redis. 0: unknown.
func (r *Record) Age() time.Duration {
	switch {
	case r.now > 0 && r.Body.LoadedAt > 0:
		return time.Duration(r.now-r.Body.LoadedAt) * time.Millisecond
	case r.sliding || !r.Timed:
		return 0
	}
	return r.Body.Soft - r.Left
}

// Remaining is what XFetch draws against: what is left of a fresh entry's lifetime, and
// that lifetime; of a sliding entry its MaxAge counts, if its age is known. ok is false
// where there is nothing to draw against.
func (r *Record) Remaining(class *expiry.Policy) (left, soft time.Duration, ok bool) {
	if !r.Timed {
		return 0, 0, false
	}
	if !class.Sliding || r.Absent {
		return r.Left, r.Body.Soft, true
	}
	age := r.Age()
	return class.MaxAge - age, class.MaxAge, age != 0
}

// pastMaxAge reports whether the entry is past its class's MaxAge. Of a sliding
// entry past its soft expiry whose age is not known, that is assumed: it is not
// served stale.
func (r *Record) pastMaxAge(class *expiry.Policy) bool {
	if class.MaxAge == 0 || !r.Timed {
		return false
	}
	if age := r.Age(); age > 0 || !class.Sliding {
		return age > class.MaxAge
	}
	return r.Left <= 0
}
