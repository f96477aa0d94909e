package record

import (
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
)

// Reader is what judging a record needs to know of its reader.
type Reader struct {
	Codec  uint8
	Schema uint16
	Class  *expiry.Policy
	Window time.Duration // for which Expire keeps what it makes stale
	Now    int64         // about Redis's time in ms, for a sliding class; else, or not known: 0
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
		return Record{State: Foreign}
	case found.Missing:
		return Record{State: Missing}
	}
	header, body, err := &found.Header, &found.Body, found.Err
	out := Record{Header: *header, Body: *body, Absent: body.Absent, now: r.Now, sliding: r.Class.Sliding}
	switch {
	case errors.Is(err, envelope.ErrForeign):
		out.State = Foreign
	case errors.Is(err, envelope.ErrNewer):
		out.State = Bypassed
	case errors.Is(err, envelope.ErrNoBody):
		out.State = bodiless(header.Kind)
	case err != nil && header.Kind == envelope.Dirty:
		out.State = Bypassed
	case err != nil:
		out.State = Invalid
	case body.Schema > r.Schema:
		out.State = Bypassed
	case header.Kind == envelope.Dirty && body.Codec != r.Codec && !body.Absent:
		out.State = Bypassed
	case header.Kind == envelope.Dirty:
		out.State = Fresh
	case body.Codec != r.Codec && !body.Absent, body.Schema < r.Schema:
		out.State = Invalid
	default:
		out.Left, out.Timed = found.Left, found.Timed
		out.State = out.expiry(r.Class)
	}
	return out
}

// bodiless is the state of a record that holds no entry.
func bodiless(k envelope.Kind) State {
	if k == envelope.Intent {
		return Bypassed
	}
	return Missing
}

// expiry is which of its class's windows an entry is in. No clock of another machine is
// compared with anything: only the store knows how it knows what is left.
//
// A record of which that is not known (it expired while it was read, or somebody removed
// its expiry) counts as fresh and is not refreshed early.
func (r *Record) expiry(class *expiry.Policy) State {
	past := max(-r.Left, 0)
	switch {
	case r.PastMaxAge(class):
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
