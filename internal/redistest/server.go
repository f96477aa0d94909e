package redistest

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Server is a [Process] that belongs to a test: it is killed when the test ends,
// and its methods end the test when they fail, so they must be called from the
// test's goroutine. Others use [Server.Process].
type Server struct {
	t testing.TB
	p *Process
}

// Single starts one server, without persistence unless an option asks for it.
// Starting takes some 10 to 30 ms. Without a redis-server it skips the test.
func Single(t testing.TB, opts ...Option) *Server {
	t.Helper()
	Require(t)
	p, err := Start(t.Context(), t.TempDir(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &Server{t: t, p: p}
}

// For is the server for another test than the one that has started it: its methods end t.
func (s *Server) For(t testing.TB) *Server { return &Server{t: t, p: s.p} }

// mend makes the server run, whatever was done to it.
func (s *Server) mend() {
	s.t.Helper()
	if s.Pid() == 0 {
		s.Restart()
	} else {
		s.Resume()
	}
}

// Process returns the process behind s, whose methods return errors.
func (s *Server) Process() *Process { return s.p }

// Addr returns host and port, the same for the life of s.
func (s *Server) Addr() string { return s.p.Addr() }

// Pid returns the process id, or zero while the server is down.
func (s *Server) Pid() int { return s.p.Pid() }

// Client returns a client as [Process.Client] does, closed when t ends. t may be
// a subtest.
func (s *Server) Client(t testing.TB, mutate ...func(*redis.Options)) *redis.Client {
	t.Helper()
	return closedWith(t, s.p.Client(mutate...))
}

// closedWith closes the client when the test ends.
func closedWith[C interface{ Close() error }](t testing.TB, c C) C {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() }) // the test may have closed it
	return c
}

// Pause stops the process; see [Process.Pause].
func (s *Server) Pause() {
	s.t.Helper()
	s.must(s.p.Pause())
}

// Resume continues a paused process.
func (s *Server) Resume() {
	s.t.Helper()
	s.must(s.p.Resume())
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	s.must(s.p.Kill())
}

// Restart starts the server again on its port with its directory, killing it
// first if it runs.
func (s *Server) Restart() {
	s.t.Helper()
	s.must(s.p.Restart(context.WithoutCancel(s.t.Context())))
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
