package conn

import (
	"context"
	"net"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// locator knows which node serves a key. At most one of its fields is set.
type locator struct {
	addr    string // of the only node
	cluster interface {
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	}
	ring interface {
		GetShardClientForKey(key string) (*redis.Client, error)
	}
}

func locatorOf(client redis.UniversalClient) (l locator) {
	switch c := client.(type) {
	case singleNode:
		l.addr = c.Options().Addr
	case interface {
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	}:
		l.cluster = c
	case interface {
		GetShardClientForKey(key string) (*redis.Client, error)
	}:
		l.ring = c
	}
	return l
}

// single reports whether there is one node.
func (l *locator) single() bool { return l.addr != "" }

// owner returns the address of the node that serves key, "" if that is unknown.
// It never waits for a cluster's table of slots but for the first time.
func (l *locator) owner(ctx context.Context, key string) string {
	var node *redis.Client
	var err error
	switch {
	case l.cluster != nil:
		node, err = l.cluster.MasterForKey(ctx, key)
	case l.ring != nil:
		node, err = l.ring.GetShardClientForKey(key)
	default:
		return l.addr
	}
	if err != nil || node == nil {
		return ""
	}
	return node.Options().Addr
}

// Peer returns host and port of the node that serves key, for telemetry: of the
// client's configured address, or of the primary of the key's slot. "" and 0
// where that is unknown or not a network address; a failover client has no
// address before it has connected. It does no I/O, except that a cluster client
// that was never used loads its table of slots: call it after an operation.
func (c *Client) Peer(ctx context.Context, key string) (host string, port int) {
	host, service, err := net.SplitHostPort(c.locate.owner(ctx, key))
	if err != nil {
		return "", 0
	}
	port, err = strconv.Atoi(service)
	if err != nil {
		return "", 0
	}
	return host, port
}
