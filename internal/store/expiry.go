package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/expire.lua
	expireLua string
	//go:embed lua/slide.lua
	slideLua string

	expireScript = newKeyScript("expire", expireLua)
	slideScript  = newScript("slide", slideLua)
)

// ExpireAnswer is what became of a [Store.Expire].
type ExpireAnswer int8

const (
	// ExpireForeign: the record is not the cache's and stays as it is.
	ExpireForeign ExpireAnswer = -2
	// ExpireNothing: there was no value, or a write-behind record, which stays;
	// a lease or back-off was removed.
	ExpireNothing ExpireAnswer = 0
	// ExpireSoft: the value is kept for stale serving, its lease is lost.
	ExpireSoft ExpireAnswer = 1
	// ExpireWriting: a write is in progress and was told of the conflict.
	ExpireWriting ExpireAnswer = 2
)

// Expire makes the value of key stale now and keeps it for stale, at least 1 ms,
// or for what it had left if that is less. One round trip; safe to repeat.
func (s *Store) Expire(ctx context.Context, key string, stale time.Duration, n Notice) (ExpireAnswer, error) {
	answer, err := s.evalInt(ctx, expireScript, -2, 2, key,
		millis(stale, 1), n.Channel, n.Message)
	return ExpireAnswer(answer), err
}

// ExpireMany is Expire for several keys in one pipeline, as
// [Store.InvalidateMany] is for Invalidate.
func (s *Store) ExpireMany(
	ctx context.Context, keys []string, stale time.Duration, notice func(i int) Notice,
) ([]ExpireAnswer, []error) {
	return evalMany[ExpireAnswer](ctx, s, expireScript, -2, 2, keys, func(i int) []any {
		n := noticeOf(notice, i)
		return []any{millis(stale, 1), n.Channel, n.Message}
	})
}

// Slide lets the value with the given CID live for ttl from now, and be fresh for
// soft, but not live beyond latestMs (Redis time in ms, 0: no limit): what that
// takes off ttl is taken off soft, too. It reports false if another record is there,
// the value is not fresh any more, or nothing would be left. One round trip; safe to
// repeat.
func (s *Store) Slide(
	ctx context.Context, key string, cid envelope.Token, soft, ttl time.Duration, latestMs int64,
) (bool, error) {
	n, err := s.evalInt(ctx, slideScript, 0, 1, key,
		token(cid), millis(ttl, 0), soft.Milliseconds(), latestMs)
	return n == 1, err
}
