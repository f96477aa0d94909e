package conn

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/breaker"
	"github.com/larder-go/cache/internal/mono"
)

// ErrOpen says that an operation was not sent, because Redis, or the node that has
// the key, did not answer lately. It costs nothing to be told so.
var ErrOpen = errors.New("not sent: Redis does not answer (the breaker is open)")

// breakers are the nodes of one client of go-redis, each with its breaker, shared by all
// Clients over it: one for each node of a cluster or Ring, else one.
type breakers struct {
	redis   redis.UniversalClient
	perNode bool
	only    *Node // of a client that has one

	mu        sync.Mutex // protects following
	nodes     map[string]*Node
	forgotten int64                         // nanoseconds
	open      map[*breaker.Breaker]struct{} // those that are not closed
	swept     int64
	clients   map[*Client]struct{}
}

// defaultForgotten is after how long a node is forgotten that does not answer and that
// nobody asks any more: its slots are somewhere else by then.
const defaultForgotten = int64(5 * time.Second)

// registry has the breakers of the clients of go-redis that have a Client.
var registry = struct {
	mu  sync.Mutex
	all map[redis.UniversalClient]*breakers
}{all: map[redis.UniversalClient]*breakers{}}

// breakersOf returns the breakers of c's client, which leave gives back.
func breakersOf(c *Client) *breakers {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	known := reflect.ValueOf(c.redis).Comparable()
	var b *breakers
	if known {
		b = registry.all[c.redis]
	}
	if b == nil {
		b = &breakers{
			redis: c.redis, perNode: c.locate.cluster != nil || c.locate.ring != nil,
			nodes: map[string]*Node{}, open: map[*breaker.Breaker]struct{}{}, clients: map[*Client]struct{}{},
			forgotten: defaultForgotten,
		}
		b.only = b.newNode()
		if known {
			registry.all[c.redis] = b
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients[c] = struct{}{}
	return b
}

// leave takes a Client off. A second one does nothing.
func (b *breakers) leave(c *Client) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.clients, c)
	if len(b.clients) == 0 && reflect.ValueOf(b.redis).Comparable() && registry.all[b.redis] == b {
		delete(registry.all, b.redis)
	}
}

// node is the one at addr. From time to time it forgets others.
func (b *breakers) node(addr string) *Node {
	now := mono.Now()
	b.mu.Lock()
	n := b.nodes[addr]
	if n == nil {
		n = b.newNode()
		b.nodes[addr] = n
	}
	n.asked = now
	var told []*Client
	if len(b.open) > 0 && now-b.swept > b.forgotten/5 {
		b.swept = now
		told = b.forgetLocked(now)
	}
	b.mu.Unlock()
	tell(told, false)
	return n
}

// newNode is a node whose breaker is heard.
func (b *breakers) newNode() *Node {
	n := &Node{}
	n.breaker = breaker.New(func(from, to breaker.State) { b.changed(n.breaker, from, to) })
	return n
}

// forgetLocked drops the breakers of nodes that are gone, as a primary is that has
// been replaced: they would be open for good. It returns whom to tell that all are
// closed.
func (b *breakers) forgetLocked(now int64) []*Client {
	return b.countLocked(func() {
		for addr, n := range b.nodes {
			if _, open := b.open[n.breaker]; open && now-n.asked > b.forgotten {
				delete(b.nodes, addr)
				delete(b.open, n.breaker)
			}
		}
	})
}

// changed tells the Clients when the first breaker opens and when the last one
// closes. A cluster client is made to look where the slots are now.
func (b *breakers) changed(one *breaker.Breaker, from, to breaker.State) {
	opens := from == breaker.Closed
	if cluster, ok := b.redis.(interface{ ReloadState(context.Context) }); ok && opens {
		cluster.ReloadState(context.Background())
	}
	b.mu.Lock()
	told := b.countLocked(func() {
		switch {
		case opens:
			b.open[one] = struct{}{}
		case to == breaker.Closed:
			delete(b.open, one)
		}
	})
	b.mu.Unlock()
	tell(told, opens)
}

// countLocked makes a change to the open breakers and returns the Clients if it
// opened the first or closed the last.
func (b *breakers) countLocked(change func()) (told []*Client) {
	before := len(b.open) == 0
	change()
	if before != (len(b.open) == 0) {
		for c := range b.clients {
			told = append(told, c)
		}
	}
	return told
}

func tell(clients []*Client, open bool) {
	for _, c := range clients {
		if c.onBreaker != nil {
			c.onBreaker(open)
		}
	}
}

// Open reports whether a breaker of the client is not closed.
func (c *Client) Open() bool {
	c.breakers.mu.Lock()
	defer c.breakers.mu.Unlock()
	return len(c.breakers.open) > 0
}

// oneKey is a call about one key. One about several is a manyCall; any other call
// is asked of no node in particular.
type oneKey interface{ key() string }

// manyCall is a call about keys, each with an outcome of its own.
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

// withBreaker runs what, unless the breakers refuse it, and tells them how it went.
func (c *Client) withBreaker(ctx context.Context, budget time.Duration, what call) error {
	many, several := what.(manyCall)
	key := ""
	switch one, ok := what.(oneKey); {
	case several && many.size() == 1:
		key, several = many.keyAt(0), false
	case several && c.breakers.perNode:
		return c.withBreakers(ctx, budget, many)
	case ok:
		key = one.key()
	case !several && c.breakers.perNode:
		return c.through(ctx, budget, what)
	}
	n := c.NodeOf(ctx, key)
	pass := n.breaker.Allow()
	if !pass.OK() {
		return ErrOpen
	}
	result := breaker.Unknown // if a hook of the client panics
	began, short := mono.Now(), c.hurries(ctx)
	defer func() {
		n.done(pass, result)
	}()
	err := c.through(ctx, budget, what)
	if result = resultOf(ctx, short, err); err == nil && several {
		for i := range many.size() {
			if resultOf(ctx, short, many.outcome(i)) == breaker.Failed {
				result = breaker.Failed // one, however many keys there were
			}
		}
	}
	if hurried(err) && n.silentSince(began) > c.reads {
		result = breaker.Failed
	}
	return err
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
	node   *Node
	pass   breaker.Pass
	result breaker.Result
}

// withBreakers is withBreaker for a batch that goes to several nodes: keys of nodes that
// do not answer are cut out of it.
func (c *Client) withBreakers(ctx context.Context, budget time.Duration, what manyCall) error {
	parts := map[*Node]*part{}
	of := make([]*part, what.size())
	sent := 0
	for i := range of {
		n := c.NodeOf(ctx, what.keyAt(i))
		if parts[n] == nil {
			parts[n] = &part{node: n, pass: n.breaker.Allow(), result: breaker.Unknown}
		}
		if of[i] = parts[n]; of[i].pass.OK() {
			sent++
		} else {
			what.cut(i, ErrOpen)
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
	began, short := mono.Now(), c.hurries(ctx)
	err := c.through(ctx, budget, what)
	for i, p := range of {
		result := resultOf(ctx, short, err)
		if err == nil {
			result = resultOf(ctx, short, what.outcome(i))
		}
		if p.result == breaker.Unknown || result == breaker.Failed {
			p.result = result
		}
	}
	for _, p := range parts {
		if hurried(err) && p.node.silentSince(began) > c.reads {
			p.result = breaker.Failed
		}
	}
	return err
}
