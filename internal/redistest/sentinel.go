package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const (
	masterName = "main"
	sentinels  = 3
	quorum     = 2
	downAfter  = 500  // milliseconds until the primary counts as down
	failover   = 1000 // milliseconds that a failover may take, and half of those between two
	period     = 250  // milliseconds between what sentinels do every two and every ten seconds
)

// Sentinel is a primary with a replica and three sentinels that watch them. Its
// methods end the test when they fail, so they must be called from the test's
// goroutine.
type Sentinel struct {
	t        testing.TB
	data     []*node
	watchers []*watcher
}

// watcher is a sentinel with the client that asks it.
type watcher struct {
	*Server
	admin *redis.SentinelClient
}

// StartSentinel starts five processes, in about two seconds: it returns when
// the replica follows the primary and every sentinel knows the replica and the
// others. A primary that does not answer for half a second counts as down.
// Options are for primary and replica. Without a redis-server it skips the test.
func StartSentinel(t testing.TB, opts ...Option) *Sentinel {
	t.Helper()
	opts = append([]Option{Config("repl-diskless-sync-delay", "0")}, opts...)
	primary := Single(t, opts...)
	port := strconv.Itoa(primary.p.Port())
	replica := Single(t, append(opts, Config("replicaof", "127.0.0.1 "+port))...)
	s := &Sentinel{t: t}
	for _, d := range []*Server{primary, replica} {
		s.data = append(s.data, &node{Server: d, admin: d.Client(t, admin)})
	}
	await(t, "replica", func() error { return s.data[1].following(t.Context()) })
	for range sentinels {
		s.watch(port)
	}
	await(t, "sentinels", func() error { return s.complete(s.data[0]) })
	return s
}

// For is the same servers for another test than the one that has started them: the
// methods end t.
func (s *Sentinel) For(t testing.TB) *Sentinel {
	all := &Sentinel{t: t}
	for _, d := range s.data {
		all.data = append(all.data, &node{Server: d.For(t), admin: d.admin})
	}
	for _, w := range s.watchers {
		all.watchers = append(all.watchers, &watcher{w.For(t), w.admin})
	}
	return all
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
		directive("failover-timeout", masterName, failover),
	)
	o := &redis.Options{Addr: w.Addr(), MaintNotificationsConfig: noMaintenance()}
	admin(o)
	n := &watcher{w, closedWith(s.t, redis.NewSentinelClient(o))}
	n.hasten(s.t.Context())
	s.watchers = append(s.watchers, n)
}

// hasten makes the sentinel look more often, until it is restarted. One before Redis 7.0
// does not know how to, and is as right, and slower.
func (w *watcher) hasten(ctx context.Context) {
	_ = w.admin.Process(ctx, redis.NewStatusCmd(ctx, "sentinel", "debug",
		"info-period", period, "publish-period", period, "ask-period", period))
}

// complete checks that every sentinel that runs sees primary as healthy and knows
// the replica and the other sentinels.
func (s *Sentinel) complete(primary *node) error {
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
func (s *Sentinel) Nodes() []*Server { return []*Server{s.data[0].Server, s.data[1].Server} }

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
	var errs []error
	for _, w := range s.watchers {
		d, err := s.namedBy(w)
		if err == nil {
			return d.Server
		}
		errs = append(errs, err)
	}
	s.t.Fatalf("redistest: no primary: %v", errors.Join(errs...))
	return nil
}

// namedBy is the primary that a sentinel names.
func (s *Sentinel) namedBy(w *watcher) (*node, error) {
	a, err := w.admin.GetMasterAddrByName(s.t.Context(), masterName).Result()
	if err != nil {
		return nil, err
	}
	for _, d := range s.data {
		if d.Addr() == net.JoinHostPort(a[0], a[1]) {
			return d, nil
		}
	}
	return nil, fmt.Errorf("%s names a stranger: %s", w.Addr(), a)
}

// Failover makes the sentinels fail over while the primary is well, and returns
// the new one as AwaitFailover does. They make a replica of the old one only a second
// or two later (ten with a Redis before 7.0), and it takes writes until then, which are
// lost.
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
	var heir *node
	await(s.t, "failover", func() (err error) {
		for _, w := range s.watchers {
			if heir, err = s.namedBy(w); err != nil {
				return err
			}
			if heir.p == from.p {
				return fmt.Errorf("%s still names %s", w.Addr(), from.Addr())
			}
		}
		return heir.leads(s.t.Context())
	})
	return heir.Server
}

// mend makes the servers whole and empty again, whatever was done to them, and puts the
// primary first.
func (s *Sentinel) mend() {
	s.t.Helper()
	for _, d := range s.data {
		d.mend()
	}
	for _, w := range s.watchers {
		w.mend()
		w.hasten(s.t.Context())
	}
	await(s.t, "sentinels do not heal", func() error {
		ctx := s.t.Context()
		primary, err := s.namedBy(s.watchers[0])
		if err != nil {
			return err
		}
		if primary != s.data[0] {
			slices.Reverse(s.data)
		}
		return errors.Join(s.complete(primary), primary.leads(ctx), s.data[1].follows(ctx),
			primary.admin.FlushAll(ctx).Err(), primary.admin.ScriptFlush(ctx).Err())
	})
}
