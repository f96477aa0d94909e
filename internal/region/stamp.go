package region

import (
	"context"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/store"
)

// Stamp is the tokens that an entry depends on, captured before its value was
// loaded or written.
type Stamp struct {
	Clear envelope.Token
	Tags  envelope.Tags
}

// stampOf puts a stamp together. tokens[i] is that of tags[i].
func stampOf(clear envelope.Token, tags []Tag, tokens []envelope.Token) Stamp {
	s := Stamp{Clear: clear}
	for i, t := range tags {
		s.Tags = envelope.AppendTag(s.Tags, envelope.Tag{ID: t.ID, Token: tokens[i]})
	}
	return s
}

// pick is the tokens of some of the tags that were captured or read together.
func pick(tags, of []Tag, tokens []envelope.Token) []envelope.Token {
	picked := make([]envelope.Token, len(tags))
	for i, t := range tags {
		at := slices.IndexFunc(of, func(o Tag) bool { return o.ID == t.ID })
		picked[i] = tokens[at]
	}
	return picked
}

// valid reports whether the tokens that an entry of stamp s depends on are these,
// of its tags in their order.
func (s *Stamp) valid(tokens []envelope.Token) bool {
	for i := range s.Tags.Len() {
		if tokens[i] != s.Tags.At(i).Token || tokens[i] == (envelope.Token{}) {
			return false
		}
	}
	return true
}

// capture is what a command asks for beside its own: the tokens of tags, and perhaps the
// clear token.
type capture struct {
	keys  []store.TokenKey
	clear envelope.Token // as it is known, or learnt
	asks  bool           // for the clear token, which is the last one
	sent  time.Time
}

// capture captures the tokens that entries of class with tags will depend on: the clear
// token only where no lease of it holds.
func (r *Region) capture(tags []Tag, class *expiry.Policy) capture {
	clear, held := r.Clear.Current()
	return r.captureWith(tags, class, clear, !held)
}

func (r *Region) captureWith(tags []Tag, class *expiry.Policy, clear envelope.Token, asks bool) capture {
	c := capture{keys: tokenKeys(tags, class), clear: clear, asks: asks, sent: time.Now()}
	if asks {
		c.keys = append(c.keys, r.clearKey())
	}
	return c
}

// captured takes what the command has brought, and returns the tokens of the tags. A clear
// token that is zero was not heard.
func (r *Region) captured(c *capture, tokens []envelope.Token) []envelope.Token {
	if !c.asks {
		return tokens
	}
	tags := len(c.keys) - 1
	if heard := tokens[tags]; heard != (envelope.Token{}) {
		c.clear = heard
		r.Clear.observe(heard, c.sent)
	}
	return tokens[:tags]
}

// Capture stamps a value that the caller brings. Without tags it costs nothing,
// but for the first of a process: a clear token that is out of date only makes
// the entry invalid, and is asked for in the background.
func (r *Region) Capture(ctx context.Context, tags []Tag, class *expiry.Policy) (Stamp, error) {
	clear, held := r.Clear.last()
	c := r.captureWith(tags, class, clear, clear == envelope.Token{})
	tokens, err := r.Store.Capture(ctx, c.keys)
	if err != nil {
		return Stamp{}, err
	}
	if !c.asks && !held {
		r.RenewClear(ctx)
	}
	ofTags := r.captured(&c, tokens)
	return stampOf(c.clear, tags, ofTags), nil
}

// RenewClear asks for the clear token in the background, unless somebody does.
func (r *Region) RenewClear(ctx context.Context) {
	if !r.Clear.asking.CompareAndSwap(false, true) {
		return
	}
	if !r.Background.Start() {
		r.Clear.unheard()
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer r.Background.End()
		sent := time.Now()
		tokens, err := r.Store.Capture(ctx, []store.TokenKey{r.clearKey()})
		if err != nil {
			r.Clear.unheard()
			return
		}
		r.Clear.observe(tokens[0], sent)
	}()
}

// TagsValid compares an entry's tags with the tokens that were read, and reads
// those that were not.
func (r *Region) TagsValid(ctx context.Context, tags envelope.Tags, named []Tag, tokens []envelope.Token) (bool, error) {
	var unread []Tag
	var want []envelope.Token
	for i := range tags.Len() {
		tag := tags.At(i)
		at := slices.IndexFunc(named, func(t Tag) bool { return t.ID == tag.ID })
		switch {
		case at < 0:
			unread = append(unread, TagIn(r.Space, tag.ID))
			want = append(want, tag.Token)
		case tokens[at] != tag.Token || tokens[at] == envelope.Token{}:
			return false, nil
		}
	}
	if len(unread) == 0 {
		return true, nil
	}
	found, err := r.Store.ReadTokens(ctx, TagKeys(unread))
	return err == nil && slices.Equal(found, want) && !slices.Contains(found, envelope.Token{}), err
}
