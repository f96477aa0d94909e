package store_test

import (
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// Operations on one key, with question and answer apart.

func read(ctx context.Context, s *store.Store, key string) (store.Record, error) {
	rec := s.Read(ctx, []string{key}, nil)[0]
	return rec, rec.Err
}

func readAll(ctx context.Context, s *store.Store, keys ...string) ([]store.Record, error) {
	records := s.Read(ctx, keys, nil)
	errs := make([]error, len(records))
	for i, rec := range records {
		errs[i] = rec.Err
	}
	return records, errors.Join(errs...)
}

func acquire(ctx context.Context, s *store.Store, key string, a store.Acquire) (store.Grant, error) {
	g, _, err := acquireTagged(ctx, s, key, a)
	return g, err
}

func acquireTagged(
	ctx context.Context, s *store.Store, key string, a store.Acquire, capture ...store.TokenKey,
) (store.Grant, []envelope.Token, error) {
	a.Key = key
	asks := []store.Acquire{a}
	tokens := s.Acquire(ctx, asks, capture)
	return asks[0].Grant, tokens, asks[0].Err
}

func commit(ctx context.Context, s *store.Store, key string, c store.Commit, reread ...string) (store.Verdict, []envelope.Token, error) {
	c.Key = key
	commits := []store.Commit{c}
	tokens := s.Commit(ctx, commits, reread)
	return commits[0].Verdict, tokens, commits[0].Err
}

func renew(ctx context.Context, s *store.Store, key string, t envelope.Token, lease, retain time.Duration) (bool, error) {
	leases := []store.Lease{{Key: key, Token: t}}
	s.Renew(ctx, leases, lease, retain)
	return leases[0].Held, leases[0].Err
}

func release(ctx context.Context, s *store.Store, key string, t envelope.Token, backoff time.Duration) (bool, error) {
	leases := []store.Lease{{Key: key, Token: t}}
	s.Release(ctx, leases, backoff)
	return leases[0].Held, leases[0].Err
}

func slide(ctx context.Context, s *store.Store, d store.Slide) (bool, error) {
	slides := []store.Slide{d}
	s.Slide(ctx, slides)
	return slides[0].Slid, slides[0].Err
}

func set(ctx context.Context, s *store.Store, key string, e store.Entry) (store.SetAnswer, error) {
	e.Key = key
	entries := []store.Entry{e}
	s.Set(ctx, entries)
	return entries[0].Answer, entries[0].Err
}

func invalidate(ctx context.Context, s *store.Store, key string, n store.Notice) (store.ChangeAnswer, error) {
	changes := []store.Change{{Key: key, Notice: n}}
	s.Invalidate(ctx, changes)
	return changes[0].Answer, changes[0].Err
}

func invalidateAll(ctx context.Context, s *store.Store, keys ...string) ([]store.ChangeAnswer, error) {
	changes, answers, errs := make([]store.Change, len(keys)), make([]store.ChangeAnswer, len(keys)), make([]error, len(keys))
	for i, key := range keys {
		changes[i].Key = key
	}
	s.Invalidate(ctx, changes)
	for i, c := range changes {
		answers[i], errs[i] = c.Answer, c.Err
	}
	return answers, errors.Join(errs...)
}

func expire(ctx context.Context, s *store.Store, key string, stale time.Duration, n store.Notice) (store.ChangeAnswer, error) {
	changes := []store.Change{{Key: key, Notice: n}}
	s.Expire(ctx, changes, stale)
	return changes[0].Answer, changes[0].Err
}

func beginWrite(
	ctx context.Context, s *store.Store, key string, t envelope.Token, life time.Duration, n store.Notice, capture ...store.TokenKey,
) (int, []envelope.Token, error) {
	intents := []store.Intent{{Key: key, Token: t, Notice: n}}
	tokens := s.BeginWrite(ctx, intents, life, capture)
	return intents[0].Open, tokens, intents[0].Err
}

func endWrite(ctx context.Context, s *store.Store, key string, e store.EndWrite) (store.EndAnswer, error) {
	e.Key = key
	ends := []store.EndWrite{e}
	s.EndWrite(ctx, ends)
	return ends[0].Answer, ends[0].Err
}

func replace(ctx context.Context, s *store.Store, k store.TokenKey, n store.Notice) (envelope.Token, error) {
	tokens, errs := s.Replace(ctx, []store.TokenKey{k}, n)
	return tokens[0], errs[0]
}

// Operations on several keys, with questions and answers apart.

func acquireMany(
	ctx context.Context, s *store.Store, keys []string, asks []store.Acquire, capture ...store.TokenKey,
) (grants []store.Grant, tokens []envelope.Token, errs []error) {
	for i := range asks {
		asks[i].Key = keys[i]
	}
	tokens = s.Acquire(ctx, asks, capture)
	for _, a := range asks {
		grants, errs = append(grants, a.Grant), append(errs, a.Err)
	}
	return grants, tokens, errs
}

func commitMany(
	ctx context.Context, s *store.Store, keys []string, commits []store.Commit, reread ...string,
) (verdicts []store.Verdict, tokens []envelope.Token, errs []error) {
	for i := range commits {
		commits[i].Key = keys[i]
	}
	tokens = s.Commit(ctx, commits, reread)
	for _, c := range commits {
		verdicts, errs = append(verdicts, c.Verdict), append(errs, c.Err)
	}
	return verdicts, tokens, errs
}

func leases(keys []string, tokens []envelope.Token) (all []store.Lease) {
	for i, key := range keys {
		all = append(all, store.Lease{Key: key, Token: tokens[i]})
	}
	return all
}

func renewMany(ctx context.Context, s *store.Store, keys []string, tokens []envelope.Token) (held []bool, errs []error) {
	all := leases(keys, tokens)
	s.Renew(ctx, all, time.Minute, time.Hour)
	for _, l := range all {
		held, errs = append(held, l.Held), append(errs, l.Err)
	}
	return held, errs
}

func releaseMany(ctx context.Context, s *store.Store, keys []string, tokens []envelope.Token) (errs []error) {
	all := leases(keys, tokens)
	s.Release(ctx, all, 0)
	for _, l := range all {
		errs = append(errs, l.Err)
	}
	return errs
}

func setMany(ctx context.Context, s *store.Store, keys []string, entries []store.Entry) (answers []store.SetAnswer, errs []error) {
	for i := range entries {
		entries[i].Key = keys[i]
	}
	s.Set(ctx, entries)
	for _, e := range entries {
		answers, errs = append(answers, e.Answer), append(errs, e.Err)
	}
	return answers, errs
}
