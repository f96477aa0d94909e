package region

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Stamp is the tokens that an entry depends on, captured before its value was
// loaded or written.
type Stamp struct {
	Clear envelope.Token
	Tags  envelope.Tags
}

// capture is what a command asks for beside its own: the tokens of tags, and perhaps the
// clear token.
type capture struct {
	tags  []Tag
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
	c := capture{tags: tags, keys: tokenKeys(tags, class), clear: clear, asks: asks, sent: time.Now()}
	if asks {
		c.keys = append(c.keys, r.clearKey())
	}
	return c
}

// captured takes what the command has brought. A clear token that is zero was not heard.
func (r *Region) captured(c *capture, tokens []envelope.Token) Tokens {
	got := Tokens{tags: c.tags, values: tokens[:len(c.tags)], clear: c.clear}
	if c.asks {
		if heard := tokens[len(c.tags)]; heard != (envelope.Token{}) {
			got.clear = heard
			r.Clear.observe(heard, c.sent)
		}
	}
	return got
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
	got := r.captured(&c, tokens)
	return got.stamp(tags), nil
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
			r.failed(telemetry.OpGet, err)
			return
		}
		r.Clear.observe(tokens[0], sent)
	}()
}
