package record

// State is what a record, as it was read, means to a reader: the rows of the
// table "States and reads" in ARCHITECTURE.md. The zero value is a miss.
type State uint8

// The states of a record.
const (
	Missing      State = iota // nothing there, a lease or a back-off: acquire decides
	Invalid                   // ours, but unusable: replaced, never served
	Bypassed                  // an open write, or a newer schema: load without storing
	Foreign                   // not ours: load without storing, never touch
	Fresh                     // served
	Stale                     // past its soft expiry, within StaleWhileRevalidate: served, refreshed
	StaleIfError              // within StaleIfError only: served when the load fails
	Expired                   // past every window: as a miss, but the record is there to refresh
)

// Serves reports whether the record holds an entry that may be served as it is.
func (s State) Serves() bool { return s == Fresh || s == Stale }

// Replaceable reports whether a fill may replace the record.
func (s State) Replaceable() bool { return s != Bypassed && s != Foreign }
