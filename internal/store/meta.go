package store

import (
	"context"
	_ "embed"

	"github.com/larder-go/cache/internal/conn"
)

var (
	//go:embed lua/replace_meta.lua
	replaceMetaLua string

	replaceMetaScript = newScript("replace_meta", replaceMetaLua)
)

// Meta returns what the meta record under key says, "" if there is none.
func (s *Store) Meta(ctx context.Context, key string) (string, error) {
	v := s.conn.Read(ctx, nil, []string{key})[0]
	return string(v.Data), v.Err
}

// ClaimMeta writes value under key if there is nothing, and returns what is there then. It
// writes only if there is nothing: a Redis without memory refuses a write that would change
// nothing, too.
func (s *Store) ClaimMeta(ctx context.Context, key, value string) (string, error) {
	if found, err := s.metaNow(ctx, conn.Get(key)); err != nil || found != "" {
		return found, err
	}
	return s.metaNow(ctx, conn.Op{Args: []any{"setnx", key, value}}, conn.Get(key))
}

// ReplaceMeta writes value under key in place of was, and returns what is there then.
func (s *Store) ReplaceMeta(ctx context.Context, key, was, value string) (string, error) {
	return s.metaNow(ctx, replaceMetaScript.OnKeys([]string{key}, was, value))
}

// metaNow sends ops, of which the last asks for a meta record.
func (s *Store) metaNow(ctx context.Context, all ...conn.Op) (string, error) {
	ops := conn.NewOps("meta", len(all))
	for _, op := range all {
		ops.Add(op)
	}
	s.conn.DoWithin(ctx, conn.WorkBudget, ops)
	if err := ops.Err(); err != nil {
		return "", err
	}
	reply, err := ops.Reply(len(all) - 1)
	text, _ := reply.(string)
	return text, err
}
