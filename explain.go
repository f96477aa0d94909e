package cache

import (
	"time"
)

// Explanation is what is known of a key, in this process and in Redis, and what the
// next [Cache.GetOrLoad] of it does. [Cache.Explain] makes it; String prints it.
//
// Durations are as of the moment of the call, 0 where nothing is known. The value is
// nowhere in it.
type Explanation struct {
	Cache    string // the cache's name
	Key      string
	RedisKey string // where the entry is

	// Action is what the next GetOrLoad does, Next the same in one sentence, with
	// the reason.
	Action Action
	Next   string
	// Refresh is the chance, 0 to 1, that it also starts a refresh in the background.
	Refresh float64

	L1     ExplainedL1
	Record ExplainedRecord
	Lease  ExplainedLease

	BreakerOpen bool // Redis, or a node of it, is not asked, since it did not answer lately
	// Refused is what the key's server has refused within the last minute, and is done
	// without: "TIME", "MGET", "PUBLISH" (an L1 does not hear of changes), "scripts on many
	// keys".
	Refused []string
	Pending bool  // an invalidation of the key, or of everything, is queued in this process
	Queued  int64 // invalidations that are queued in this process, of whatever keys
	Loading bool  // a load of the key runs in this process
	Overdue bool  // a loader of the key runs in this process although its context has ended: the next load waits for it
	// Refilling is for how long loads are still limited because the cache was emptied.
	Refilling time.Duration
	Exchanges int // with Redis, that the explanation took: 1, or 2 for tags that the cache's options do not name
}

// Action is what a GetOrLoad does.
type Action string

// The actions. Each but the last three ends without a call of the loader.
const (
	ActionHitL1   Action = "hit_l1"  // the value comes from this process's memory
	ActionHit     Action = "hit"     // the value comes from Redis
	ActionAbsent  Action = "absent"  // ErrNotFound: the absence is remembered
	ActionStale   Action = "stale"   // the value comes from Redis or memory, past its soft TTL
	ActionFail    Action = "fail"    // an error: the codec panics
	ActionBackoff Action = "backoff" // ErrBackoff: the last load failed, and the back-off is longer than the caller may wait
	ActionWait    Action = "wait"    // it waits for a load that runs, or for a back-off to end; what comes then is another look
	ActionLoad    Action = "load"    // the loader is called under a lease, and its value stored
	ActionBypass  Action = "bypass"  // the loader is called, and its value stored nowhere
)

// ExplainedL1 is what this process's memory has of a key.
type ExplainedL1 struct {
	On bool // the cache has an L1
	// Hears says that the subscription, as it stands, has brought a message that this
	// cache published. Until one has come, nothing is kept.
	Hears bool
	// Problem is why changes are not heard, and the L1 is not used; "" if they are, or
	// if that is not known yet.
	Problem string
	Alive   bool // its messages certainly arrive: a sign of life came within the last 2 s
	Found   bool // an entry is there, also if it may not be served
	Absent  bool // the entry is a remembered absence
	// Refused is why the entry is not served; "" if it is.
	Refused  string
	Age      time.Duration // since its load began
	SoftLeft time.Duration // until its soft TTL is over
	Left     time.Duration // until the memory gives it up
	Size     int           // encoded bytes of the value
}

// ExplainedRecord is what Redis has of a key.
type ExplainedRecord struct {
	// Asked says that Redis has answered. If not, the rest is empty.
	Asked bool
	// State is what the record means to a reader with the cache's class: "none",
	// "fresh", "stale" (within StaleWhileRevalidate), "stale-if-error", "expired",
	// "invalid" (replaced by the next load), "bypassed" or "foreign".
	State string
	// Reason is why it is invalid, bypassed or foreign.
	Reason string
	// Kind is the letter of the record, 0 if none can be read: L lease, V value, W write
	// intent, E back-off, D dirty (write-behind).
	Kind   byte
	Absent bool // a remembered absence; with Dirty a deletion on its way to the sink
	Dirty  bool // a write that is not in the sink yet
	// DeadLetter is the version of the value of this key that the sink never took, 0 if
	// there is none.
	DeadLetter uint64

	Age      time.Duration // since the load began, by Redis's clock
	SoftLeft time.Duration // until the soft TTL is over; negative once it is
	HardLeft time.Duration // until Redis removes the record; negative: never
	LoadCost time.Duration // what the last load took
	MeanCost time.Duration // moving average of what loads took

	Intents     int           // writes that are open
	IntentsLeft time.Duration // until they end by themselves

	Version uint64 // 0: none
	Codec   uint8
	Schema  uint16
	Size    int // of the record in bytes
	Payload int // of the encoded value in it

	// Clear is the state of the clear token that the entry carries, "" if it needs
	// none: "current", or "replaced" by InvalidateAll or the loss of the token.
	Clear string
	Tags  []ExplainedTag
}

// ExplainedTag is a tag that an entry carries.
type ExplainedTag struct {
	// Name is the tag if the cache's options name it; else 16 hexadecimal digits,
	// which are all that an entry has of it.
	Name  string
	Valid bool // the entry carries the tag's present token
}

// ExplainedLease is the right to load a key, or a ban on it.
type ExplainedLease struct {
	// Holder is "this process", "another process", "" if there is none. It compares the
	// first four characters of the token, which are the process's: another has the same
	// once in 16 million.
	Holder string
	// Left is until others may take over, or until the back-off ends; negative
	// once they may.
	Left time.Duration
	// Backoff says that it is no lease: a load failed, and nobody tries again before
	// Left is over.
	Backoff bool
}
