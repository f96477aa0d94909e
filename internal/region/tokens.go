package region

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
)

// Tokens are what entries depend on, as it was read or captured at one moment.
type Tokens struct {
	tags   []Tag
	values []envelope.Token // of the tags; zero: there is none
	errs   []error          // why they were not heard; as long as the last that was not

	clear   envelope.Token
	exact   bool  // clear is what Redis has; else it is held under a lease, zero: it is not
	noClear error // why it was not heard
}

// errUnheard is why it is not known whether an entry is valid, if nothing failed.
var errUnheard = errors.New("a token was not asked for")

// TokensOf are those of tags, and the clear token, as Redis has them.
func TokensOf(tags []Tag, values []envelope.Token, clear envelope.Token) Tokens {
	return Tokens{tags: tags, values: values, clear: clear, exact: true}
}

// of is the token of a tag. The error is why it was not heard.
func (t *Tokens) of(id uint64) (token envelope.Token, err error) {
	at := slices.IndexFunc(t.tags, func(tag Tag) bool { return tag.ID == id })
	switch {
	case at < 0:
		return token, errUnheard
	case at < len(t.errs) && t.errs[at] != nil:
		return token, t.errs[at]
	}
	return t.values[at], nil
}

// stamp is that of an entry with some of the tags, which were captured.
func (t *Tokens) stamp(tags []Tag) Stamp {
	s := Stamp{Clear: t.clear}
	for _, tag := range tags {
		token, _ := t.of(tag.ID)
		s.Tags = envelope.AppendTag(s.Tags, envelope.Tag{ID: tag.ID, Token: token})
	}
	return s
}

// valid reports whether an entry of stamp s is valid. The error says that these tokens do
// not tell.
func (t *Tokens) valid(s Stamp) (bool, error) {
	valid, known := t.Uncleared(s.Clear)
	if known && !valid {
		return false, nil
	}
	var unheard error
	if !known {
		unheard = cmp.Or(t.noClear, errUnheard)
	}
	for i := range s.Tags.Len() {
		current, err := t.Current(s.Tags.At(i))
		if err == nil && !current {
			return false, nil
		}
		unheard = cmp.Or(unheard, err)
	}
	return unheard == nil, unheard
}

// Current reports whether a tag still has the token that an entry carries. The error is why
// that is not known.
func (t *Tokens) Current(tag envelope.Tag) (bool, error) {
	token, err := t.of(tag.ID)
	return err == nil && token == tag.Token && token != envelope.Token{}, err
}

// Uncleared reports whether an entry that carries stamped was not cleared, if that is
// known.
func (t *Tokens) Uncleared(stamped envelope.Token) (valid, known bool) {
	if t.exact {
		return stamped == t.clear && stamped != envelope.Token{}, true
	}
	return validUnder(t.clear, stamped)
}

// beside is what is asked for beside records.
type beside struct {
	tags        []Tag
	clear, meta bool
	sent        time.Time
}

// ask notes when b is sent, and returns where it is.
func (r *Region) ask(b *beside) []string {
	if len(b.tags) == 0 && !b.clear && !b.meta {
		return nil
	}
	keys := TagKeys(b.tags)
	if b.clear {
		keys = append(keys, r.Space.Clear())
	}
	if b.meta {
		keys = append(keys, r.Space.Meta())
	}
	b.sent = time.Now()
	return keys
}

// hear adds to got what was read for b. Each has a node of its own: one that does not
// answer keeps nothing from those who do without. That caches of the name disagree a later
// read finds out.
func (r *Region) hear(got *Tokens, b *beside, records []store.Record) {
	got.hearTags(b.tags, records)
	rest := records[len(b.tags):]
	if b.clear {
		r.hearClear(got, b, &rest[0])
		rest = rest[1:]
	}
	if b.meta && rest[0].Err == nil {
		r.decide(string(rest[0].Data))
	}
	for i := range records {
		records[i].Release()
	}
}

// hearTags adds the tokens of tags.
func (t *Tokens) hearTags(tags []Tag, records []store.Record) {
	if len(tags) == 0 {
		return
	}
	had := len(t.tags)
	if had == 0 {
		t.tags = tags
	} else {
		t.tags = slices.Concat(t.tags, tags)
	}
	t.values = slices.Grow(slices.Clip(t.values), len(tags))
	for i := range tags {
		t.values = append(t.values, store.TokenIn(&records[i]))
		if err := records[i].Err; err != nil {
			t.errs = append(t.errs, make([]error, len(t.tags)-len(t.errs))...)
			t.errs[had+i] = err
		}
	}
}

func (r *Region) hearClear(got *Tokens, b *beside, rec *store.Record) {
	if rec.Err != nil {
		r.Clear.unheard()
		got.noClear = rec.Err
		return
	}
	got.clear, got.exact = store.TokenIn(rec), true
	r.Clear.observe(got.clear, b.sent)
}

// complete asks, in one exchange, for the tokens that entries depend on and that got has
// not: those of tags that only entries name, and the clear token where no lease of it holds,
// or an entry may be younger than that. What has failed a moment ago is not asked again.
func (r *Region) complete(ctx context.Context, all []*record.Record, got *Tokens) {
	b, tags := beside{}, slices.Clip(got.tags)
	for _, rec := range all {
		if rec == nil || !rec.Dependent() {
			continue
		}
		valid, known := got.Uncleared(rec.Body.Clear)
		asks := !known && got.noClear == nil
		b.clear = b.clear || asks
		if valid || asks {
			tags = r.WithRecorded(tags, rec.Body.Tags)
		}
	}
	b.tags = tags[len(got.tags):]
	if keys := r.ask(&b); keys != nil {
		r.hear(got, &b, r.Store.Read(ctx, nil, keys))
	}
}
