package bus

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// Conn is one connection for subscriptions, as *redis.PubSub is one.
// ReceiveTimeout returns *redis.Message, *redis.Subscription and *redis.Pong.
type Conn interface {
	Subscribe(ctx context.Context, channels ...string) error
	Unsubscribe(ctx context.Context, channels ...string) error
	Ping(ctx context.Context, payload ...string) error
	ReceiveTimeout(ctx context.Context, timeout time.Duration) (any, error)
	Close() error
}

// link is the bus's ear at one node: at most one connection at a time, made anew
// when it is lost. On a cluster the client picks the node.
type link struct {
	bus     *Bus
	node    any // the shard's client, to know it again
	connect func() Conn
	woken   chan struct{} // capacity 1
	stop    context.CancelFunc

	// Guarded by bus.mu.
	at     *session // nil while there is no connection
	proven int64
}

func (b *Bus) newLink(node any, connect func() Conn) *link {
	l := &link{bus: b, node: node, connect: connect, woken: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(b.ctx)
	l.stop = stop
	b.wg.Go(func() { l.receive(ctx) })
	return l
}

// wake lets the link look at what is wanted, soon.
func (l *link) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// receive is the receiver: it has a connection while somebody listens.
func (l *link) receive(ctx context.Context) {
	pause := firstPause
	for l.wanted(ctx) {
		s := newSession(l)
		s.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.proved {
			pause = firstPause
		}
		l.bus.reload(ctx)
		sleep(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, lastPause)
	}
}

// reload lets a cluster client look where the nodes are: connections of its
// PubSubs fail without that, and a bus may be the only one who notices.
func (b *Bus) reload(ctx context.Context) {
	if c, ok := b.client.(interface{ ReloadState(ctx context.Context) }); ok {
		c.ReloadState(ctx)
	}
}

// wanted waits until somebody listens; false if the link was stopped.
func (l *link) wanted(ctx context.Context) bool {
	for ctx.Err() == nil {
		l.bus.mu.Lock()
		n := len(l.bus.channels)
		l.bus.mu.Unlock()
		if n > 0 {
			return true
		}
		select {
		case <-ctx.Done():
		case <-l.woken:
		}
	}
	return false
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// nodes lists where to subscribe: the client itself, or the shards of a Ring that
// are up. A Ring without any would panic in Subscribe.
func (b *Bus) nodes() map[any]func() Conn {
	if b.o.Connect != nil {
		return map[any]func() Conn{b: b.o.Connect}
	}
	ring, ok := b.client.(interface{ GetShardClients() []*redis.Client })
	if !ok {
		return map[any]func() Conn{b: func() Conn { return b.client.Subscribe(b.ctx) }}
	}
	all := map[any]func() Conn{}
	for _, shard := range ring.GetShardClients() {
		all[shard] = func() Conn { return shard.Subscribe(b.ctx) }
	}
	return all
}

// relink gives every node a link and takes it from those that are gone. Where keys
// move to another shard nothing that was heard before counts.
func (b *Bus) relink() {
	nodes := b.nodes()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return
	}
	changed := false
	b.links = slices.DeleteFunc(b.links, func(l *link) bool {
		_, stays := nodes[l.node]
		delete(nodes, l.node)
		if !stays {
			l.at = nil
			l.stop()
		}
		changed = changed || !stays
		return !stays
	})
	for node, connect := range nodes {
		b.links = append(b.links, b.newLink(node, connect))
		changed = true
	}
	if changed {
		b.lostLocked()
		b.proveLocked()
	}
}
