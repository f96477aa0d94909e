package store

import (
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

// Left is how long the entry of r, with header h and body b, is still fresh, never too long;
// below zero it has been stale for so long. It is not known of an entry that has lost its
// expiry, or whose expiry came while it was read.
//
// By the clock of the node it is the soft deadline, but not beyond what the sealed times
// allow, less the latest that it can be there. Elsewhere see leftByPTTL.
func Left(r *Record, h *envelope.Header, b *envelope.Body, w Windows) (left time.Duration, known bool) {
	if r.Clock == nil {
		return leftByPTTL(r, h, b, w)
	}
	now, left := r.Clock.Latest(time.Now()), b.Soft
	if h.Fresh == 0 && b.LoadedAt == 0 {
		return 0, true // no program of ours stores such an entry
	}
	if h.Fresh > 0 {
		left = min(left, time.Duration(h.Fresh*1000-now)*time.Microsecond)
	}
	if b.LoadedAt > 0 {
		left = min(left, time.Duration(b.LoadedAt*1000-now)*time.Microsecond+max(b.Soft, w.MaxAge))
	}
	return left, true
}

// leftByPTTL is what Redis had left of the record less its grace, and less what the commit
// was on its way: by that the soft deadline is beyond what the sealed times allow.
//
// Expire cuts what is left of the record to the stale window. Of an entry whose own grace
// is shorter it would seem to be fresh again, so the window counts in place of the grace
// where Expire was: the soft deadline says so.
func leftByPTTL(r *Record, h *envelope.Header, b *envelope.Body, w Windows) (left time.Duration, known bool) {
	if r.PTTL < 0 {
		return 0, false
	}
	left = r.PTTL - b.Grace
	switch beyond := time.Duration(h.Fresh-b.LoadedAt) * time.Millisecond; {
	case h.Fresh%2 != 0:
		left = min(0, r.PTTL-max(b.Grace, w.Stale))
	case h.Fresh == 0 || b.LoadedAt == 0:
	default:
		left -= max(beyond-max(b.Soft, w.MaxAge), 0)
	}
	return min(b.Soft, left), true
}
