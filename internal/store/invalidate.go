package store

import (
	"context"
	_ "embed"
)

var (
	//go:embed lua/invalidate.lua
	invalidateLua string

	invalidateScript = newKeyScript("invalidate", invalidateLua)
)

// InvalidateAnswer is what an invalidation found.
type InvalidateAnswer int8

const (
	// NothingThere: no record, or one of another Redis type, which stays.
	NothingThere InvalidateAnswer = 0
	// Removed: a record is gone, be it ours or a foreign string.
	Removed InvalidateAnswer = 1
	// IntentKept: a write is in progress and was told of the conflict.
	IntentKept InvalidateAnswer = 2
	// DirtyKept: a write-behind record is the newest there is and stays.
	DirtyKept InvalidateAnswer = 3
)

// Invalidate removes what is cached under key, with any lease. n is published
// unless the answer is DirtyKept. One round trip; safe to repeat, and after an
// error the caller must.
func (s *Store) Invalidate(ctx context.Context, key string, n Notice) (InvalidateAnswer, error) {
	answer, err := s.evalInt(ctx, invalidateScript, 0, 3, key, n.Channel, n.Message)
	return InvalidateAnswer(answer), err
}

// InvalidateMany is Invalidate for several keys in one pipeline for each 256, which
// a cluster client splits into one round trip per node; a node that does not know the
// script costs one more. Each pipeline has the budget for itself. notice is called with the index of each key, nil means none.
//
// Answer i belongs to key i and is good if error i is nil. The errors are nil
// if all keys succeeded. No keys cost nothing.
func (s *Store) InvalidateMany(
	ctx context.Context, keys []string, notice func(i int) Notice,
) ([]InvalidateAnswer, []error) {
	return evalMany[InvalidateAnswer](ctx, s, invalidateScript, 0, 3, keys, func(i int) []any {
		n := noticeOf(notice, i)
		return []any{n.Channel, n.Message}
	})
}

func noticeOf(notice func(i int) Notice, i int) Notice {
	if notice == nil {
		return Notice{}
	}
	return notice(i)
}
