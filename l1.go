package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/near"
)

// L1 is the in-process tier of a process's caches, of whatever types: one memory
// budget, and one connection on which it hears what other processes change. Make
// one with [NewL1] and give it to each cache with [WithL1].
//
// A hit returns what was current at most [L1Options.TTL] ago, and outside a cluster
// at most 2 s ago; typically the message of a change is there within a millisecond.
// What this process changes itself is gone at once. While it is not certain that
// messages arrive, nothing is served as fresh: readers go to Redis.
//
// Values are shared by all who read them: who modifies must copy, or have them
// copied by [L1Options.Clone]. Two goroutines run until Close, and two more while
// the connection is up.
type L1 struct {
	o      L1Options
	memory *near.Memory
	bus    *bus.Bus

	mu     sync.Mutex // protects following
	caches map[*localTier]struct{}
}

// L1Options configure an [L1]. The zero value is ready for use.
type L1Options struct {
	// MaxBytes bounds the memory, counted as the values' encoded bytes, their keys
	// and about 200 bytes each. 0 means 64 MiB; negative is refused.
	MaxBytes int64
	// TTL is how long a value is kept, unless its entry expires before. 0 means
	// 2 s; negative is refused. More than 2 s saves round trips, and on a cluster
	// makes a lost message last as long.
	TTL time.Duration
	// Clone copies a value, as it is given to a cache, for each caller: for types
	// whose callers modify what they get. It must be safe for concurrent use. Nil:
	// callers share values.
	Clone func(v any) any
}

const (
	defaultL1Bytes = 64 << 20
	defaultL1TTL   = 2 * time.Second
	// l1Ping is the interval of signs of life, l1Silence for how long none may
	// have come while hits are served.
	l1Ping    = 500 * time.Millisecond
	l1Silence = 2 * time.Second
)

// NewL1 returns an L1 that hears of changes through client, which must be a client
// of the same Redis as those of the caches, and stays the caller's to close, after
// the L1. It sends nothing: the subscription is made with the first cache.
func NewL1(client redis.UniversalClient, o L1Options) (*L1, error) {
	var bad []error
	if isNil(client) {
		bad = append(bad, errors.New("client: is nil"))
	}
	if o.MaxBytes < 0 {
		bad = append(bad, fmt.Errorf("L1Options.MaxBytes: %d is negative", o.MaxBytes))
	}
	if o.TTL < 0 {
		bad = append(bad, fmt.Errorf("L1Options.TTL: %v is negative", o.TTL))
	}
	if len(bad) > 0 {
		return nil, &OpError{Op: "new", Err: errors.Join(bad...)}
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultL1Bytes
	}
	if o.TTL == 0 {
		o.TTL = defaultL1TTL
	}
	l := &L1{o: o, memory: near.New(near.Options{MaxBytes: o.MaxBytes}), caches: map[*localTier]struct{}{}}
	l.bus = bus.Open(client, bus.Options{Ping: l1Ping, Silence: l1Silence, Tick: l.tick})
	return l, nil
}

// Close ends the subscription and empties the memory. Caches that still use the L1
// go on without it. The error says that the client held up the subscription's
// goroutine, which then ends with it.
func (l *L1) Close() error {
	err := l.bus.Close()
	l.memory.Close()
	return err
}

// tick is called once each interval.
func (l *L1) tick(context.Context) {
	l.mu.Lock()
	caches := make([]*localTier, 0, len(l.caches))
	for t := range l.caches {
		caches = append(caches, t)
	}
	l.mu.Unlock()
	for _, t := range caches {
		t.owner.tick()
	}
}

// tier makes the tier of one cache.
func (l *L1) tier(o tierOwner) *localTier {
	return &localTier{l1: l, space: l.memory.Space(), owner: o}
}

// tierOwner is a cache, to its tier. tick is called by one goroutine; the others one
// at a time, as the bus does.
type tierOwner interface {
	onMessage(message string)
	onLost()
	tick()
}

// localTier is the part of an L1 that belongs to one cache: what it holds and what
// it hears.
type localTier struct {
	l1     *L1
	space  *near.Space
	member *bus.Membership // once it has joined
	owner  tierOwner
}

// join begins to hear the channel. Others may be heard on it already, so messages
// may come before it returns: the owner must be complete.
func (t *localTier) join(channel string) {
	t.member = t.l1.bus.Join(channel, t)
	t.l1.mu.Lock()
	t.l1.caches[t] = struct{}{}
	t.l1.mu.Unlock()
}

// Message, Lost and Back are what the bus calls.
func (t *localTier) Message(payload string) { t.owner.onMessage(payload) }

func (t *localTier) Lost() {
	t.space.Suspect()
	t.owner.onLost()
}

func (t *localTier) Back() { t.space.Restore() }

// leave ends what join began.
func (t *localTier) leave() {
	t.member.Leave()
	t.l1.mu.Lock()
	delete(t.l1.caches, t)
	t.l1.mu.Unlock()
	t.space.Suspect()
	t.space.DropAll()
}

// deadline is until when a value that is fresh for left more may be kept.
func (t *localTier) deadline(now int64, left time.Duration) int64 {
	return now + int64(min(t.l1.o.TTL, left))
}
