package telemetry

import "strings"

// Op is an operation: a span's name, and its sentry.op, which is what puts a
// span on Sentry's Caches page.
type Op string

// The operations.
const (
	OpGet      Op = "cache.get"
	OpPut      Op = "cache.put"
	OpRemove   Op = "cache.remove"
	OpFlush    Op = "cache.flush"
	OpLoad     Op = "cache.load"
	OpLockWait Op = "cache.lock.wait"
	OpRefresh  Op = "cache.refresh"
	OpSlide    Op = "cache.slide" // an operation of errors; it has no span
)

// failing are the operations that Redis may not answer.
var failing = []Op{OpGet, OpPut, OpRemove, OpFlush, OpLoad, OpLockWait, OpSlide}

// name is the operation as an attribute.
func (o Op) name() string { return strings.TrimPrefix(string(o), "cache.") }

// Outcome is what a look-up counts as. The zero value is none yet.
type Outcome uint8

// The outcomes of look-ups.
const (
	Miss Outcome = iota
	Hit
	HitL1
	Stale
	Absent
)

var outcomeNames = [...]string{"miss", "hit", "hit_l1", "stale", "absent"}

// LoadLabel is how a call of a loader ended.
type LoadLabel uint8

// The ways in which a call of a loader ends.
const (
	LoadOK LoadLabel = iota
	LoadError
	LoadAbsent
)

var loadNames = [...]string{"ok", "error", "absent"}

// Cause is why an entry is refreshed in the background.
type Cause uint8

// The causes of refreshes.
const (
	CauseEarly Cause = iota // XFetch
	CauseStale
)

var causeNames = [...]string{"early", "stale"}
