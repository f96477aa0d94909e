package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Main returns m with an end: when the tests are over, the servers that they shared are
// stopped, and the clients of servers that were killed have noticed that they are closed. It
// belongs into TestMain of a package whose tests share servers, or kill them:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(redistest.Main(m)) }
func Main(m interface{ Run() int }) interface{ Run() int } {
	hasMain.Store(true)
	return program{m}
}

// program is a test program with shared servers.
type program struct{ tests interface{ Run() int } }

func (p program) Run() int {
	code := p.tests.Run()
	awaitDialers()
	if err := errors.Join(sharedCluster.end(), sharedSentinel.end()); err != nil {
		fmt.Fprintln(os.Stderr, "shared servers:", err)
		return max(code, 1)
	}
	return code
}

// awaitDialers waits for the goroutines by which go-redis asks whether a server that does
// not answer is back: they look once a second whether their client was closed.
func awaitDialers() {
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var all strings.Builder
		if pprof.Lookup("goroutine").WriteTo(&all, 1) != nil || !strings.Contains(all.String(), "pool.(*ConnPool).tryDial") {
			return
		}
	}
}

var (
	hasMain        atomic.Bool
	sharedCluster  shared[*Cluster]
	sharedSentinel shared[*Sentinel]
)

// SharedCluster lends t the cluster that the tests of a package share: whole, settled,
// without keys or scripts, and with the primaries of now as the first three of its
// Nodes; each may have other slots than that of another test. The first test that asks
// has it started. t has it until it ends, as others wait for it: it may break servers,
// and leave them broken, but takes back what it has changed by CONFIG SET. It may not be
// asked for again by a subtest of t. The package's TestMain calls [Main].
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	c := sharedCluster.borrow(t, func(t testing.TB) *Cluster { return StartCluster(t) }).For(t)
	c.mend()
	return c
}

// SharedSentinel lends t the servers and sentinels that the tests of a package share, as
// [SharedCluster] does.
func SharedSentinel(t testing.TB) *Sentinel {
	t.Helper()
	s := sharedSentinel.borrow(t, func(t testing.TB) *Sentinel { return StartSentinel(t) }).For(t)
	s.mend()
	return s
}

// shared is what one test after the other uses.
type shared[F any] struct {
	turn   sync.Mutex   // held by the test that has it
	holder atomic.Value // its name

	stage *Stage // nil: not started
	it    F
	err   error // why it could not be started
}

// borrow returns the fixture, started on a stage of its own, and t's until it ends.
func (s *shared[F]) borrow(t testing.TB, start func(testing.TB) F) F {
	t.Helper()
	Require(t)
	if !hasMain.Load() {
		t.Fatal("redistest: nobody would stop the shared servers: TestMain does not call redistest.Main")
	}
	if holder, _ := s.holder.Load().(string); holder != "" && strings.HasPrefix(t.Name(), holder+"/") {
		t.Fatalf("redistest: %s has the shared servers and would wait for itself", holder)
	}
	s.turn.Lock()
	s.holder.Store(t.Name())
	t.Cleanup(func() {
		s.holder.Store("")
		s.turn.Unlock()
	})
	if s.stage == nil {
		s.stage = NewStage(context.Background())
		s.err = s.stage.Run(func(t testing.TB) error { s.it = start(t); return nil })
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.it
}

// end stops what was started.
func (s *shared[F]) end() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.stage == nil {
		return nil
	}
	return s.stage.End()
}
