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

// expiredEarly is by how much the soft deadline is before what the sealed times say at
// least, if Expire has made the entry stale before its time, beside what the load took:
// a Redis whose clock stands still, as that of a test may, knows nothing of that. It is
// for what comes between a load and its commit.
const expiredEarly = 100 * time.Millisecond

// leftByPTTL is what Redis had left of the record less its grace, and less what the commit
// was on its way: by that the soft deadline is beyond what the sealed times allow.
//
// Expire cuts what is left of the record to the stale window. Of an entry whose own grace
// is shorter it would seem to be fresh again, so the window counts in place of the grace
// once Expire was there: where the sealed times show it, and where they cannot, because
// there is no load time or the entry may have been slid. Then what is left may be too low.
// It is too high only of a loaded entry of a shorter grace that Expire met so shortly
// before its own end, on a server whose clock is not known at all.
func leftByPTTL(r *Record, h *envelope.Header, b *envelope.Body, w Windows) (left time.Duration, known bool) {
	if r.PTTL < 0 {
		return 0, false
	}
	left, window := r.PTTL-b.Grace, r.PTTL-max(b.Grace, w.Stale)
	beyond := time.Duration(h.Fresh-b.LoadedAt) * time.Millisecond
	switch {
	case h.Fresh == 0: // Expire was not there: it leaves a deadline
	case b.LoadedAt == 0:
		left = window
	case beyond < b.Soft-b.Delta-expiredEarly:
		left = min(0, window)
	case w.MaxAge > 0:
		left = min(left-max(beyond-max(b.Soft, w.MaxAge), 0), window)
	default:
		left -= max(beyond-b.Soft, 0)
	}
	return min(b.Soft, left), true
}
