package conn

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/breaker"
	"github.com/larder-go/cache/internal/mono"
)

// Node is what is known of one server: whether it answers, what time it is there, and
// what it has refused. It belongs to an address, so that a server which takes another's
// place starts anew; what the one reply has taught is forgotten after a minute.
type Node struct {
	breaker *breaker.Breaker
	asked   int64 // when a key of it was last asked for; breakers.mu protects it
	clock   clock
	silent  atomic.Int64 // since when, on mono's clock, reads with too little time had no answer; 0: the last one had

	learned [lessons]atomic.Int64 // when, by mono; 0: never
}

// Lesson is something that one reply has taught about a server.
type Lesson uint8

// What is learned.
const (
	// IsRedis: it calls itself Redis. Its clock tells how old its keys are, and no
	// proxy hides others behind it.
	IsRedis Lesson = iota
	// IsOther: it calls itself something else.
	IsOther
	// NoTime: it refuses TIME.
	NoTime
	// NoMGet: it refuses MGET.
	NoMGet
	// NoManyKeys: it refuses scripts on many keys.
	NoManyKeys
	// NoPublish: it refuses to publish changes.
	NoPublish

	lessons
)

// lessonTime is after how long a lesson is forgotten: the server may be another one by
// then, or set up otherwise.
const lessonTime = int64(time.Minute)

// Learn notes that a reply has taught l now.
func (n *Node) Learn(l Lesson) { n.learned[l].Store(mono.Now()) }

// Knows reports whether l was learned within the last minute.
func (n *Node) Knows(l Lesson) bool {
	at := n.learned[l].Load()
	return at != 0 && mono.Now()-at < lessonTime
}

// refusals are the lessons that a server does not do something.
var refusals = [...]struct {
	lesson Lesson
	what   string
}{{NoTime, "TIME"}, {NoMGet, "MGET"}, {NoManyKeys, "scripts on many keys"}, {NoPublish, "PUBLISH"}}

// Refuses names what n has refused within the last minute, and is done without.
func (n *Node) Refuses() (all []string) {
	for _, r := range refusals {
		if n.Knows(r.lesson) {
			all = append(all, r.what)
		}
	}
	return all
}

// NodeOf is the node that has key.
func (c *Client) NodeOf(ctx context.Context, key string) *Node {
	b := c.breakers
	if !b.perNode {
		return b.only
	}
	return b.node(c.locate.owner(ctx, key))
}

// silentSince notes that a read which began then had too little time to wait for n, and
// returns for how long all such reads in a row have had no answer: together they may
// have waited for longer than one with the whole budget would.
func (n *Node) silentSince(began int64) time.Duration {
	n.silent.CompareAndSwap(0, began)
	return time.Duration(mono.Now() - n.silent.Load())
}

// done tells the breaker how a call went. What has failed may be another server soon.
func (n *Node) done(pass breaker.Pass, result breaker.Result) {
	if result == breaker.Answered && n.silent.Load() != 0 {
		n.silent.Store(0)
	}
	if n.breaker.Done(pass, result); result == breaker.Failed {
		n.clock.forget()
	}
}

// Sample is n's clock, if it tells what is left of n's keys at now; else nil.
func (n *Node) Sample(now time.Time) *Sample {
	if n == nil || !n.Knows(IsRedis) {
		return nil
	}
	return n.clock.usable(now)
}

// Told takes a time in ms that a script has answered which was sent then.
func (n *Node) Told(ms int64, sent time.Time) { n.clock.learnMs(ms, sent) }

// Latest is about what time it is for n, in ms, and never too early; 0 if that is not
// known. It sends nothing.
func (n *Node) Latest() int64 {
	now := time.Now()
	held := n.clock.usable(now)
	if held == nil {
		return 0
	}
	return held.Latest(now) / 1000
}

// Earliest is the earliest that it can be now for n, in ms, if its clock tells what is
// left of its keys; else 0. It sends nothing.
func (n *Node) Earliest() int64 {
	now := time.Now()
	return n.Sample(now).earliest(now) / 1000
}
