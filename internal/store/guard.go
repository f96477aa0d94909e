package store

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/breaker"
	"github.com/larder-go/cache/internal/mono"
)

// ErrOpen says that an operation was not sent, because Redis, or the node that has
// the key, did not answer lately. It costs nothing to be told so.
var ErrOpen = errors.New("not sent: Redis does not answer (the breaker is open)")

// guards are the breakers of one client, shared by all stores over it: one for each
// node of a cluster or Ring, else one.
type guards struct {
	client  redis.UniversalClient
	perNode bool
	only    *node // of a client that has one

	mu        sync.Mutex // protects following
	nodes     map[string]*node
	forgotten int64                         // nanoseconds
	open      map[*breaker.Breaker]struct{} // those that are not closed
	swept     int64
	stores    map[*Store]struct{}
}

// node is what is known of one server. What single replies have taught is forgotten.
type node struct {
	breaker *breaker.Breaker
	asked   int64 // when a key of it was last asked for; guards.mu protects it
	clock   clock
	silent  atomic.Int64 // since when, on mono's clock, reads with too little time had no answer; 0: the last one had

	redis, other lesson // it calls itself Redis, or something else
	noTime       lesson // it refuses TIME
	noMGet       lesson // it refuses MGET
	apart        lesson // it refuses scripts on many keys
}

// defaultForgotten is after how long a node is forgotten that does not answer and that
// nobody asks any more: its slots are somewhere else by then.
const defaultForgotten = int64(5 * time.Second)

// registry has the guards of the clients that have a store.
var registry = struct {
	mu      sync.Mutex
	clients map[redis.UniversalClient]*guards
}{clients: map[redis.UniversalClient]*guards{}}

// guard returns the guards of s's client, which release gives back.
func guard(s *Store) *guards {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	known := reflect.ValueOf(s.client).Comparable()
	var g *guards
	if known {
		g = registry.clients[s.client]
	}
	if g == nil {
		g = &guards{
			client: s.client, perNode: s.locate.cluster != nil || s.locate.ring != nil,
			nodes: map[string]*node{}, open: map[*breaker.Breaker]struct{}{}, stores: map[*Store]struct{}{},
			forgotten: defaultForgotten,
		}
		g.only = &node{breaker: g.breaker()}
		if known {
			registry.clients[s.client] = g
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stores[s] = struct{}{}
	return g
}

// release takes a store off. A second one does nothing.
func (g *guards) release(s *Store) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.stores, s)
	if len(g.stores) == 0 && reflect.ValueOf(g.client).Comparable() && registry.clients[g.client] == g {
		delete(registry.clients, g.client)
	}
}

// nodeOf is the node that has key.
func (s *Store) nodeOf(ctx context.Context, key string) *node {
	g := s.guards
	if !g.perNode {
		return g.only
	}
	return g.node(s.locate.owner(ctx, key))
}

// node is the one at addr. From time to time it forgets others.
func (g *guards) node(addr string) *node {
	now := mono.Now()
	g.mu.Lock()
	n := g.nodes[addr]
	if n == nil {
		n = &node{breaker: g.breaker()}
		g.nodes[addr] = n
	}
	n.asked = now
	var told []*Store
	if len(g.open) > 0 && now-g.swept > g.forgotten/5 {
		g.swept = now
		told = g.forgetLocked(now)
	}
	g.mu.Unlock()
	tell(told, false)
	return n
}

// forgetLocked drops the breakers of nodes that are gone, as a primary is that has
// been replaced: they would be open for good. It returns whom to tell that all are
// closed.
func (g *guards) forgetLocked(now int64) []*Store {
	return g.countLocked(func() {
		for addr, n := range g.nodes {
			if _, open := g.open[n.breaker]; open && now-n.asked > g.forgotten {
				delete(g.nodes, addr)
				delete(g.open, n.breaker)
			}
		}
	})
}

// breaker is a new breaker whose changes are heard.
func (g *guards) breaker() (b *breaker.Breaker) {
	b = breaker.New(func(from, to breaker.State) { g.changed(b, from, to) })
	return b
}

// changed tells the stores when the first breaker opens and when the last one
// closes. A cluster client is made to look where the slots are now.
func (g *guards) changed(b *breaker.Breaker, from, to breaker.State) {
	opens := from == breaker.Closed
	if cluster, ok := g.client.(interface{ ReloadState(context.Context) }); ok && opens {
		cluster.ReloadState(context.Background())
	}
	g.mu.Lock()
	told := g.countLocked(func() {
		switch {
		case opens:
			g.open[b] = struct{}{}
		case to == breaker.Closed:
			delete(g.open, b)
		}
	})
	g.mu.Unlock()
	tell(told, opens)
}

// countLocked makes a change to the open breakers and returns the stores if it
// opened the first or closed the last.
func (g *guards) countLocked(change func()) (told []*Store) {
	before := len(g.open) == 0
	change()
	if before != (len(g.open) == 0) {
		for s := range g.stores {
			told = append(told, s)
		}
	}
	return told
}

