package cachetest

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Bubble is an in-memory Redis for a testing/synctest bubble, which has one clock
// for the program and for Redis: time.Sleep lets keys expire, and an hour takes
// no time.
//
//	b := cachetest.NewBubble(t) // outside
//	synctest.Test(t, func(t *testing.T) {
//		rdb := b.Redis(t) // inside
//		…
//		time.Sleep(time.Hour)
//	})
//
// It works as follows. The server runs outside the bubble, on a real socket. A
// goroutine that waits for its answer is not durably blocked, so the bubble's
// clock stands still until the answer is there: Redis answers in no time. Before
// each write to the server its clock is set to the bubble's.
//
// That has two consequences. No command is ever late, so timeouts and deadlines
// of commands cannot be tested this way, and the client ignores them once a
// command was sent. And a goroutine that waits for messages of a subscription, or
// in a blocking command, stops the bubble's clock.
type Bubble struct {
	mini    *miniredis.Miniredis
	outside *outside
}

// NewBubble starts the server. It must be called outside the bubble and serves
// one bubble, because the clock of a second one would start before the end of the
// first. The server ends with the test t.
func NewBubble(t testing.TB) *Bubble {
	t.Helper()
	b := &Bubble{mini: start(t), outside: newOutside()}
	b.mini.ClockTTL(true)
	t.Cleanup(b.outside.stop)
	return b
}

// Redis returns the server with a client for the bubble, from which it must be
// called, with the bubble's t. The client is closed when the bubble ends. More
// than one call gives more clients of the same server.
func (b *Bubble) Redis(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, mini: b.mini, outside: b.outside, addr: b.mini.Addr()}
	o := s.options()
	o.Protocol = 2 // RESP3 looks for pushed messages under deadlines
	clock := &clock{mini: b.mini}
	o.Dialer = func(_ context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, clock: clock}, nil
	}
	s.Client = redis.NewClient(o)
	t.Cleanup(func() { _ = s.Close() }) // the test may have closed it
	return s
}

// clock carries the bubble's time to the server.
type clock struct {
	mu   sync.Mutex // keeps two writers from setting their times in reverse
	mini *miniredis.Miniredis
	last time.Time
}

// carry does nothing while time stands still, as it does while any command is
// under way: miniredis reads its clock in XCLAIM without its lock.
func (c *clock) carry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); !now.Equal(c.last) {
		c.mini.SetTime(now)
		c.last = now
	}
}

// conn is a connection out of the bubble.
type conn struct {
	net.Conn
	clock *clock
}

// Write sets the server's clock before it sends something that may depend on it.
func (c *conn) Write(b []byte) (int, error) {
	c.clock.carry()
	return c.Conn.Write(b)
}

// SetDeadline does nothing, nor do the other two: the deadline of a socket runs in
// real time, so a slow machine would let a command time out while the bubble's
// clock stands still.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// SyscallConn lets the client's pool find out that the server closed an idle
// connection.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return s.SyscallConn()
}

// outside runs functions on a goroutine that belongs to no bubble: what a server
// starts and waits for must not.
type outside struct {
	mu   sync.Mutex
	work chan func()
	done chan struct{}
}

func newOutside() *outside {
	o := &outside{work: make(chan func()), done: make(chan struct{})}
	go func() {
		for f := range o.work {
			f()
			o.done <- struct{}{}
		}
		close(o.done)
	}()
	return o
}

// do runs f there and waits for its end.
func (o *outside) do(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.work <- f
	<-o.done
}

// stop ends the goroutine and waits for its end.
func (o *outside) stop() {
	close(o.work)
	<-o.done
}
