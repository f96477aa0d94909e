package meter

// ID is the place of an instrument in the list.
type ID int

// The instruments.
const (
	Requests ID = iota
	GetDuration
	Coalesced
	Loads
	LoadDuration
	LockWaits
	RefusedFills
	Refreshes
	ItemSize
	StaleAge
	Bypassed
	Corrupt
	Foreign
	Unencodable
	Unpublished
	RedisErrors
	BreakerOpen
	Pending
	Loading
	Waiting
	Refilling
	Overdue
	Dirty
	Lag
	DeadLetters
	Retrying
	OldestRetry
	Flushed
	FlushErrors
	SinkDuration
	SinkCalls
	WaitingPuts
	L1Entries
	L1Size
	L1Evictions

	Count // how many there are
)

const (
	behind = "write-behind"
	tiered = "with an L1"
)

// List is the list, in the order in which it is shown.
var List = [Count]Instrument{
	Requests: {
		Name: "cache.requests", Unit: "{request}", Kind: Counter, Labels: []string{Outcome, Group},
		Description: "Look-ups by what their own first read found; each key of a batch is one.",
	},
	GetDuration: {
		Name: "cache.get.duration", Unit: "s", Kind: Durations, Labels: []string{Outcome, Group}, Buckets: durations,
		Description: "How long calls that look up took, loads they waited for included. A batch is one call: a hit if all of its keys are, in the group of its first key. Warm is not in it.",
	},
	Coalesced: {
		Name: "cache.coalesced", Unit: "{request}", Kind: Counter,
		Description: "Look-ups that joined a load of another caller in this process.",
	},
	Loads: {
		Name: "cache.loads", Unit: "{load}", Kind: Counter, Labels: []string{Result, Group},
		Description: "Loader calls by how they ended; one of several keys is in the group of the first.",
	},
	LoadDuration: {
		Name: "cache.load.duration", Unit: "s", Kind: Durations, Labels: []string{Result, Group}, Buckets: loads,
		Description: "How long loader calls took.",
	},
	LockWaits: {
		Name: "cache.lock.waits", Unit: "{wait}", Kind: Counter,
		Description: "Waits for a load in another process.",
	},
	RefusedFills: {
		Name: "cache.fills.refused", Unit: "{fill}", Kind: Counter,
		Description: "Loaded values that were not stored because a change overlapped their load.",
	},
	Refreshes: {
		Name: "cache.refreshes", Unit: "{refresh}", Kind: Counter, Labels: []string{Cause},
		Description: "Refreshes begun in the background: early ones of fresh entries (XFetch), and those of stale entries.",
	},
	ItemSize: {
		Name: "cache.item.size", Unit: "By", Kind: Sizes, Labels: []string{Group}, Buckets: sizes,
		Description: "Encoded size of values on their way into Redis.",
	},
	StaleAge: {
		Name: "cache.stale.age", Unit: "s", Kind: Durations, Labels: []string{Group}, Buckets: ages,
		Description: "Age of values that were served stale, from their load on.",
	},
	Bypassed: {
		Name: "cache.bypassed", Unit: "{operation}", Kind: Counter,
		Description: "Reads and writes that went past the cache: Redis failed, or the record must not be touched.",
	},
	Corrupt: {
		Name: "cache.records.corrupt", Unit: "{record}", Kind: Counter,
		Description: "Records of the cache that could not be used: damaged, another codec, an older schema, or not decoded.",
	},
	Foreign: {
		Name: "cache.records.foreign", Unit: "{record}", Kind: Counter,
		Description: "Records under the cache's keys that are not its own.",
	},
	Unencodable: {
		Name: "cache.values.unencodable", Unit: "{value}", Kind: Counter,
		Description: "Values that the codec refused; they are returned and not stored.",
	},
	Unpublished: {
		Name: "cache.changes.unpublished", Unit: "{change}", Kind: Counter,
		Description: "Changes that Redis made and did not publish, because its user may not use the channel: other processes' L1s serve what was changed until its TTL.",
	},
	RedisErrors: {
		Name: "cache.redis.errors", Unit: "{error}", Kind: Counter, Labels: []string{Op},
		Description: "Operations that Redis did not answer properly. What the breaker refused is not among them.",
	},
	BreakerOpen: {
		Name: "cache.breaker.open", Unit: "{state}", Kind: Gauge,
		Description: "1 while Redis, or a node of it, is not asked because it does not answer; else 0. Caches of one client share it.",
	},
	Pending: {
		Name: "cache.invalidations.pending", Unit: "{invalidation}", Kind: UpDown,
		Description: "Invalidations that Redis did not take yet.",
	},
	Loading: {
		Name: "cache.loads.running", Unit: "{load}", Kind: UpDown,
		Description: "Keys that are being loaded, for callers or to refresh them; waits for a load in another process are among them.",
	},
	Waiting: {
		Name: "cache.requests.waiting", Unit: "{request}", Kind: UpDown,
		Description: "Look-ups that wait for a load; each key of a batch is one.",
	},
	Refilling: {
		Name: "cache.refilling", Unit: "{state}", Kind: Gauge,
		Description: "1 while loads are limited because the cache was emptied, which is a few seconds; else 0.",
	},
	Overdue: {
		Name: "cache.loads.overdue", Unit: "{key}", Kind: UpDown,
		Description: "Keys whose loader runs although its context has ended. They are not loaded again by this process until it returns.",
	},
	Dirty: {
		Name: "cache.write_behind.dirty", Unit: "{key}", Kind: Gauge, Where: behind,
		Description: "Keys of all processes that are not in the sink, as this one last sampled.",
	},
	Lag: {
		Name: "cache.write_behind.lag", Unit: "s", Kind: Seconds, Where: behind,
		Description: "For how long the oldest dirty key has waited, as last sampled.",
	},
	DeadLetters: {
		Name: "cache.write_behind.dead_letters", Unit: "{value}", Kind: Gauge, Where: behind,
		Description: "Values of all processes that were given up and wait for a decision, as last sampled.",
	},
	Retrying: {
		Name: "cache.write_behind.retrying", Unit: "{key}", Kind: Gauge, Where: behind,
		Description: "Keys of all processes that the sink has refused while it took others, and that are tried again, as last sampled.",
	},
	OldestRetry: {
		Name: "cache.write_behind.oldest_retry", Unit: "s", Kind: Seconds, Where: behind,
		Description: "For how long the sink of this process has failed with the same key, at most, as last sampled.",
	},
	Flushed: {
		Name: "cache.write_behind.flushed", Unit: "{value}", Kind: Counter, Where: behind,
		Description: "Values that this process's workers brought to the sink.",
	},
	FlushErrors: {
		Name: "cache.write_behind.flush.errors", Unit: "{call}", Kind: Counter, Where: behind,
		Description: "Calls of the sink that failed.",
	},
	SinkDuration: {
		Name: "cache.write_behind.sink.duration", Unit: "s", Kind: Durations, Buckets: loads, Where: behind,
		Description: "How long calls of the sink took that have returned.",
	},
	SinkCalls: {
		Name: "cache.write_behind.sink.calls", Unit: "{call}", Kind: UpDown, Where: behind,
		Description: "Calls of the sink that have not returned.",
	},
	WaitingPuts: {
		Name: "cache.write_behind.puts.waiting", Unit: "{put}", Kind: UpDown, Where: behind,
		Description: "Puts that wait for room, because MaxDirty keys wait for the sink.",
	},
	L1Entries: {
		Name: "cache.l1.entries", Unit: "{entry}", Kind: UpDown, Where: tiered,
		Description: "Entries of the cache in the process's memory, with those that are dropped or expired and not taken away yet.",
	},
	L1Size: {
		Name: "cache.l1.size", Unit: "By", Kind: UpDown, Where: tiered,
		Description: "What they weigh on the L1's budget, which all caches of the L1 share.",
	},
	L1Evictions: {
		Name: "cache.l1.evictions", Unit: "{entry}", Kind: Counter, Where: tiered,
		Description: "Entries of the cache that had to make room, for whatever cache of the L1.",
	},
}

// Of returns the instrument.
func Of(id ID) Instrument { return List[id] }
