package cache

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is look.go for several keys at once.

// lookup is look for several keys: one pipeline, and one more for the tokens of
// tags that only entries name.
func (c *Cache[T]) lookup(ctx context.Context, calls []*call[T]) {
	asked, then := make([]*call[T], 0, len(calls)), make([]moment, 0, len(calls))
	keys := make([]string, 0, len(calls))
	for _, call := range calls {
		if call.begin(c.redisKey(call.key), c.usable(ctx)); call.err != nil {
			continue
		}
		now := c.moment(call.key)
		if !c.skips(call.key, &call.seen) {
			call.got.asked = true
			asked, then, keys = append(asked, call), append(then, now), append(keys, call.seen.redisKey)
		}
	}
	if len(asked) == 0 {
		return
	}
	errs := c.seeAll(ctx, asked, keys)
	var due []*load.Key
	defer func() { // also if a codec panics: those that are due have flights by now
		if len(due) > 0 {
			c.refresh(ctx, asked[0].loader, due...)
		}
	}()
	for i, call := range asked {
		if k := c.consider(ctx, call, errs[i]); k != nil {
			due = append(due, k)
		}
		c.keepRead(call, then[i])
	}
	if store.Ended(ctx) == nil {
		c.tel.redisFailed(telemetry.OpGet, errs...)
	}
}

// seeAll is see for several keys, which have one class and name the same tags.
func (c *Cache[T]) seeAll(ctx context.Context, calls []*call[T], keys []string) []error {
	tags := calls[0].entry.tags
	records, tokens, missed := c.readAll(ctx, keys, tags)
	read, errs := make([]*record.Record, 0, len(calls)), make([]error, len(calls))
	for i, call := range calls {
		if errs[i] = cmp.Or(records[i].Err, missed); errs[i] == nil {
			call.seen.Record = c.judge(ctx, call.entry.class, keys[i], &records[i])
			read = append(read, &call.seen.Record)
		}
	}
	verified := c.verifyAll(ctx, read, tags, tokens)
	for i := range errs {
		if errs[i] == nil {
			errs[i], verified = verified[0], verified[1:]
		}
	}
	return errs
}

// verifyAll is verify for several records. The errors are aligned with them.
func (c *Cache[T]) verifyAll(ctx context.Context, all []*record.Record, tags []tagRef, tokens []envelope.Token) []error {
	errs := make([]error, len(all))
	tags, tokens, failed := c.readUnread(ctx, all, tags, tokens)
	for i, rec := range all {
		if failed != nil && c.unsure(rec, tags) {
			errs[i] = failed // Redis failed for one: the others must not wait for it one by one
			continue
		}
		errs[i] = c.verify(ctx, rec, tags, tokens)
		failed = cmp.Or(failed, errs[i])
	}
	return errs
}

// readUnread reads the tokens of tags that the entries of a batch have and the call
// does not name, in one go.
func (c *Cache[T]) readUnread(ctx context.Context, batch []*record.Record, tags []tagRef, tokens []envelope.Token) ([]tagRef, []envelope.Token, error) {
	all := slices.Clip(tags)
	for _, rec := range batch {
		if rec.Dependent() {
			all = c.union(all, rec.Body.Tags)
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

// readAll reads records, the tokens of tags with them, and from time to time the clear
// token; the first time also the meta record. The error is that of what is read beside
// the records, each of which has its own.
func (c *Cache[T]) readAll(ctx context.Context, redisKeys []string, tags []tagRef) ([]store.Record, []envelope.Token, error) {
	beside, sent := c.besides(tags)
	records := c.store.Read(ctx, redisKeys, beside.keys)
	n := len(redisKeys)
	tokens, err := c.learnBesides(beside, sent, records[n:])
	return records[:n], tokens, err
}
