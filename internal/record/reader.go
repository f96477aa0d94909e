package record

import (
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
)

// Reader is what judging a record needs to know of its reader.
type Reader struct {
	Codec    uint8
	Schema   uint16
	Migrates bool // unflushed writes of an older schema can be read
	Class    *expiry.Policy
	Window   time.Duration // for which Expire keeps what it makes stale
	Now      int64         // about Redis's time in ms, for a sliding class; else, or not known: 0
}

// Windows are what the store asks of the class, and of the cache's: Expire knows no other.
func (r *Reader) Windows() (w Windows) {
	w.Stale = max(r.Class.StaleWindow(), r.Window)
	if r.Class.Sliding {
		w.MaxAge = r.Class.MaxAge
	}
	return w
}

// Judge says what a record means that was found. The order of the checks is the order of
// the table.
func (r *Reader) Judge(found *Found) Record {
	switch {
	case found.Foreign:
		return Record{State: Foreign, Why: OtherType}
	case found.Missing:
		return Record{State: Missing}
	}
	header, body := &found.Header, &found.Body
	out := Record{Header: *header, Body: *body, Err: found.Err, Absent: body.Absent, now: r.Now, sliding: r.Class.Sliding}
	dirty := header.Kind == envelope.Dirty
	switch out.Why = r.unusable(found); {
	case out.Why == OtherBytes:
		out.State = Foreign
	case out.Why == NewerProgram, out.Why == NewerSchema, out.Why != Usable && dirty:
		out.State = Bypassed
	case errors.Is(found.Err, envelope.ErrNoBody):
		if header.Kind == envelope.Intent {
			out.State, out.Why = Bypassed, BeingWritten
		}
	case out.Why != Usable:
		out.State = Invalid
	case dirty:
		out.State = Fresh
	default:
		out.Left, out.Timed = found.Left, found.Timed
		if out.State = out.expiry(r.Class); out.State == Invalid {
			out.Why = PastMaxAge
		}
	}
	return out
}

// unusable is what makes a record unusable whatever its age.
func (r *Reader) unusable(found *Found) Reason {
	err, body := found.Err, &found.Body
	switch {
	case errors.Is(err, envelope.ErrForeign):
		return OtherBytes
	case errors.Is(err, envelope.ErrNewer):
		return NewerProgram
	case errors.Is(err, envelope.ErrNoBody):
		return Usable
	case err != nil:
		return Damaged
	case body.Schema > r.Schema:
		return NewerSchema
	case body.Codec != r.Codec && !body.Absent:
		return OtherCodec
	case body.Schema < r.Schema && (found.Header.Kind != envelope.Dirty || !body.Absent && !r.Migrates):
		return OlderSchema
	}
	return Usable
}

// expiry is which of its class's windows an entry is in. No clock of another machine is
// compared with anything: only the store knows how it knows what is left.
//
// A record of which that is not known (it expired while it was read, or somebody removed
// its expiry) counts as fresh and is not refreshed early.
func (r *Record) expiry(class *expiry.Policy) State {
	past := max(-r.Left, 0)
	switch {
	case r.pastMaxAge(class):
		return Invalid
	case !r.Timed || r.Left > 0:
		return Fresh
	case r.Absent:
		return Expired
	case past < min(class.StaleWhileRevalidate, r.Body.Grace):
		return Stale
	case past < min(class.StaleIfError, r.Body.Grace):
		return StaleIfError
	}
	return Expired
}
