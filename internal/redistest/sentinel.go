package redistest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const (
	masterName = "main"
	sentinels  = 3
	quorum     = 2
	downAfter  = 500 // milliseconds until the primary counts as down
)

// Sentinel is a primary with a replica and three sentinels that watch them. Its
// methods end the test when they fail, so they must be called from the test's
// goroutine.
type Sentinel struct {
	t        testing.TB
	data     []*Server
	watchers []*watcher
}

// watcher is a sentinel with the client that asks it.
type watcher struct {
	*Server
	admin *redis.SentinelClient
}

// StartSentinel starts five processes, in two to four seconds: it returns when
// the replica follows the primary and every sentinel knows the replica and the
// others. A primary that does not answer for half a second counts as down.
// Options are for primary and replica. Without a redis-server it skips the test.
func StartSentinel(t testing.TB, opts ...Option) *Sentinel {
	t.Helper()
	opts = append([]Option{Config("repl-diskless-sync-delay", "0")}, opts...)
	primary := Single(t, opts...)
	port := strconv.Itoa(primary.p.Port())
	replica := Single(t, append(opts, Config("replicaof", "127.0.0.1 "+port))...)
	s := &Sentinel{t: t, data: []*Server{primary, replica}}
	follower := &node{Server: replica, admin: replica.Client(t, admin)}
	await(t, "replica", func() error { return follower.following(t.Context()) })
	for range sentinels {
		s.watch(port)
	}
	await(t, "sentinels", func() error { return s.complete(primary) })
	return s
}

// watch starts a sentinel for the primary on port.
func (s *Sentinel) watch(port string) {
	s.t.Helper()
	directive := func(words ...any) Option {
		return Config("sentinel", strings.TrimSuffix(fmt.Sprintln(words...), "\n"))
	}
	w := Single(s.t, asSentinel,
		directive("monitor", masterName, "127.0.0.1", port, quorum),
		directive("down-after-milliseconds", masterName, downAfter),
		directive("failover-timeout", masterName, 3000),
	)
	o := &redis.Options{Addr: w.Addr(), MaintNotificationsConfig: noMaintenance()}
	admin(o)
	s.watchers = append(s.watchers, &watcher{w, closedWith(s.t, redis.NewSentinelClient(o))})
}

// complete checks that every sentinel that runs sees primary as healthy and knows
// the replica and the other sentinels.
func (s *Sentinel) complete(primary *Server) error {
	for _, w := range s.watchers {
		if w.Pid() == 0 {
			continue
		}
		m, err := w.admin.Master(s.t.Context(), masterName).Result()
		switch {
		case err != nil:
			return err
		case net.JoinHostPort(m["ip"], m["port"]) != primary.Addr():
			return fmt.Errorf("%s has another primary: %s", w.Addr(), m["port"])
		case m["flags"] != "master" || m["num-slaves"] != "1" ||
			m["num-other-sentinels"] != strconv.Itoa(sentinels-1):
			return fmt.Errorf("%s sees %s with %s replicas and %s other sentinels", w.Addr(),
				m["flags"], m["num-slaves"], m["num-other-sentinels"])
		}
	}
	return nil
}

// MasterName returns the name under which the sentinels know the primary.
func (s *Sentinel) MasterName() string { return masterName }

// Addrs returns the addresses of the sentinels.
func (s *Sentinel) Addrs() []string {
	all := make([]string, len(s.watchers))
	for i, w := range s.watchers {
		all[i] = w.Addr()
	}
	return all
}

// Nodes returns the two servers with data: the first primary, then its replica.
func (s *Sentinel) Nodes() []*Server { return s.data }

// Sentinels returns the servers that watch.
func (s *Sentinel) Sentinels() []*Server {
	all := make([]*Server, len(s.watchers))
	for i, w := range s.watchers {
		all[i] = w.Server
	}
	return all
}

// Client returns a client that follows the primary, closed when t ends. It honours
// the deadlines of contexts; everything else is go-redis' default. mutate may
// change the options before the client is made.
func (s *Sentinel) Client(t testing.TB, mutate ...func(*redis.FailoverOptions)) *redis.Client {
	t.Helper()
	o := &redis.FailoverOptions{
		MasterName:            masterName,
		SentinelAddrs:         s.Addrs(),
		ContextTimeoutEnabled: true,
	}
	for _, m := range mutate {
		m(o)
	}
	return closedWith(t, redis.NewFailoverClient(o))
}

// Primary returns the primary that the first sentinel that answers names.
func (s *Sentinel) Primary() *Server {
	s.t.Helper()
	var last error
	for _, w := range s.watchers {
		a, err := w.admin.GetMasterAddrByName(s.t.Context(), masterName).Result()
		if err != nil {
			last = err
			continue
		}
		for _, d := range s.data {
			if d.Addr() == net.JoinHostPort(a[0], a[1]) {
				return d
			}
		}
	}
	s.t.Fatalf("redistest: no primary: %v", last)
	return nil
}

// Failover makes the sentinels fail over while the primary is well, and returns
// the new one as AwaitFailover does. They make a replica of the old one only some
// ten seconds later, and it takes writes until then, which are lost.
func (s *Sentinel) Failover() *Server {
	s.t.Helper()
	from := s.Primary()
	await(s.t, "failover is refused", func() error {
		return s.watchers[0].admin.Failover(s.t.Context(), masterName).Err()
	})
	return s.AwaitFailover(from)
}

// AwaitFailover waits until all sentinels name another primary than from, which
// the test killed or paused for example, and that one accepts writes. It returns
// the new primary. from may not know yet, or still be down.
func (s *Sentinel) AwaitFailover(from *Server) *Server {
	s.t.Helper()
	var heir *Server
	await(s.t, "failover", func() error {
		for _, w := range s.watchers {
			a, err := w.admin.GetMasterAddrByName(s.t.Context(), masterName).Result()
			if err != nil {
				return err
			}
			if net.JoinHostPort(a[0], a[1]) == from.Addr() {
				return fmt.Errorf("%s still names %s", w.Addr(), from.Addr())
			}
		}
		heir = s.Primary()
		return isPrimary(s.t, heir)
	})
	return heir
}

// isPrimary checks the server's own opinion.
func isPrimary(t testing.TB, s *Server) error {
	c := s.p.Client(admin)
	defer c.Close()
	info, err := c.Info(t.Context(), "replication").Result()
	if err == nil && !strings.Contains(info, "role:master") {
		err = fmt.Errorf("%s is still a replica", s.Addr())
	}
	return err
}
