package model

// Capacities of a state. How many readers and writers take part is said by keyed.
const (
	maxReaders = 4
	maxWriters = 3
)

// kind says what the record under the key is; the letters are those of the record layout.
type kind uint8

const (
	none     kind = iota
	lease         // L: somebody loads, no value
	value         // V: a value, perhaps with a lease beside it
	intent        // W: writes are open
	backoff       // E: a load failed, nobody loads until it ends
	cutShort      // D, but cut short: there is no value in it
)

// record is what Redis holds under the key. Versions of the database stand for values.
type record struct {
	kind    kind
	fresh   bool  // V: the soft deadline has not passed
	garbled bool  // V: the body does not decode
	val     int8  // V: the value
	ver     int8  // V: version in the header, 0 is unversioned
	tok     int8  // lease token, 0 none; for the counting intents the last writer's token
	live    bool  // the deadline of the lease or back-off has not passed
	cid     int8  // V: token of the load that produced the value
	tag     int8  // V: tag token in the envelope
	open    int8  // W: number of open intents, for the counting intents of variants 20 to 23
	intents uint8 // W: set of the writers whose intents are open
	until   uint8 // W: set of the writers whose deadlines the record's own is the last of
	passed  uint8 // W: set of the writers whose deadlines have passed
	clash   bool  // W: another write overlapped, nothing may be populated
}

func (r *record) holdsValue() bool { return r.kind == value }

// stale says that there is a value whose soft deadline has passed.
func (r *record) stale() bool { return r.kind == value && !r.fresh }

// serves says that there is a value which is given to readers as a fresh one.
func (r *record) serves() bool { return r.kind == value && r.fresh && !r.garbled }

// backsOff says that a load failed and nobody loads until that has ended.
func (r *record) backsOff() bool {
	return r.kind == backoff || r.kind == value && r.tok == 0 && r.live
}

// pc is the place of a process in its program.
type pc uint8

// Places of a reader, in the order a miss passes them.
const (
	idle           pc = iota // has not begun
	reading                  // goes again: its next step reads the record
	inTransit                // its GET has run, the answer is on its way
	checking                 // compares the entry's tag token with the tag key
	joining                  // missed: joins a flight or leads one
	joined                   // shares: waits for the end of the flight it joined
	attending                // waits for the end of a flight whose commit is sent, to look again
	sleeping                 // waits until a back-off is over
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

// fallback is what a reader's own look-up has seen that it may return instead of an error.
type fallback uint8

const (
	nothing     fallback = iota
	decodes              // a stale value
	undecodable          // a stale value that turns out to be none when it is needed
)

// reader is one Get, and the background refresh it may have left behind.
type reader struct {
	pc       pc
	soft     bool // reads with StaleWhileRevalidate
	onError  bool // reads with StaleIfError
	swept    bool // saw an invalid record: acquire carries `invalid`
	bg       bool // has answered; what runs is the refresh
	waited   bool // has waited for a load that was not for it
	unleased bool // loads without a lease
	covered  bool // joined before the command whose answer decides was sent
	okc      bool // its commit was accepted
	fallback fallback
	round    int8  // of its three, from 1
	acquires int8  // how often its flight has asked for the lease
	loads    int8  // loads it has waited for
	floor    int8  // newest version acknowledged before the Get began
	val      int8  // what it read or loaded
	tok      int8  // its lease
	seen     int8  // cid of the value it read, 0 if there was none
	tag      int8  // tag token it read or captured
	flight   int8  // flight it leads or joined, slot plus one
	after    uint8 // flights whose loader was called after this Get began, by slot
}

// over is p when its Get and its refresh have ended: what they knew is forgotten.
func (p *reader) over() reader { return reader{pc: done, soft: p.soft, onError: p.onError} }

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
	polled       bool // has waited for one
	stopWaiting  bool // a member has waited before: it does not for another process
	sealed       bool // nobody may join any more
	detached     bool // a change of this process concerns it: no joiners, no commit
	outcome      outcome
	val          int8
}

func (f *flight) over() bool { return f.outcome != underWay }

// State is a state of the single-key models: the database row, the record, every process,
// and what is left of each kind of fault.
type State struct {
	db       int8  // version of the row
	lagging  int8  // version a replica of the database shows
	gone     uint8 // versions that are deletions, by bit
	lower    uint8 // versions whose number in the row is lower than that of all before, by bit
	floor    int8  // newest version whose write has returned
	rec      record
	replica  record // the Redis replica's copy
	lock     int8   // token in the lock key of the plain-lock protocol
	tag      int8   // token under the tag key, 0 missing
	late     int8   // tag token of a command whose second copy is still in the network
	rival    int8   // token of the load of a process that has no readers here, 0 none
	lateAcq  int8   // token of an acquire whose second copy is still in the network
	lateBeg  int8   // writer, plus one, whose wbegin has a late copy
	lateEnd  int8   // likewise wend
	lateVal  int8   // and the value that wend carries
	rivalVal int8   // what the rival has read
	pending  bool   // an invalidation failed and waits in this process's queue
	bad      broken // invariant the last step broke
	culprit  int8   // reader that broke it
	left     faults
	epoch    int8 // failovers so far
	r        [maxReaders]reader
	w        [maxWriters]writer
	f        [maxReaders]flight
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
	softEnds     int8 // the soft deadline of the record passes
	rivals       int8 // a process that has no readers here loads
}

// broken names an invariant.
type broken uint8

const (
	fine broken = iota
	brokenI
	brokenW
	brokenM
	brokenB
	brokenLoads // W'
)
