package store

import (
	"context"

	"github.com/larder-go/cache/internal/conn"
)

// Meta returns what the meta record under key says, "" if there is none.
func (s *Store) Meta(ctx context.Context, key string) (string, error) {
	v := s.conn.Read(ctx, nil, []string{key})[0]
	return string(v.Data), v.Err
}

// ClaimMeta writes value under key if there is nothing, and returns what is
// there then.
func (s *Store) ClaimMeta(ctx context.Context, key, value string) (string, error) {
	ops := conn.NewOps("meta", 2)
	ops.Add(conn.Op{Args: []any{"setnx", key, value}})
	ops.Add(conn.Get(key))
	s.conn.DoWithin(ctx, conn.WorkBudget, ops)
	if _, err := ops.Reply(0); err != nil {
		return "", err
	}
	reply, err := ops.Reply(1)
	text, _ := reply.(string)
	return text, err
}
