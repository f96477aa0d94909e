package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Meta returns what the meta record under key says, "" if there is none. One
// round trip.
func (s *Store) Meta(ctx context.Context, key string) (string, error) {
	c := &metaCall{key: key}
	err := s.send(ctx, s.readBudget(ctx), c)
	return c.text(err)
}

// ClaimMeta writes value under key if there is nothing, and returns what is
// there then. One round trip.
func (s *Store) ClaimMeta(ctx context.Context, key, value string) (string, error) {
	c := &metaCall{key: key, claim: value}
	err := s.send(ctx, durabilityBudget, c)
	return c.text(err)
}

// metaCall reads a meta record, after claiming it if claim is not empty.
type metaCall struct {
	key, claim string
	found      *redis.StringCmd
}

func (*metaCall) name() string { return "meta" }

func (*metaCall) own() {} // strings only

func (c *metaCall) keyOf() string { return c.key }

func (c *metaCall) run(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	if c.claim != "" {
		pipe.SetNX(ctx, c.key, c.claim, 0)
	}
	c.found = pipe.Get(ctx, c.key)
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it bare
		return err
	}
	return nil
}

// text is the record that was found; c must not be touched after an error.
func (c *metaCall) text(err error) (string, error) {
	if err != nil {
		return "", err
	}
	return c.found.Val(), nil
}
