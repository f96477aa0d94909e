package redistest

import "time"

// Delay makes everything take d longer in each direction from now on, so a round
// trip takes 2d more. Zero ends it. A pipeline is delayed once: see [Proxy.Limit].
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(max(d, 0))) }

// Limit makes of the link one of so many bytes a second in each direction, for all
// connections together. Zero ends it.
func (p *Proxy) Limit(bytes int64) { p.rate.Store(max(bytes, 0)) }

// passes returns when so many bytes that came now have gone through the link; zero is at
// once.
func (p *Proxy) passes(bytes int, replies bool) time.Time {
	rate := p.rate.Load()
	if rate == 0 {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := &p.busy[0]
	if replies {
		busy = &p.busy[1]
	}
	if now := time.Now(); busy.Before(now) {
		*busy = now
	}
	*busy = busy.Add(time.Duration(int64(bytes) * int64(time.Second) / rate))
	return *busy
}

// Cut closes all connections and refuses new ones until [Proxy.Heal], like a
// server that died.
func (p *Proxy) Cut() { p.shut(false) }

// CloseConns closes the connections of now. New ones are served.
func (p *Proxy) CloseConns() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.close()
	}
}

// Swallow makes a black hole of the link until [Proxy.Heal]: connections are
// accepted and stay open, nothing gets through in either direction.
func (p *Proxy) Swallow() { p.mode.Store(swallowAll) }

// SwallowReplies lets requests through to the server, which executes them, and
// delivers no replies until [Proxy.Heal].
func (p *Proxy) SwallowReplies() { p.mode.Store(swallowReplies) }

// Heal ends Cut, Swallow and SwallowReplies. Connections on which something was
// swallowed are closed, because their next reply would answer the wrong command.
// Delay, DropReply and holds stay. The error is that of listening again, if
// somebody else took the port meanwhile.
func (p *Proxy) Heal() error {
	p.mode.Store(open)
	p.closeLossy()
	return p.listen()
}

// closeLossy closes the connections on which something was swallowed.
func (p *Proxy) closeLossy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if c.lossy.Load() {
			c.close()
		}
	}
}

// DropReply makes each n-th command from now on lose its reply: the server
// executes it, then the connection is closed in place of the delivery, so the
// client cannot know. The handshake is spared. n of 1 hits each command, zero
// ends it. The replies to commands behind it in a pipeline are lost with it.
func (p *Proxy) DropReply(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every, p.seen = int64(max(n, 0)), 0
}

// DropReplyTo does the same once, to the next command for which match is true.
// match gets the command's name and arguments as they were sent, and is called
// from the proxy's goroutines; it must not change the bytes nor call the proxy.
func (p *Proxy) DropReplyTo(match func(args [][]byte) bool) {
	p.add(&rule{match: match, drop: true})
}

// Held is one command that a [Proxy] holds, or will hold.
type Held struct {
	reached  chan struct{}
	released chan struct{}
	p        *Proxy
}

// Hold holds the reply to the next command for which match is true: the server
// executes it, and the client waits until [Held.Release]. Replies behind it on
// the same connection wait too, other connections go on. match is called as in
// DropReplyTo. For example, to let others run between a commit and its answer:
//
//	commit := proxy.Hold(func(args [][]byte) bool { return string(args[0]) == "evalsha" })
//	go commitSomething()
//	<-commit.Reached()
//	invalidateAndRead()
//	commit.Release()
func (p *Proxy) Hold(match func(args [][]byte) bool) *Held {
	h := newHeld(p)
	p.add(&rule{match: match, reply: h})
	return h
}

// HoldRequest holds the next command for which match is true itself: the server
// does not see it before [Held.Release]. Requests behind it on the same
// connection wait too.
func (p *Proxy) HoldRequest(match func(args [][]byte) bool) *Held {
	h := newHeld(p)
	p.add(&rule{match: match, request: h})
	return h
}

func newHeld(p *Proxy) *Held {
	return &Held{reached: make(chan struct{}), released: make(chan struct{}), p: p}
}

// Reached returns a channel that is closed when the command is held: for Hold
// the server has executed it, for HoldRequest it has left the client.
func (h *Held) Reached() <-chan struct{} { return h.reached }

// Release lets the command go on. If none has matched yet, none will be held. It
// may be called more than once.
func (h *Held) Release() {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	select {
	case <-h.released:
	default:
		close(h.released)
	}
}
