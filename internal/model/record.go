package model

// The scripts, as far as one key and its versions are concerned. Each is atomic.

// commit answers what a commit did.
type commit uint8

const (
	refused commit = iota
	committed
	older // what is cached is fresh and newer
)

// version is the number in the header of an entry that holds val.
func (s *State) version(val int8) int8 {
	if s.lower&(1<<val) != 0 {
		return -val
	}
	return val + 1
}

// commitLoad is the script commit, sent by a load that holds tok and found val, captured tag
// and, if absent, found no row. The version of a record counts only while it is fresh: one
// that has to be loaded again is replaced by what the database has.
func (m *keyed) commitLoad(s *State, tok, val, tag int8) commit {
	r := &s.rec
	held := (r.kind == lease || r.holdsValue()) && r.tok == tok
	absent := s.gone&(1<<val) != 0
	switch {
	case m.get.anyToken && (r.kind == lease || r.holdsValue()) && r.tok != 0:
	case m.get.commitOnMissing && r.kind == none:
	case m.get.removeUnfenced && absent:
	case !held:
		return refused
	}
	if absent && m.get.absentRemoves {
		*r = record{}
		return committed
	}
	ver := s.version(val)
	if absent || m.get.unversioned {
		ver = 0
	}
	if r.holdsValue() && !absent && r.ver > ver && (r.fresh || m.get.staleFloor) {
		r.tok, r.live = 0, false
		return older
	}
	*r = record{kind: value, fresh: true, val: val, ver: ver, cid: tok, tag: tag}
	return committed
}

// release ends a lease after a failed load and keeps others from loading for a while.
func (r *record) release(tok int8) {
	switch {
	case r.tok != tok:
	case r.kind == lease:
		*r = record{kind: backoff, live: true}
	case r.holdsValue():
		r.tok, r.live = 0, true
	}
}

// invalidate removes the record; an open intent is kept and marked, unless unmarked asks for
// the variant that forgets to mark it.
func (r *record) invalidate(unmarked bool) {
	if r.kind != intent {
		*r = record{}
		return
	}
	if !unmarked {
		r.clash = true
	}
}

// expire ends the soft deadline of a value, which stays for stale serving, and kills the
// lease, unless keepLease asks for the variant that leaves it.
func (r *record) expire(keepLease bool) {
	switch r.kind {
	case value:
		r.fresh = false
		if !keepLease {
			r.tok, r.live = 0, false
		}
	case lease:
		if !keepLease {
			*r = record{}
		}
	case backoff:
		*r = record{}
	case intent:
		r.clash = true
	}
}

// set is the script set: an unversioned value over anything but an intent.
func (r *record) set(val, cid int8, keepLease bool) {
	if r.kind == intent {
		r.clash = true
		return
	}
	kept := *r
	*r = record{kind: value, fresh: true, val: val, cid: cid}
	if keepLease {
		r.tok, r.live = kept.tok, kept.live
	}
}

// setvRules are the ways in which setv may differ from the script.
type setvRules struct {
	create      bool // writes where there is no record
	overLease   bool // writes over a record that is only a lease
	overUnknown bool // writes over an unversioned record
	keepLease   bool // leaves the lease beside the value
	overStale   bool // makes a softly invalidated record fresh again
	keepStale   bool // updates a softly invalidated record and leaves it so
}

// setv is the script setv: update only, newer only, and it kills every lease it meets. What
// was softly invalidated it removes: that its version is newer than the record's does not
// make it newer than the write for which the record was invalidated (variant 53d).
func (r *record) setv(val, cid, tag int8, o setvRules) {
	next := record{kind: value, fresh: true, val: val, ver: val + 1, cid: cid, tag: tag}
	if o.keepLease && r.holdsValue() {
		next.tok, next.live = r.tok, r.live
	}
	switch r.kind {
	case none:
		if o.create {
			*r = next
		}
	case lease:
		if o.overLease {
			*r = next
			return
		}
		*r = record{}
	case backoff:
		*r = record{}
	case intent:
		r.clash = true
	case value:
		switch {
		case r.ver == 0 && !o.overUnknown:
			*r = record{}
		case r.ver >= next.ver:
		case r.fresh || o.overStale:
			*r = next
		case o.keepStale:
			next.fresh = false
			*r = next
		default:
			*r = record{}
		}
	}
}
