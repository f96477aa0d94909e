package conn

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is what one server says of itself.
type Server struct {
	// Addr is host and port, "" where the client does not tell.
	Addr string
	// Replica says that the server was asked as a replica of a cluster.
	Replica bool
	// Silent is why a replica was not heard. The rest is empty then.
	Silent error
	// Info is INFO, Config those of [Settings] that CONFIG GET told. What was refused
	// has a reason.
	Info, Config                 map[string]string
	InfoRefused, SettingsRefused error
	// Ping is the quickest of ten exchanges, 0 if none was answered properly.
	Ping time.Duration
}

// Settings are what [Survey] asks CONFIG GET for.
var Settings = []string{"save", "timeout", "tcp-keepalive", "min-replicas-to-write", "maxclients"}

// pings is how many exchanges a Survey times.
const pings = 10

// Survey asks each server of the client, those of a cluster at the same time, and
// replicas too. It changes nothing. An error is that of a primary that did not answer,
// or ctx's own; an answer that refuses is none. It takes as long as the client lets
// a command take.
func Survey(ctx context.Context, client redis.UniversalClient) ([]Server, error) {
	s := &survey{}
	err := s.run(ctx, client)
	if over := Ended(ctx); err != nil && over != nil {
		return nil, over
	}
	return s.nodes, err
}

// survey collects nodes, of which a cluster client asks several at once.
type survey struct {
	mu    sync.Mutex // protects following
	nodes []Server
}

func (s *survey) run(ctx context.Context, client redis.UniversalClient) error {
	type visit = func(ctx context.Context, node *redis.Client) error
	primary := func(ctx context.Context, node *redis.Client) error {
		return s.ask(ctx, node, Server{Addr: node.Options().Addr})
	}
	switch nodes := client.(type) {
	case interface {
		ForEachMaster(ctx context.Context, f visit) error
		ForEachSlave(ctx context.Context, f visit) error
	}:
		if err := nodes.ForEachMaster(ctx, primary); err != nil {
			return err
		}
		return nodes.ForEachSlave(ctx, func(ctx context.Context, node *redis.Client) error {
			n := Server{Addr: node.Options().Addr, Replica: true}
			if err := s.ask(ctx, node, n); err != nil {
				n.Silent = err
				s.add(n)
			}
			return nil
		})
	case interface {
		ForEachShard(ctx context.Context, f visit) error
	}:
		return nodes.ForEachShard(ctx, primary)
	}
	return s.ask(ctx, client, Server{Addr: locatorOf(client).addr})
}

func (s *survey) add(n Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, n)
}

// ask fills in n. It fails only if there was no answer.
func (s *survey) ask(ctx context.Context, node redis.Cmdable, n Server) error {
	text, err := node.Info(ctx).Result()
	if err != nil && !replied(err) {
		return err
	}
	n.Info, n.InfoRefused = ParseInfo(text), err
	if err := n.settings(ctx, node); err != nil {
		return err
	}
	for range pings {
		began := time.Now()
		err := node.Ping(ctx).Err()
		took := time.Since(began)
		switch {
		case err != nil && !replied(err):
			return err
		case err == nil && (n.Ping == 0 || took < n.Ping):
			n.Ping = max(took, 1)
		}
	}
	s.add(n)
	return nil
}

// settings asks for one setting after the other: before 7.0 CONFIG GET takes one.
func (n *Server) settings(ctx context.Context, node redis.Cmdable) error {
	n.Config = map[string]string{}
	for _, name := range Settings {
		got, err := node.ConfigGet(ctx, name).Result()
		switch {
		case err != nil && !replied(err):
			return err
		case err != nil:
			n.SettingsRefused = err
			return nil
		}
		if value, ok := got[name]; ok {
			n.Config[name] = value
		}
	}
	return nil
}

// ParseInfo reads the text of INFO: a line "name:value" each, and headings, which
// are dropped. Of a name that comes twice the last value counts.
func ParseInfo(text string) map[string]string {
	facts := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if ok && name != "" && !strings.HasPrefix(name, "#") {
			facts[name] = value
		}
	}
	return facts
}

// ClientProblem is what is wrong with a client's settings.
type ClientProblem struct{ Text, Mend string }

// ClientProblems are the [Client.Warnings] of a client, with what mends them, and whether
// it is one for these servers.
func ClientProblems(client redis.UniversalClient, servers []Server) (all []ClientProblem) {
	if l := locatorOf(client); l.single() && len(servers) == 1 && servers[0].Info["redis_mode"] == "cluster" {
		all = append(all, ClientProblem{
			Text: wrongClient, Mend: mendMisrouted,
		})
	}
	for _, text := range warningsOf(client) {
		p := ClientProblem{Text: text, Mend: "cache.Tune(&options) // before redis.NewUniversalClient(&options)"}
		switch {
		case strings.HasPrefix(text, "ClusterStateReloadInterval"):
			p.Mend = "options.Cluster().ClusterStateReloadInterval = time.Second"
		case strings.HasPrefix(text, "the client reads from replicas"):
			p.Mend = "options.ReadOnly, options.RouteByLatency, options.RouteRandomly = false, false, false"
		}
		all = append(all, p)
	}
	return all
}
