package store

import (
	"context"
	_ "embed"
	"math/rand/v2"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/mint.lua
	mintLua string

	mintScript = newScript("mint", mintLua)
)

// alphabet of the random end of a minted token.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// suffix returns three characters. They tell tokens minted in the same
// microsecond by a Redis and the one that replaced it.
func suffix() string {
	n := rand.Uint32()
	return string([]byte{alphabet[n&63], alphabet[n>>6&63], alphabet[n>>12&63]})
}

// TokenKey is where the token of a tag or of a whole cache is kept.
type TokenKey struct {
	Key string
	// TTL is how long the token lives from its last capture on, at least 1 ms.
	// 0 means for ever. Losing one early invalidates what was stored with it.
	TTL time.Duration
}

// mintOrder is a mint of k; with replace one is made in any case, and told.
func mintOrder(k TokenKey, replace bool, n Notice) order {
	mode, px := "0", int64(0)
	if replace {
		mode = "1"
	}
	if k.TTL > 0 {
		px = millis(k.TTL, 1)
	}
	return order{mintScript, mintScript.evalsha(k.Key, []any{suffix(), px, mode, n.Channel, n.Message})}
}

// minted reads a mint's answer.
func minted(reply any) (envelope.Token, error) {
	text, _ := reply.(string)
	t, ok := envelope.ParseToken(text)
	if !ok {
		return envelope.Token{}, &AnswerError{Script: mintScript.name, Answer: reply}
	}
	return t, nil
}

// Replace mints a new token under k, tells n, and returns the token: what was
// stored with the old one is invalid. One round trip. A mint that was sent twice
// has made two tokens and returns the second.
func (s *Store) Replace(ctx context.Context, k TokenKey, n Notice) (envelope.Token, error) {
	reply, err := s.evalOrder(ctx, mintOrder(k, true, n))
	if err != nil {
		return envelope.Token{}, err
	}
	return minted(reply)
}

// ReplaceMany is Replace for several in one pipeline, which a cluster client
// splits into one round trip per node; the tokens are not returned. The errors are
// aligned with the keys; nil if there is none.
func (s *Store) ReplaceMany(ctx context.Context, keys []TokenKey, n Notice) []error {
	if len(keys) == 0 {
		return nil
	}
	orders := make([]order, len(keys))
	for i, k := range keys {
		orders[i] = mintOrder(k, true, n)
	}
	_, errs := s.eachOf(ctx, mintScript.name, orders)
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

// ReplaceConfirmed is ReplaceMany, confirmed by replicas.
func (s *Store) ReplaceConfirmed(ctx context.Context, keys []TokenKey, n Notice, r Replicas) []error {
	names, calls := make([]string, len(keys)), make([]*scriptCall, len(keys))
	for i, k := range keys {
		o := mintOrder(k, true, n)
		names[i], calls[i] = k.Key, &scriptCall{script: o.script, args: o.args}
	}
	return s.confirmed(ctx, names, calls, r)
}

// Capture returns the tokens under keys, in their order, and lets them live for
// their TTL from now on. Missing ones are made by the script. One round trip per
// node; without keys none. As [Store.ReadMany] does, it asks for the time now and
// then: a process that only stores shall know it, too.
func (s *Store) Capture(ctx context.Context, keys []TokenKey) ([]envelope.Token, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	start := time.Now()
	n, ask := s.nodeOf(ctx, keys[0].Key), asked{}
	if s.locate.single() {
		ask = n.asks(start)
	}
	orders := make([]order, 0, len(keys)+2)
	for _, k := range keys {
		orders = append(orders, mintOrder(k, false, Notice{}))
	}
	replies, errs, err := s.together(ctx, mintScript.name, ask.behind(orders))
	if err != nil {
		return nil, err
	}
	t := ask.told(n, replies[len(keys):], errs[len(keys):])
	t.hear(start)
	return mintedAll(replies[:len(keys)], errs[:len(keys)])
}

// mintedAll are the answers to orders of tokens. The error is that of one of them.
func mintedAll(replies []any, errs []error) ([]envelope.Token, error) {
	tokens := make([]envelope.Token, len(replies))
	for i := range replies {
		err := errs[i]
		if err == nil {
			tokens[i], err = minted(replies[i])
		}
		if err != nil {
			return nil, besideError{err}
		}
	}
	return tokens, nil
}

// withTokens runs first, a script whose reply is returned, and captures the tokens
// under keys, in one pipeline. An error says nothing about what the script did.
func (s *Store) withTokens(ctx context.Context, label string, first order, keys []TokenKey) (any, []envelope.Token, error) {
	orders := append(make([]order, 0, 1+len(keys)), first)
	for _, k := range keys {
		orders = append(orders, mintOrder(k, false, Notice{}))
	}
	replies, errs, err := s.together(ctx, label, orders)
	if err != nil {
		return nil, nil, err
	}
	if errs[0] != nil {
		return nil, nil, errs[0]
	}
	tokens, err := mintedAll(replies[1:], errs[1:])
	return replies[0], tokens, err
}

// ReadTokens returns the tokens under keys, in their order; zero where there is
// none. One round trip per node, of plain commands; without keys none.
func (s *Store) ReadTokens(ctx context.Context, keys []string) ([]envelope.Token, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	records, err := s.ReadMany(ctx, keys)
	if err != nil {
		return nil, err
	}
	tokens := make([]envelope.Token, len(keys))
	for i := range records {
		tokens[i] = TokenIn(records[i])
	}
	return tokens, nil
}

// TokenIn is the token that a record read under a token's key holds; zero if
// there is none.
func TokenIn(r Record) envelope.Token {
	t, _ := envelope.ParseToken(string(r.Data))
	return t
}

// tokensOf are the answers to reads of tokens, nil unless all of them came.
func tokensOf(replies []any, errs []error) []envelope.Token {
	tokens := make([]envelope.Token, len(replies))
	for i, reply := range replies {
		if errs[i] != nil {
			return nil
		}
		text, _ := reply.(string)
		tokens[i], _ = envelope.ParseToken(text)
	}
	return tokens
}
