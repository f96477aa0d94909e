package near

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/larder-go/cache/internal/mono"
)

// stripes is how many parts the keys are split into; a drop refuses the fills
// of its part that are under way. 1,024 drops a second beside fills of 1 ms refuse
// one fill in a thousand.
const stripes = 1024

// Options configures a Memory.
type Options struct {
	// MaxBytes is the budget; zero or less is taken as 1. An entry that alone is
	// larger is not stored.
	MaxBytes int64
	// Now is the clock, positive nanoseconds that never run backwards; nil is
	// [mono.Now].
	Now func() int64
	// Hash is what names are told apart by at first; nil is a hash of the memory's own.
	// Names of one hash are told apart, too, but take each other's place.
	Hash func(name string) uint64
}

// Memory holds the entries of all spaces. It is safe for concurrent use.
//
// One goroutine of otter's takes back the room of expired entries, once a
// second; Close ends it. Maintenance after reads and writes runs on short-lived
// goroutines, also otter's. All of it works in a bubble of testing/synctest if
// the Memory is made and closed there.
type Memory struct {
	cache   *otter.Cache[key, *Entry]
	clock   clock
	budget  uint64
	hash    func(name string) uint64 // nil: of seed
	seed    maphash.Seed
	stripes [stripes]stripe

	states    atomic.Uint64 // the last state that a space was given; odd
	evictions atomic.Int64
	closing   sync.Once
}

// key stands for a name of one space in one state. It is a number, which otter finds in
// a fraction of the time that a struct with a string takes; of what is found under it,
// the entry says which name it is for. Names of one number take each other's place.
type key uint64

// key is that of the name with a hash, in a state, which no other space has.
func (m *Memory) key(state, hash uint64) key {
	const spreads = 0x9e3779b97f4a7c15 // odd: no two states become one
	return key(hash ^ state*spreads)
}

func (m *Memory) hashOf(name string) uint64 {
	if m.hash != nil {
		return m.hash(name)
	}
	return maphash.String(m.seed, name)
}

// stripe is one part of the keys of all spaces. What is in the memory changes
// under mu only; reads do not take it.
type stripe struct {
	mu     sync.Mutex
	epoch  atomic.Uint64 // written under mu; grows with each drop
	closed bool          // guarded by mu
	_      [40]byte      // a cache line for each
}

// New returns an empty memory. The caller closes it.
func New(o Options) *Memory {
	m := &Memory{budget: uint64(max(o.MaxBytes, 1)), hash: o.Hash, seed: maphash.MakeSeed()}
	m.states.Store(suspect)
	m.clock.exact = o.Now
	if o.Now == nil {
		m.clock.exact = mono.Now
	}
	m.clock.now()
	m.cache = otter.Must(&otter.Options[key, *Entry]{
		MaximumWeight:    m.budget,
		Weigher:          func(_ key, e *Entry) uint32 { return e.weight(e.name) },
		ExpiryCalculator: otter.ExpiryWritingFunc(timeLeft),
		Clock:            &m.clock,
		OnAtomicDeletion: m.gone,
	})
	return m
}

// timeLeft makes otter's expiry the entry's deadline, exactly: from the same
// reading of the clock to which otter adds it. Zero would mean no change to
// otter, so what is over ends in a nanosecond.
func timeLeft(e otter.Entry[key, *Entry]) time.Duration {
	return max(time.Duration(e.Value.Deadline-e.SnapshotAtNano), 1)
}

// gone counts what is not in the memory any more, and what had to go for want of
// room. It is called under otter's locks, which is cheaper for reads than a stats
// recorder: that one is told of each hit.
func (m *Memory) gone(e otter.DeletionEvent[key, *Entry]) {
	evicted := e.Cause == otter.CauseOverflow
	if evicted {
		m.evictions.Add(1)
	}
	e.Value.space.gone(e.Value, evicted)
}

// stripe returns the stripe of the names with a hash.
func (m *Memory) stripe(hash uint64) *stripe { return &m.stripes[hash%stripes] }

// fresh returns a state that no space ever had: even, and suspect with one added.
func (m *Memory) fresh() uint64 { return m.states.Add(2) + suspect }

func (t *stripe) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// Stats is how full a Memory is.
type Stats struct {
	// Entries counts what is stored, with entries that are dropped as a whole
	// (DropAll, Restore) or expired and not taken away yet. Bytes is their weight.
	Entries int
	Bytes   int64
	// Evictions counts entries that had to make room since the memory was made.
	Evictions int64
}

// Stats returns the current figures. They lag a moment behind; taking them takes
// the lock of otter's maintenance.
func (m *Memory) Stats() Stats {
	m.clock.now()
	return Stats{
		Entries:   m.cache.EstimatedSize(),
		Bytes:     int64(m.cache.WeightedSize()), //nolint:gosec // within the budget
		Evictions: m.evictions.Load(),
	}
}

// Close empties the memory and ends its goroutine. From then on Get finds nothing
// and Put stores nothing. A second call does nothing.
func (m *Memory) Close() {
	m.closing.Do(func() {
		for i := range m.stripes {
			m.stripes[i].close()
		}
		m.cache.InvalidateAll()
		m.cache.StopAllGoroutines()
		m.clock.stop()
	})
}
