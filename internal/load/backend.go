package load

import (
	"context"
	"sync/atomic"
	"time"
)

// Backend is what a batch asks of where the entries are. Each call is about all its
// keys, and leaves what it found in them. Contexts are the batch's: they end when nobody
// waits for any of its keys, except where it is said.
type Backend interface {
	// Storable reports whether an entry of k may be made now. It is asked before each
	// acquire, and calls [Group.Depend] with what the entry will depend on.
	Storable(k *Key) bool
	// Acquire asks for the leases of keys, and leaves in each an Answer, with what that says.
	Acquire(ctx context.Context, keys []*Key)
	// Waiting is called before the polls of a wait, done after the last of them.
	Waiting(ctx context.Context, keys []*Key) (context.Context, func())
	// Poll reads what others have made of keys, and leaves an Answer: Served, Changed,
	// Busy with its Lease, Untouchable or Unanswered.
	Poll(ctx context.Context, keys []*Key)
	// Renew prolongs the leases of keys. It reports false if none of them is held any more.
	Renew(ctx context.Context, keys []*Key) (held bool)
	// Load calls the user's loader for keys, contained, and leaves Value, Err and Absent.
	// It has one place, for one call at a time, and takes spare ones for others.
	Load(ctx context.Context, keys []*Key, spare Spare)
	// Encode makes the entry of k, whose loader has returned it. It reports false if that
	// cannot be stored.
	Encode(k *Key) bool
	// Commit stores the entries of keys, whose flights are sealed, and leaves a Verdict.
	// The context ends with nothing.
	Commit(ctx context.Context, keys []*Key)
	// Overtaken hears that what was loaded for k is not stored, since a change made
	// through this process overtook the load.
	Overtaken(k *Key)
	// Release gives the leases of keys back; with a backoff above zero nobody is granted
	// one before it is over. The context ends with nothing.
	Release(ctx context.Context, keys []*Key, backoff time.Duration)
}

// Answer is what a backend found of a key.
type Answer uint8

const (
	Unanswered  Answer = iota // Redis did not answer: Problem says why
	Granted                   // acquire: the lease is this batch's
	Served                    // a value that may be served: Value, Size and Err, and the proof is this command
	Changed                   // the record is another one, and none to serve; of a poll: nobody loads any more
	Busy                      // somebody else loads, for Left more; of a poll: under Lease
	Resting                   // acquire: a load failed moments ago, nobody may try before Left is over
	Untouchable               // a write is in progress, or the record is not the cache's: loads, stores nothing
)

// Verdict is what became of a commit.
type Verdict uint8

const (
	Refused   Verdict = iota // a change overlapped the load: nothing was stored
	Committed                // stored
	Vanished                 // accepted, but nothing was left of its life
	Older                    // what is cached is fresh and of a newer version
	Unknown                  // Redis did not answer: Problem says why
)

// Lease is another process's.
type Lease struct {
	ID    [16]byte
	Until int64 // its deadline on Redis's clock in ms; 0: there is none
}

// Key is one key of a [Batch].
type Key struct {
	// What the caller of [Group.Run] says.
	Name     string        // as the user knows it
	Item     any           // the backend's own
	Bypass   bool          // load without storing: Redis was not read, or nothing is to be stored
	Barred   bool          // the same, because the record must stay as it is
	Unread   bool          // nobody has looked it up: a record that is there is for who leads the flight to look at
	Fallback bool          // a stale value may be served in place of an error; each Answer brings it up to date
	Cost     time.Duration // about what a load of it takes; 0: not known

	// What the backend says.
	Answer  Answer
	Left    time.Duration
	Lease   Lease
	Held    bool // the lease may be this batch's, and is given back at the latest at its end
	Value   any
	Size    int
	Err     error // the loader's, or the absence that was read
	Absent  bool  // Err is an answer: there is no such record
	Problem error // Redis's
	Verdict Verdict
	Proven  bool // with Committed and Vanished: all that the entry depends on was still there

	// What the batch says.
	Asked time.Duration // the acquire's round trip, part of the load's cost
	Began time.Time     // the loader's call
	Took  time.Duration

	flight    *Flight
	batch     atomic.Pointer[Batch] // that it counts in; nil: nobody waits, or it has finished
	abandoned atomic.Bool           // nobody waits for it
	asks      int                   // how often acquire was asked
	waited    bool                  // it has waited for another process
	proof     int
	loadSeq   uint64
	finished  bool

	lease   Lease     // of another process, that is waited for
	runsOut time.Time // when its deadline passes, on this process's clock
}

// leave is called when nobody waits for the flight any more.
func (k *Key) leave() {
	k.abandoned.Store(true)
	if b := k.batch.Load(); b != nil {
		b.lose(k)
	}
}
