package redistest

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readBuffer = 64 << 10
	inFlight   = 1024 // frames between a reader and its writer
)

// conn is one client's connection and the one to the server that belongs to it.
// Four goroutines move frames, a reader and a writer for each direction, so that
// a delay does not slow down what comes behind.
type conn struct {
	p      *Proxy
	client net.Conn
	lossy  atomic.Bool // something was swallowed

	done    chan struct{} // closed with both ends
	closing sync.Once

	mu     sync.Mutex
	server net.Conn
	owed   []*request // forwarded and not answered, oldest first
	burst  int64      // number of the latest burst
	told   int64      // latest burst that was counted as an exchange
	stream bool       // for pub/sub: replies are not matched with requests
}

// frame is one request or one reply on its way.
type frame struct {
	raw  []byte
	due  time.Time
	hold *Held
	drop bool
}

// attach sets the server's end. It reports false, and closes it, if the
// connection was closed meanwhile.
func (c *conn) attach(server net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		_ = server.Close()
		return false
	default:
		c.server = server
		return true
	}
}

// close closes both ends, which ends the goroutines.
func (c *conn) close() {
	c.closing.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.done)
		_ = c.client.Close()
		if c.server != nil {
			_ = c.server.Close()
		}
	})
}

// drain swallows what the client sends until the connection is closed.
func (c *conn) drain() {
	c.lose()
	_, _ = io.Copy(io.Discard, c.client)
}

// lose notes that something was swallowed. If the link was healed between the
// decision to swallow and the note, Heal has not seen it, and the connection is
// closed here: either this load or Heal's comes last.
func (c *conn) lose() {
	c.lossy.Store(true)
	if c.p.mode.Load() == open {
		c.close()
	}
}

// run moves frames until one end is closed. The last replies still get through,
// as after quit.
func (c *conn) run(server net.Conn) {
	requests, replies := make(chan frame, inFlight), make(chan frame, inFlight)
	var g sync.WaitGroup
	g.Go(func() { c.readRequests(requests); close(requests) })
	g.Go(func() { c.readReplies(server, replies); close(replies) })
	g.Go(func() { c.write(server, requests, false); c.afterRequests(server) })
	g.Go(func() { c.write(c.client, replies, true); c.close() })
	g.Wait()
}

// afterRequests tells the server that no more will come.
func (c *conn) afterRequests(server net.Conn) {
	if half, ok := server.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}

// readRequests reads the client's commands until it closes or sends nonsense.
func (c *conn) readRequests(out chan<- frame) {
	r := bufio.NewReaderSize(c.client, readBuffer)
	for {
		together := r.Buffered() > 0 // came in one piece with the one before
		if _, err := r.Peek(1); err != nil {
			return
		}
		due := c.p.due()
		began := c.begin(together)
		raw, args, err := readRequest(r)
		if err != nil {
			return
		}
		q := c.p.judge(raw, args)
		q.burst = began
		c.owe(q)
		if !c.send(out, frame{raw: raw, due: due, hold: q.hold}) {
			return
		}
	}
}

// begin returns the burst of the request whose first byte has just come.
func (c *conn) begin(together bool) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !together && len(c.owed) == 0 {
		c.burst++
	}
	return c.burst
}

// owe notes that a reply will come.
func (c *conn) owe(q *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream = c.stream || q.free
	if !c.stream {
		c.owed = append(c.owed, q)
	}
}

// readReplies reads the server's replies until it closes.
func (c *conn) readReplies(server net.Conn, out chan<- frame) {
	r := bufio.NewReaderSize(server, readBuffer)
	for {
		raw, push, err := readReply(r)
		if err != nil {
			return
		}
		f := frame{raw: raw, due: c.p.due()}
		if !push {
			f.hold, f.drop = c.answered()
		}
		if !c.send(out, f) {
			return
		}
	}
}

// answered matches a reply with the oldest request and says what becomes of it.
// The reply counts before it is delivered: the client's next request must find
// that nothing is owed.
func (c *conn) answered() (hold *Held, drop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.owed) == 0 {
		return nil, false
	}
	q := c.owed[0]
	c.owed = c.owed[1:]
	if q.counted && q.burst != c.told {
		c.told = q.burst
		c.p.exchanges.Add(1)
	}
	return q.reply, q.drop
}

// send hands a frame to the writer. It reports false if the connection ended.
func (c *conn) send(out chan<- frame, f frame) bool {
	select {
	case out <- f:
		return true
	case <-c.done:
		return false
	}
}

// write delivers frames when they are due, or does to them what the faults say.
// It returns when there are no more or when the connection is closed.
func (c *conn) write(to net.Conn, frames <-chan frame, replies bool) {
	for f := range frames {
		if !c.await(f) {
			return
		}
		mode := c.p.mode.Load()
		if mode == swallowAll || replies && mode == swallowReplies {
			c.lose()
			c.p.swallowed.Add(1)
			continue
		}
		if f.drop {
			c.close()
			return
		}
		if !c.sleepUntil(c.p.passes(len(f.raw), replies)) {
			return
		}
		if _, err := to.Write(f.raw); err != nil {
			c.close()
			return
		}
	}
}

// await waits until the frame may go on. It reports false if the connection
// ended before.
func (c *conn) await(f frame) bool {
	if !c.sleepUntil(f.due) {
		return false
	}
	if f.hold == nil {
		return true
	}
	close(f.hold.reached)
	select {
	case <-f.hold.released:
		return true
	case <-c.done:
		return false
	}
}

// sleepUntil reports false if the connection ended before; zero is at once.
func (c *conn) sleepUntil(due time.Time) bool {
	wait := time.Until(due)
	if due.IsZero() || wait <= 0 {
		return true
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
		return false
	}
}

// due returns when something that came now goes on; zero is at once.
func (p *Proxy) due() time.Time {
	d := time.Duration(p.delay.Load())
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
