package main

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/redistest"
)

const (
	single  = "single"
	cluster = "cluster"
)

// target is the Redis that a run goes against.
type target struct {
	topology string
	addrs    []string // primaries first
	admin    redis.UniversalClient
	tb       testing.TB
	server   *redistest.Server  // of a single one
	nodes    *redistest.Cluster // of a cluster
}

// deploy starts the servers of a topology. They end with t.
func deploy(t testing.TB, topology string, opts ...redistest.Option) target {
	t.Helper()
	to := target{topology: topology, tb: t}
	if topology == cluster {
		to.nodes = redistest.StartCluster(t, opts...)
		to.addrs = to.nodes.Addrs()
	} else {
		to.server = redistest.Single(t, opts...)
		to.addrs = []string{to.server.Addr()}
	}
	// The workers' client gives up after 150 ms, which is no way to ask a server
	// under stress how it is: this one has go-redis' timeouts.
	to.admin = connect(clientOptions(to.addrs), topology == cluster)
	t.Cleanup(func() { _ = to.admin.Close() })
	return to
}

// servers are all processes of the target.
func (to target) servers() []*redistest.Server {
	if to.nodes != nil {
		return to.nodes.Nodes()
	}
	return []*redistest.Server{to.server}
}

// each calls f with each primary.
func (to target) each(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	if c, ok := to.admin.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, f)
	}
	return f(ctx, to.admin.(*redis.Client))
}

// flush empties Redis, so that a run does not find what another has left.
func (to target) flush(ctx context.Context) error {
	return to.each(ctx, func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
}

// evicted is how many keys Redis has evicted since it was started.
func (to target) evicted(ctx context.Context) (int64, error) {
	var sum atomic.Int64
	err := to.each(ctx, func(ctx context.Context, c *redis.Client) error {
		text, err := c.Info(ctx, "stats").Result()
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(text, "evicted_keys:")
		line, _, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.ParseInt(line, 10, 64)
		sum.Add(n)
		return err
	})
	return sum.Load(), err
}

// plan fills in where the run goes.
func (to target) plan(p plan) plan {
	p.Addrs, p.Cluster, p.Name = to.addrs, to.topology == cluster, "stress"
	return p
}