func tell(stores []*Store, open bool) {
	for _, s := range stores {
		if s.onBreaker != nil {
			s.onBreaker(open)
		}
	}
}

// Open reports whether a breaker of the client is not closed.
func (s *Store) Open() bool {
	s.guards.mu.Lock()
	defer s.guards.mu.Unlock()
	return len(s.guards.open) > 0
}

// oneKey is a call about one key. One about several is a manyCall; any other call
// is asked of no node in particular.
type oneKey interface{ keyOf() string }

// manyCall is a call about several keys, each with an outcome of its own.
type manyCall interface {
	call
	// size is how many keys there are, and keyAt the i-th.
	size() int
	keyAt(i int) string
	// cut takes a key out before the call is run; err is its outcome.
	cut(i int, err error)
	// outcome is that of the i-th key once the call has been run without error.
	outcome(i int) error
}

// guarded runs c, unless the breakers refuse it, and tells them how it went.
func (s *Store) guarded(ctx context.Context, c call, run func() error) error {
	many, several := c.(manyCall)
	if several && s.guards.perNode {
		return s.guardedMany(ctx, many, run)
	}
	key := ""
	if one, ok := c.(oneKey); ok {
		key = one.keyOf()
	} else if s.guards.perNode {
		return run()
	}
	n := s.nodeOf(ctx, key)
	pass := n.breaker.Allow()
	if !pass.OK() {
		return ErrOpen
	}
	result := breaker.Unknown // if run panics, which a hook of the client may make it do
	began, short := mono.Now(), s.hurries(ctx)
	defer func() {
		n.done(pass, result)
	}()
	err := run()
	if result = resultOf(ctx, short, err); err == nil && several {
		for i := range many.size() {
			if resultOf(ctx, short, many.outcome(i)) == breaker.Failed {
				result = breaker.Failed // one, however many keys there were
			}
		}
	}
	if hurried(err) && n.silentSince(began) > s.reads {
		result = breaker.Failed
	}
	return err
}

// silentSince notes that a read which began then had too little time to wait for n, and
// returns for how long all such reads in a row have had no answer: together they may
// have waited for longer than one with the whole budget would.
func (n *node) silentSince(began int64) time.Duration {
	n.silent.CompareAndSwap(0, began)
	return time.Duration(mono.Now() - n.silent.Load())
}

// resultOf is what err, nil included, says about the server. That of one key of a
// batch is still as the client returned it: time that has run out is the budget's,
// if it is not the caller's. short says that the budget was cut to less than speaks
// against the server.
func resultOf(ctx context.Context, short bool, err error) breaker.Result {
	switch {
	case err == nil:
		return breaker.Answered
	case panicked(err), hurried(err), short && !replied(err) && timedOut(err):
		return breaker.Unknown
	case Infrastructure(err):
		return breaker.Failed
	case Ended(ctx) != nil && !replied(err), errors.Is(err, ErrClosed):
		return breaker.Unknown
	case !replied(err) && timedOut(err):
		return breaker.Failed
	}
	return breaker.Answered
}

// part is what of a batch goes to one node.
type part struct {
	node   *node
	pass   breaker.Pass
	result breaker.Result
}

// done tells the breaker how a call went. What has failed may be another server soon.
func (n *node) done(pass breaker.Pass, result breaker.Result) {
	if result == breaker.Answered && n.silent.Load() != 0 {
		n.silent.Store(0)
	}
	if n.breaker.Done(pass, result); result == breaker.Failed {
		n.clock.forget()
	}
}

// guardedMany is guarded for a batch that goes to several nodes: keys of nodes that
// do not answer are cut out of it.
func (s *Store) guardedMany(ctx context.Context, c manyCall, run func() error) error {
	parts := map[*node]*part{}
	of := make([]*part, c.size())
	sent := 0
	for i := range of {
		n := s.nodeOf(ctx, c.keyAt(i))
		if parts[n] == nil {
			parts[n] = &part{node: n, pass: n.breaker.Allow(), result: breaker.Unknown}
		}
		if of[i] = parts[n]; of[i].pass.OK() {
			sent++
		} else {
			c.cut(i, ErrOpen)
		}
	}
	if sent == 0 && len(of) > 0 {
		return ErrOpen
	}
	defer func() {
		for _, p := range parts {
			if p.pass.OK() {
				p.node.done(p.pass, p.result)
			}
		}
	}()
	began, short := mono.Now(), s.hurries(ctx)
	err := run()
	for i, p := range of {
		result := resultOf(ctx, short, err)
		if err == nil {
			result = resultOf(ctx, short, c.outcome(i))
		}
		if p.result == breaker.Unknown || result == breaker.Failed {
			p.result = result
		}
	}
	for _, p := range parts {
		if hurried(err) && p.node.silentSince(began) > s.reads {
			p.result = breaker.Failed
		}
	}
	return err
}
