package region

import (
	"context"

	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
)

// This file is what a look-up reads.

// Read reads records, each of which has its own error, the tokens of tags with them, and
// from time to time the clear token; the first time also the meta record.
func (r *Region) Read(ctx context.Context, redisKeys []string, tags []Tag) (records []store.Record, got Tokens) {
	b := beside{tags: tags, clear: r.Clear.due(), meta: r.Strategy.due()}
	records = r.Store.Read(ctx, redisKeys, r.ask(&b))
	n := len(redisKeys)
	r.hear(&got, &b, records[n:])
	got.exact = false // an entry of another node may be younger
	return records[:n], got
}

// Verify makes records void whose entries depend on a token that is not there any more; a
// record that is nil was not read. got are the tokens that were read with the records: for
// all others it costs one exchange. errs, aligned with the records, gets why a token was
// not heard that the record depends on.
func (r *Region) Verify(ctx context.Context, all []*record.Record, got Tokens, errs []error) {
	if !got.exact {
		got.clear, _ = r.Clear.Current()
	}
	r.complete(ctx, all, &got)
	for i, rec := range all {
		if rec == nil || !rec.Dependent() {
			continue
		}
		valid, err := got.valid(Stamp{Clear: rec.Body.Clear, Tags: rec.Body.Tags})
		if errs[i] = err; err == nil && !valid {
			rec.Revoke()
		}
	}
}
