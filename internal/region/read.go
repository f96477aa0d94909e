package region

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
)

// This file is what a look-up reads.

// extras is what a read asks for beside records.
type extras struct {
	keys        []string
	tags        int // the first keys are those of so many tags
	clear, meta bool
}

// extras works out what the next read asks for, and notes when it is sent.
func (r *Region) extras(tags []Tag) (b extras, sent time.Time) {
	b = extras{tags: len(tags), clear: r.Clear.due(), meta: !r.Strategy.Known()}
	if b.tags == 0 && !b.clear && !b.meta {
		return b, sent
	}
	b.keys = TagKeys(tags)
	if b.clear {
		b.keys = append(b.keys, r.Space.Clear())
	}
	if b.meta {
		b.keys = append(b.keys, r.Space.Meta())
	}
	return b, time.Now()
}

// unheard says that nothing of b was heard.
func (r *Region) unheard(b extras) {
	if b.clear {
		r.Clear.unheard()
	}
}

// learnExtras takes what was read for b, and returns the tokens of its tags. The error is
// that of one of the records.
func (r *Region) learnExtras(b extras, sent time.Time, records []store.Record) ([]envelope.Token, error) {
	tokens := make([]envelope.Token, b.tags)
	for i := range records {
		if err := records[i].Err; err != nil {
			r.unheard(b)
			return tokens, err
		}
	}
	for i := range tokens {
		tokens[i] = store.TokenIn(&records[i])
	}
	if b.clear {
		r.Clear.observe(store.TokenIn(&records[b.tags]), sent)
	}
	if b.meta {
		r.Strategy.Decide(string(records[len(records)-1].Data))
	}
	return tokens, nil
}

// Read reads records, the tokens of tags with them, and from time to time the clear
// token; the first time also the meta record. The error is that of what is read beside
// the records, each of which has its own.
func (r *Region) Read(ctx context.Context, redisKeys []string, tags []Tag) ([]store.Record, []envelope.Token, error) {
	beside, sent := r.extras(tags)
	records := r.Store.Read(ctx, redisKeys, beside.keys)
	n := len(redisKeys)
	tokens, err := r.learnExtras(beside, sent, records[n:])
	return records[:n], tokens, err
}

// Verify makes records void whose entries depend on a token that is not there any more; a
// record that is nil was not read. named are the tags that were read with the records,
// tokens theirs. errs, aligned with the records, gets the error of the read of a token
// that was not: it costs one exchange for all tags that only entries name.
func (r *Region) Verify(ctx context.Context, all []*record.Record, named []Tag, tokens []envelope.Token, errs []error) {
	named, tokens, failed := r.readUnread(ctx, all, named, tokens)
	for i, rec := range all {
		switch {
		case rec == nil || !rec.Dependent():
		case failed != nil && r.unsure(rec, named):
			errs[i] = failed // Redis failed for one: the others must not wait for it one by one
		default:
			errs[i] = r.verify(ctx, rec, named, tokens)
			failed = cmp.Or(failed, errs[i])
		}
	}
}

// verify is Verify for one record, the tokens of whose tags were read.
func (r *Region) verify(ctx context.Context, rec *record.Record, named []Tag, tokens []envelope.Token) error {
	ok, err := r.checkClear(ctx, rec.Body.Clear)
	if ok && rec.Body.Tags.Len() > 0 {
		ok, err = r.TagsValid(ctx, rec.Body.Tags, named, tokens)
	}
	if err == nil && !ok {
		rec.Revoke()
	}
	return err
}

// readUnread reads the tokens of tags that entries have and the call does not name, in
// one go. An entry that was cleared needs none.
func (r *Region) readUnread(ctx context.Context, batch []*record.Record, tags []Tag, tokens []envelope.Token) ([]Tag, []envelope.Token, error) {
	all := slices.Clip(tags)
	for _, rec := range batch {
		if rec != nil && rec.Dependent() && !r.Clear.outdates(rec.Body.Clear) {
			all = r.WithRecorded(all, rec.Body.Tags)
		}
	}
	unread := all[len(tags):]
	if len(unread) == 0 {
		return tags, tokens, nil
	}
	found, err := r.Store.ReadTokens(ctx, TagKeys(unread))
	if err != nil {
		return tags, tokens, err
	}
	return all, slices.Concat(tokens, found), nil
}

// unsure reports whether verify would ask Redis for a token that rec depends on: those of
// tags were read.
func (r *Region) unsure(rec *record.Record, tags []Tag) bool {
	clear, held := r.Clear.Current()
	return !held || bytes.Compare(rec.Body.Clear[:], clear[:]) > 0 || len(r.WithRecorded(tags, rec.Body.Tags)) > len(tags)
}
