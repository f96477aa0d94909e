package cache

import (
	"cmp"
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/diagnose"
	"github.com/larder-go/cache/internal/store"
)

// Finding is something about a Redis, or a client of it, that hurts a cache.
type Finding struct {
	// Name is what it is about, in a word or two; it does not change.
	Name string
	// Detail is one or two sentences with the figures that were seen, and the server
	// where there are several.
	Detail string
	// Mend is the command, or the line of Go, that mends it. What CONFIG SET changes
	// lasts until a restart; CONFIG REWRITE keeps it.
	Mend string
}

// Diagnose asks each server of client, and the client's own settings, for what makes
// a cache slow, forgetful or wrong: memory and what happens when it is full,
// persistence, replication, versions, latency, timeouts. Nothing found means nothing
// that it knows of. It is for a start-up log, a health page or a test; the cache does
// not call it.
//
// It changes nothing. It sends INFO, a few CONFIG GET and ten PING to each server. What
// a server refuses to tell (an ACL, a managed Redis, a test double) is a finding
// named "cannot be read". On a cluster primaries and replicas are asked, at the same
// time.
//
// It takes the servers for those of caches alone. Where one writes behind, ask that cache
// ([Cache.Diagnose]): what it needs of Redis is the contrary in some points.
//
// The error is ctx's, or an [*OpError] with that of a primary that does not answer. How
// long that may take is up to the client's timeouts and to ctx. A nil client is an
// error.
func Diagnose(ctx context.Context, client redis.UniversalClient) ([]Finding, error) {
	if isNil(client) {
		return nil, argError("diagnose", "", "client is nil")
	}
	return diagnosed(ctx, client, false)
}

// Diagnose is the function [Diagnose] for the Redis of this cache: for one that writes
// behind it finds what would lose unflushed writes, and does not ask for it.
func (c *Cache[T]) Diagnose(ctx context.Context) ([]Finding, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	return diagnosed(ctx, c.client, c.region.Buffered)
}

func diagnosed(ctx context.Context, client redis.UniversalClient, behind bool) ([]Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	nodes, err := store.Survey(ctx, client)
	switch over := store.Ended(ctx); {
	case err != nil && over != nil:
		return nil, over
	case err != nil:
		return nil, &OpError{Op: "diagnose", Err: err}
	}
	slices.SortFunc(nodes, func(a, b store.Node) int { return cmp.Compare(a.Addr, b.Addr) })
	var all []Finding
	for _, p := range store.ClientProblems(client, nodes) {
		all = append(all, Finding{Name: "client", Detail: p.Text, Mend: p.Mend})
	}
	for i := range nodes {
		for _, f := range diagnose.Examine(&nodes[i], len(nodes) > 1, behind) {
			all = append(all, Finding(f))
		}
	}
	return all, nil
}
