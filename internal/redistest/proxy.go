package redistest

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy is a TCP proxy in front of one Redis server (or miniredis) that
// understands enough of RESP to count commands and round trips, and that breaks
// the connections through it on demand. All methods are safe for concurrent use.
//
// Faults of the link (Cut, Swallow, SwallowReplies) last until [Proxy.Heal];
// those of single commands (DropReply, DropReplyTo, Hold, HoldRequest) stand
// beside them. A reply that both would hit is swallowed.
type Proxy struct {
	target string
	port   int

	mode  atomic.Int32 // of the link
	delay atomic.Int64 // nanoseconds each way
	rate  atomic.Int64 // bytes a second each way; 0: any

	exchanges atomic.Int64
	commands  atomic.Int64
	swallowed atomic.Int64

	mu       sync.Mutex
	busy     [2]time.Time // until when the link has what was sent before: requests, replies
	listener net.Listener // nil while cut or closed
	conns    map[*conn]struct{}
	byName   map[string]int64
	rules    []*rule // each is for one command still to come
	every    int64   // drop the reply to each n-th command; 0 none
	seen     int64   // counted commands since every was set
	closed   bool

	running sync.WaitGroup
}

// Modes of the link.
const (
	open int32 = iota
	swallowAll
	swallowReplies
)

// NewProxy starts a proxy in front of target (host:port), which need not be up,
// and closes it when the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := ListenProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// ListenProxy starts a proxy in front of target. The caller closes it.
func ListenProxy(target string) (*Proxy, error) {
	p := &Proxy{
		target: target,
		conns:  make(map[*conn]struct{}),
		byName: make(map[string]int64),
	}
	var err error
	for range startTries {
		if p.port, err = reservePort(false); err != nil {
			return nil, err
		}
		if err = p.listen(); err == nil {
			return p, nil
		}
		releasePort(p.port)
	}
	return nil, err
}

// Addr returns the address on which the proxy listens, the same for its life.
func (p *Proxy) Addr() string { return loopback(p.port) }

// listen opens the listener, unless there is one.
func (p *Proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	l, err := net.Listen("tcp", p.Addr())
	if err != nil {
		return fmt.Errorf("redistest: proxy: %w", err)
	}
	p.listener = l
	p.running.Go(func() { p.accept(l) })
	return nil
}

// accept serves connections until the listener is closed.
func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.running.Go(func() { p.serve(client, l) })
		}
	}
}

// serve connects client to the target and returns when both ends are closed.
// While everything is swallowed there is no need for a target.
func (p *Proxy) serve(client net.Conn, l net.Listener) {
	c := &conn{p: p, client: client, done: make(chan struct{})}
	if !p.register(c, l) {
		_ = client.Close()
		return
	}
	defer p.forget(c)
	defer c.close()
	if p.mode.Load() == swallowAll {
		c.drain()
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil || !c.attach(server) {
		return
	}
	c.run(server)
}

// register adds a connection that came through l, unless l was cut meanwhile.
func (p *Proxy) register(c *conn, l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != l {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Close closes the proxy with all its connections, releases what is held and
// waits for its goroutines. A second call does nothing.
func (p *Proxy) Close() {
	p.shut(true)
	p.running.Wait()
	releasePort(p.port)
}

// shut closes the listener and all connections.
func (p *Proxy) shut(forever bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = p.closed || forever
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		c.close()
	}
}

// Exchanges returns the number of round trips so far: bursts of requests that
// were followed by a reply. A burst begins with a request that comes when its
// connection owes no reply, and holds all requests that arrive before the
// connection is quiet again; so a pipeline is one exchange. (One of more than
// 32 KiB that go-redis writes in pieces could be taken for two, if a piece ended
// exactly between two commands and was answered before the next came.)
//
// The handshake of a connection does not count: hello, auth, select, ping,
// client, command, cluster, readonly, readwrite, asking, quit, reset. The count
// includes a reply before the client can see it.
func (p *Proxy) Exchanges() int64 { return p.exchanges.Load() }

// Commands returns the number of commands that came so far, without those of the
// handshake; see [Proxy.Exchanges]. It includes a command before the server gets
// it.
func (p *Proxy) Commands() int64 { return p.commands.Load() }

// CommandsNamed returns how many commands of one name came, for example
// "evalsha"; case does not matter. Here those of the handshake count too.
func (p *Proxy) CommandsNamed(name string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byName[strings.ToLower(name)]
}

// Swallowed returns how many requests and replies were swallowed, with those of
// the handshake. What is sent on connections that were made during Swallow is
// not looked at and does not count.
func (p *Proxy) Swallowed() int64 { return p.swallowed.Load() }

// Reset sets all counts to zero.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanges.Store(0)
	p.commands.Store(0)
	p.swallowed.Store(0)
	clear(p.byName)
}
