package cache

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
)

// This file is look.go for several keys at once.

// lookMany is look for several keys: one pipeline, and one more for the tokens of
// tags that only entries name.
func (c *Cache[T]) lookMany(ctx context.Context, batch []*lookup[T]) {
	asked, then := make([]*lookup[T], 0, len(batch)), make([]moment, 0, len(batch))
	for _, l := range batch {
		l.got, l.seen = l.miss(), sight{redisKey: c.redisKey(l.key)}
		if l.err = c.usable(ctx); l.err != nil {
			continue
		}
		now := c.moment(l.key)
		if !c.skips(l.key, &l.seen) {
			l.got.asked = true
			asked, then = append(asked, l), append(then, now)
		}
	}
	if len(asked) == 0 {
		return
	}
	keys := make([]string, len(asked))
	for i, l := range asked {
		keys[i] = l.seen.redisKey
	}
	tags := asked[0].entry.tags // the same for all
	tokens, errs := c.seeMany(ctx, asked, keys, tags)
	tags, tokens, failed := c.readUnread(ctx, asked, tags, tokens)
	for i, l := range asked {
		err := errs[i]
		switch {
		case err != nil:
		case failed != nil && c.unsure(&l.seen.Record, tags):
			err = failed // Redis failed for one: the others must not wait for it one by one
		default:
			err = c.verify(ctx, &l.seen.Record, tags, tokens)
			failed = cmp.Or(failed, err)
		}
		l.err = c.consider(ctx, &l.call, &l.seen, &l.got, err)
		c.keepRead(&l.call, &l.seen, &l.got, then[i], l.err)
	}
}

// readUnread reads the tokens of tags that the entries of a batch have and the call
// does not name, in one go.
func (c *Cache[T]) readUnread(ctx context.Context, batch []*lookup[T], tags []tagRef, tokens []envelope.Token) ([]tagRef, []envelope.Token, error) {
	all := slices.Clip(tags)
	for _, l := range batch {
		if l.seen.Dependent() {
			all = c.union(all, l.seen.Body.Tags)
		}
	}
	unread := all[len(tags):]
	if len(unread) == 0 {
		return tags, tokens, nil
	}
	found, err := c.store.ReadTokens(ctx, tagKeys(unread))
	if err != nil {
		return tags, tokens, err
	}
	return all, slices.Concat(tokens, found), nil
}

// unsure reports whether rec depends on a token that verify would ask Redis for:
// those of tags were read.
func (c *Cache[T]) unsure(rec *record.Record, tags []tagRef) bool {
	if !rec.Dependent() {
		return false
	}
	clear, held := c.clear.current()
	return !held || bytes.Compare(rec.Body.Clear[:], clear[:]) > 0 || len(c.union(tags, rec.Body.Tags)) > len(tags)
}

// seeMany is see for several keys, which have one class.
func (c *Cache[T]) seeMany(ctx context.Context, batch []*lookup[T], keys []string, tags []tagRef) ([]envelope.Token, []error) {
	records, tokens, errs := c.readMany(ctx, keys, tags)
	for i, l := range batch {
		if errs[i] == nil {
			l.seen.Record = c.judge(ctx, l.entry.class, keys[i], &records[i])
		}
	}
	return tokens, errs
}

// aligned gives each of n keys its error of a read that has returned err.
func aligned(records []store.Record, err error, n int) ([]store.Record, []error) {
	var each store.KeyErrors
	switch {
	case err == nil:
		return records, make([]error, n)
	case errors.As(err, &each):
		return records, each
	}
	return make([]store.Record, n), slices.Repeat([]error{err}, n)
}

// readMany is read for several keys. The errors are aligned with the keys; the
// tokens are those of tags.
func (c *Cache[T]) readMany(ctx context.Context, redisKeys []string, tags []tagRef) ([]store.Record, []envelope.Token, []error) {
	beside, sent := c.besides(tags)
	keys := append(slices.Clip(redisKeys), beside.keys...)
	n := len(redisKeys)
	records, err := c.store.ReadMany(ctx, keys)
	records, errs := aligned(records, err, len(keys))
	tokens, err := c.learnBesides(beside, sent, records[n:], errs[n:])
	for i := range errs[:n] {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return records[:n], tokens, errs[:n]
}
