package conn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ErrVolatile is wrapped by what CheckDurability has against a Redis that could
// be asked, or that does not tell.
var ErrVolatile = errors.New("this Redis may lose unflushed writes")

// CheckDurability asks each primary whether it may hold the only copy of a
// write, within 2 s. The error Is [ErrVolatile] and says what to set if one
// evicts keys without a TTL (maxmemory-policy other than noeviction and
// volatile-*) or has no append-only file, and also if INFO does not say, as that of some
// hosted servers and of test doubles. Any other error means that Redis could not be asked.
//
// It does not judge how much a crash may cost: that is up to appendfsync and the lag of
// replicas.
func (c *Client) CheckDurability(ctx context.Context) error {
	ask := &durabilityCall{}
	if err := c.send(ctx, WorkBudget, ask); err != nil {
		return err
	}
	return errors.Join(ask.found...)
}

// durabilityCall asks the nodes, of which a cluster client asks several at once.
type durabilityCall struct {
	mu    sync.Mutex
	found []error
}

func (*durabilityCall) name() string { return "info" }

func (*durabilityCall) own() {}

func (c *durabilityCall) run(ctx context.Context, client redis.UniversalClient) error {
	ask := func(ctx context.Context, node *redis.Client) error {
		return c.ask(ctx, node, node.Options().Addr)
	}
	switch nodes := client.(type) {
	case interface {
		ForEachMaster(ctx context.Context, f func(ctx context.Context, node *redis.Client) error) error
	}:
		return nodes.ForEachMaster(ctx, ask)
	case interface {
		ForEachShard(ctx context.Context, f func(ctx context.Context, node *redis.Client) error) error
	}:
		return nodes.ForEachShard(ctx, ask)
	}
	return c.ask(ctx, client, "")
}

// ask judges one node. It returns an error only if there was no answer.
func (c *durabilityCall) ask(ctx context.Context, node redis.Cmdable, addr string) error {
	facts := map[string]string{}
	for _, section := range []string{"memory", "persistence"} {
		text, err := node.Info(ctx, section).Result()
		if err != nil && (!replied(err) || Infrastructure(err)) {
			return err
		}
		maps.Copy(facts, ParseInfo(text))
	}
	if err := judge(facts); err != nil {
		if addr != "" {
			err = fmt.Errorf("%s: %w", addr, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.found = append(c.found, err)
	}
	return nil
}

// judge looks at what one server says of itself.
func judge(facts map[string]string) error {
	policy, known := facts["maxmemory_policy"]
	aof, told := facts["aof_enabled"]
	switch {
	case !known || !told:
		return fmt.Errorf("%w: INFO does not tell its maxmemory-policy and persistence; "+
			"see to it that it is noeviction or volatile-* with appendonly yes", ErrVolatile)
	case policy != "noeviction" && !strings.HasPrefix(policy, "volatile-"):
		return fmt.Errorf("%w: maxmemory-policy is %s, which evicts them; "+
			"set it to noeviction or volatile-lru", ErrVolatile, policy)
	case aof != "1":
		return fmt.Errorf("%w: without an append-only file a restart loses all that was put since the last snapshot, "+
			"or everything; set appendonly yes", ErrVolatile)
	}
	return nil
}
