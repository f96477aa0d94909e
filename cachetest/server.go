package cachetest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeouts of the clients. They bound a test that went wrong; an in-memory server
// answers at once.
const (
	dialTimeout = 10 * time.Second
	ioTimeout   = 30 * time.Second
)

// Server is an in-memory Redis with a client of it. The client is embedded: a
// Server can be used wherever a redis.UniversalClient is asked for, and its field
// Client where a *redis.Client is.
//
// Its clock stands still until Advance moves it. Whatever waits by Redis's clock
// waits for that: leases of others, back-offs, and the retries of a write-behind
// sink that has failed.
//
// All methods are safe for concurrent use.
type Server struct {
	*redis.Client

	t       testing.TB
	mini    *miniredis.Miniredis
	outside *outside // where mini is touched; nil: anywhere
	addr    string

	mu  sync.Mutex
	now time.Time // zero in a bubble, which has its own clock
}

// Redis starts an in-memory Redis for the test and returns it with a client.
// Both end with the test. It cannot fail but for want of a loopback port, which
// ends the test.
//
// The server's clock stands still at the time of the call, whatever the system's
// clock does, and moves only by [Server.Advance]; so nothing expires by accident
// in a slow test. The program's own clock is not moved. Commands that block wait
// in real time.
//
// The client honours the deadlines of contexts, does not retry, and reports a
// server that is down at once.
func Redis(t testing.TB) *Server {
	t.Helper()
	mini := start(t)
	s := &Server{
		t:    t,
		mini: mini,
		addr: mini.Addr(),
		now:  time.Now().Truncate(time.Microsecond), // what TIME can express
	}
	mini.SetTime(s.now)
	mini.ClockTTL(true)
	s.Client = redis.NewClient(s.options())
	t.Cleanup(func() { _ = s.Close() }) // the test may have closed it
	return s
}

// start starts a server that ends with the test.
func start(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		t.Fatalf("cachetest: %v", err)
	}
	t.Cleanup(mini.Close)
	return mini
}

// options are those of a client that fails soon rather than late.
func (s *Server) options() *redis.Options {
	return &redis.Options{
		Addr:                  s.addr,
		DialTimeout:           dialTimeout,
		DialerRetries:         1,
		ReadTimeout:           ioTimeout,
		WriteTimeout:          ioTimeout,
		MaxRetries:            -1,
		ContextTimeoutEnabled: true,
		DisableIdentity:       true, // the in-memory server does not know CLIENT SETINFO
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
}

// Addr returns the server's host and port, for other clients.
func (s *Server) Addr() string { return s.addr }

// Now returns the server's time, the one that TIME tells.
func (s *Server) Now() time.Time {
	if s.outside != nil {
		return time.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Advance moves the server's clock forward by d: times to live, TIME (in scripts
// too) and the idle times of streams move together. Keys that have reached the
// end of their life are gone when it returns. In a [Bubble] it is time.Sleep(d),
// which moves the program's clock as well. A negative d is an error of the test
// and moves nothing.
func (s *Server) Advance(d time.Duration) {
	s.t.Helper()
	switch {
	case d < 0:
		s.t.Errorf("cachetest: Advance(%v): the clock does not go back", d)
	case s.outside != nil:
		time.Sleep(d)
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now = s.now.Add(d)
		s.mini.SetTime(s.now)
	}
}

// Fail makes the server answer every command of every client with the error
// message, until [Server.Heal]: for example "LOADING Redis is loading the dataset
// in memory" or "READONLY You can't write against a read only replica.". The
// first word is the error's code. An empty message heals.
func (s *Server) Fail(message string) { s.do(func() { s.mini.SetError(message) }) }

// Heal ends Fail.
func (s *Server) Heal() { s.Fail("") }

// Stop closes the server's connections and refuses new ones until
// [Server.Restart]. The data stay, and the clock can be moved meanwhile.
func (s *Server) Stop() { s.do(s.mini.Close) }

// Restart starts the server again after Stop, on its address and with its data.
// Connections from before are of no use any more: the client notices that by
// itself. If the address is not free, the test fails.
func (s *Server) Restart() {
	s.t.Helper()
	var err error
	s.do(func() {
		s.mini.Close() // without effect after Stop
		s.mini.Ctx, s.mini.CtxCancel = context.WithCancel(context.Background())
		err = s.mini.Restart()
	})
	if err != nil {
		s.t.Errorf("cachetest: restart: %v", err)
	}
}

// do runs f where the server may be touched.
func (s *Server) do(f func()) {
	if s.outside != nil {
		s.outside.do(f)
		return
	}
	f()
}

var (
	_ redis.UniversalClient = (*Server)(nil)
	_ net.Conn              = (*conn)(nil)
)
