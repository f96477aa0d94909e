package store

import (
	"context"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

// This file has the operations of a load for several keys at once: each is one
// pipeline, on the only node of a deployment of one script for each 64 keys, which a
// cluster client splits into one round trip per node; a node that does not know a
// script costs one more. Errors are aligned with the keys. A key that is there twice
// is done twice, in their order.

// AcquireMany is [Store.Acquire] for several keys; attempts[i] is about keys[i],
// and what they capture is ignored: capture is shared by all, and tokens are those
// under it. If they could not be captured every attempt has failed.
func (s *Store) AcquireMany(
	ctx context.Context, keys []string, attempts []Acquire, capture []TokenKey,
) (grants []Grant, tokens []envelope.Token, errs []error) {
	sent := time.Now()
	orders := make([]order, 0, len(keys)+len(capture))
	for i, key := range keys {
		orders = append(orders, acquireOrder(key, attempts[i]))
	}
	for _, k := range capture {
		orders = append(orders, mintOrder(k, false, Notice{}))
	}
	replies, errs := s.eachOf(ctx, acquireScript.name, orders)
	var missed error
	tokens = make([]envelope.Token, len(capture))
	for i := range capture {
		at := len(keys) + i
		err := errs[at]
		if err == nil {
			tokens[i], err = minted(replies[at])
		}
		if err != nil {
			missed = besideError{err}
		}
	}
	grants = make([]Grant, len(keys))
	for i := range keys {
		if errs[i] == nil {
			grants[i], errs[i] = grantOf(replies[i], s.nodeOf(ctx, keys[i]), sent)
		}
		if errs[i] == nil {
			errs[i] = missed
		}
	}
	return grants, tokens, errs[:len(keys)]
}

// CommitMany is [Store.Commit] for several keys; commits[i] is about keys[i], and
// what they reread is ignored: reread is shared by all. tokens is nil if it could
// not be read.
func (s *Store) CommitMany(
	ctx context.Context, keys []string, commits []Commit, reread []string,
) (verdicts []Verdict, tokens []envelope.Token, errs []error) {
	orders := make([]order, 0, len(keys)+len(reread))
	for i, key := range keys {
		orders = append(orders, commitOrder(key, commits[i]))
	}
	for _, key := range reread {
		orders = append(orders, get(key))
	}
	replies, errs := s.eachOf(ctx, commitScript.name, orders)
	verdicts = make([]Verdict, len(keys))
	for i := range keys {
		if errs[i] == nil {
			verdicts[i], errs[i] = verdictOf(replies[i])
		}
	}
	return verdicts, tokensOf(replies[len(keys):], errs[len(keys):]), errs[:len(keys)]
}

// RenewMany is [Store.Renew] for several keys; held[i] is false also where error i
// is not nil.
func (s *Store) RenewMany(
	ctx context.Context, keys []string, tokens []envelope.Token, lease, retain time.Duration,
) (held []bool, errs []error) {
	orders := make([]order, len(keys))
	for i, key := range keys {
		orders[i] = order{renewScript, renewScript.evalsha(key, []any{token(tokens[i]), millis(lease, 1), millis(retain, 1)})}
	}
	replies, errs := s.eachOf(ctx, renewScript.name, orders)
	held = make([]bool, len(keys))
	for i := range keys {
		held[i] = errs[i] == nil && replies[i] == int64(1)
	}
	return held, errs
}

// ReleaseMany is [Store.Release] for several keys, all with one backoff.
func (s *Store) ReleaseMany(ctx context.Context, keys []string, tokens []envelope.Token, backoff time.Duration) []error {
	orders := make([]order, len(keys))
	for i, key := range keys {
		orders[i] = releaseOrder(key, tokens[i], backoff)
	}
	_, errs := s.eachOf(ctx, releaseScript.name, orders)
	return errs
}

// SetMany is [Store.Set] for several keys; entries[i] is about keys[i].
func (s *Store) SetMany(ctx context.Context, keys []string, entries []Entry) (answers []SetAnswer, errs []error) {
	orders := make([]order, len(keys))
	for i, key := range keys {
		orders[i] = setOrder(key, entries[i])
	}
	replies, errs := s.eachOf(ctx, setScript.name, orders)
	answers = make([]SetAnswer, len(keys))
	for i := range keys {
		if errs[i] != nil {
			continue
		}
		letter, err := oneOf(setScript, setLetters, replies[i])
		answers[i], errs[i] = SetAnswer(letter), err
	}
	return answers, errs
}

// eachOf is together with an error for each order.
func (s *Store) eachOf(ctx context.Context, label string, orders []order) (replies []any, errs []error) {
	if len(orders) == 0 {
		return nil, nil
	}
	replies, errs, err := s.together(ctx, label, orders)
	if err != nil {
		replies, errs = make([]any, len(orders)), slices.Repeat([]error{err}, len(orders))
	}
	return replies, errs
}
