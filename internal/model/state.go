package model

// Capacities of a state. How many readers and writers take part is said by keyed.
const (
	maxReaders = 4
	maxWriters = 3
)

// kind says what the record under the key is; the letters are those of the record layout.
type kind uint8

const (
	none    kind = iota
	lease        // L: somebody loads, no value
	value        // V: a value, perhaps with a lease beside it
	stale        // S: a value that was softly invalidated, perhaps with a lease
	intent       // W: writes are open
	backoff      // E: a load failed, nobody loads until it ends
)

// record is what Redis holds under the key. Versions of the database stand for values.
type record struct {
	kind    kind
	val     int8  // V, S: the value
	ver     int8  // V, S: version in the header plus one, 0 is unversioned
	tok     int8  // lease token, 0 none; for the counting intents the last writer's token
	live    bool  // the deadline of the lease or back-off has not passed
	cid     int8  // V, S: token of the load that produced the value
	tag     int8  // V, S: tag token in the envelope
	open    int8  // W: number of open intents, for the counting intents of variants 20 to 23
	intents uint8 // W: set of the writers whose intents are open
	clash   bool  // W: another write overlapped, nothing may be populated
}

func (r *record) holdsValue() bool { return r.kind == value || r.kind == stale }

// pc is the place of a process in its program.
type pc uint8

// Places of a reader, in the order a miss passes them.
const (
	idle           pc = iota // has not begun
	reading                  // goes again: its next step reads the record
	inTransit                // its GET has run, the answer is on its way
	checking                 // compares the entry's tag token with the tag key
	joining                  // missed: joins a flight or leads one
	joined                   // waits for the end of the flight it joined
	acquiring                // sends acquire
	polling                  // waits for another process's load by reading the record
	proving                  // a value proved by acquire or poll is on its way to the flight
	capturing                // reads or mints the tag token before the loader is called
	calling                  // calls the loader
	loading                  // the loader reads the database
	committing               // sends the commit
	committingLast           // sends the commit, the tag token has been read again already
	rereading                // reads the tag token again, behind the seal
	replying                 // the answer of the commit is on its way
	bypassing                // loads without caching
	done
)

// reader is one Get, and the background refresh it may have left behind.
type reader struct {
	pc       pc
	soft     bool  // reads with StaleWhileRevalidate
	swept    bool  // saw a record whose tag token is wrong: acquire carries `invalid`
	bg       bool  // has answered; what runs is the refresh
	again    bool  // has waited once for a load that began before its call
	unleased bool  // loads without a lease
	covered  bool  // joined before the command whose answer decides was sent
	okc      bool  // its commit was accepted
	floor    int8  // newest version acknowledged before the Get began
	val      int8  // what it read or loaded
	tok      int8  // its lease
	seen     int8  // cid of the value it read, 0 if there was none
	tag      int8  // tag token it read or captured
	loads    int8  // loads it has waited for
	flight   int8  // flight it leads or joined, slot plus one
	after    uint8 // flights whose loader was called after this Get began, by slot
}

// writer is one write.
type writer struct {
	pc       uint8 // 0 not begun; each program numbers its own steps
	finished bool  // returned or crashed
	val      int8  // version it committed
	tok      int8  // its intent, for the counting intents
	tag      int8  // tag token it captured
	epoch    int8  // failovers seen when its DEL ran
}

// flight is one load shared inside a process.
type flight struct {
	calledLoader bool
	waiting      bool // waits for another process's load
	hurry        bool // a member has waited before: it must not wait for another process
	sealed       bool // nobody may join any more
	detached     bool // a change of this process concerns it: no joiners, no commit
	over         bool
	proved       bool // the value is committed, or was read by a poll or an acquire
	older        bool // the commit answered that something newer is cached
	failed       bool // the loader failed; the error is everybody's
	val          int8
}

// State is a state of the single-key models: the database row, the record, every process,
// and what is left of each kind of fault.
type State struct {
	db      int8  // version of the row
	lagging int8  // version a replica of the database shows
	gone    uint8 // versions that are deletions, by bit
	floor   int8  // newest version whose write has returned
	rec     record
	replica record // the Redis replica's copy
	lock    int8   // token in the lock key of the plain-lock protocol
	tag     int8   // token under the tag key, 0 missing
	late    int8   // tag token of a command whose second copy is still in the network
	lateAcq int8   // token of an acquire whose second copy is still in the network
	lateBeg int8   // writer, plus one, whose wbegin has a late copy
	lateEnd int8   // likewise wend
	lateVal int8   // and the value that wend carries
	pending bool   // an invalidation failed and waits in this process's queue
	bad     broken // invariant the last step broke
	culprit int8   // reader that broke it
	left    faults
	epoch   int8 // failovers so far
	r       [maxReaders]reader
	w       [maxWriters]writer
	f       [maxReaders]flight
}

// faults counts what may still go wrong.
type faults struct {
	evictions    int8 // the record disappears
	deadlines    int8 // a lease deadline passes
	crashes      int8 // a writer stops between two of its steps
	failovers    int8 // the replica becomes the primary
	tagEvictions int8 // the tag key disappears
	loadErrors   int8 // the loader fails
	outages      int8 // an invalidation does not reach Redis
	lateAcquires int8 // an acquire runs a second time later
	lateIntents  int8 // wbegin or wend runs a second time later
	lateCopies   int8 // a command on the tag key runs a second time later
}

// broken names an invariant.
type broken uint8

const (
	fine broken = iota
	brokenI
	brokenW
	brokenM
)
