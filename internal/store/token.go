package store

import (
	"context"
	_ "embed"
	"math/rand/v2"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/mint.lua
	mintLua string

	mintScript = newKeyScript("mint", mintLua)
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

// mint asks for the token under k; with replace one is made in any case, and told.
func mint(k TokenKey, replace bool, n Notice) conn.Op {
	mode, px := "0", int64(0)
	if replace {
		mode = "1"
	}
	if k.TTL > 0 {
		px = millis(k.TTL, 1)
	}
	return mintScript.On(k.Key, suffix(), px, mode, n.Channel, n.Message)
}

// mintedAt reads the i-th answer, which is a mint's.
func (s *Store) mintedAt(ops *conn.Ops, i int) (envelope.Token, error) {
	reply, err := s.reply(ops, i)
	if err != nil {
		return envelope.Token{}, err
	}
	text, _ := reply.(string)
	t, ok := envelope.ParseToken(text)
	if !ok {
		return envelope.Token{}, &conn.AnswerError{Script: mintScript.Name, Answer: reply}
	}
	return t, nil
}

// minted are n tokens from the first-th answer on; zero where there is an error, which is
// one of them. It says nothing about what was sent before them.
func (s *Store) minted(ops *conn.Ops, first, n int) (tokens []envelope.Token, missed error) {
	if n == 0 {
		return nil, nil
	}
	tokens = make([]envelope.Token, n)
	for i := range tokens {
		var err error
		if tokens[i], err = s.mintedAt(ops, first+i); err != nil && missed == nil {
			missed = conn.Beside(err)
		}
	}
	return tokens, missed
}

// Replace mints new tokens under keys, tells n of each, and returns the tokens: what was
// stored with the old ones is invalid. A mint that was sent twice has made two tokens and
// returns the second. Tokens and errors are aligned with the keys.
func (s *Store) Replace(ctx context.Context, keys []TokenKey, n Notice) ([]envelope.Token, []error) {
	ops := conn.NewOps(mintScript.Name, len(keys))
	for _, k := range keys {
		ops.Add(mint(k, true, n))
	}
	s.conn.Do(ctx, ops)
	tokens, errs := make([]envelope.Token, len(keys)), make([]error, len(keys))
	for i := range tokens {
		tokens[i], errs[i] = s.mintedAt(ops, i)
	}
	return tokens, errs
}

// Capture returns the tokens under keys, in their order, and lets them live for
// their TTL from now on. Missing ones are made by the script. Without keys it costs
// nothing. As reads do it asks for the time now and then: a process that only stores shall
// know it, too.
func (s *Store) Capture(ctx context.Context, keys []TokenKey) ([]envelope.Token, error) {
	ops := conn.NewOps(mintScript.Name, len(keys)+2)
	for _, k := range keys {
		ops.Add(mint(k, false, Notice{}))
	}
	if len(keys) > 0 {
		s.conn.DoAsking(ctx, ops)
	}
	tokens, err := s.minted(ops, 0, len(keys))
	if err != nil {
		return nil, err
	}
	return tokens, nil
}

// ReadTokens returns the tokens under keys, in their order; zero where there is
// none. Plain commands; without keys it costs nothing.
func (s *Store) ReadTokens(ctx context.Context, keys []string) ([]envelope.Token, error) {
	values := s.conn.Read(ctx, nil, keys)
	tokens := make([]envelope.Token, len(keys))
	for i := range values {
		if err := values[i].Err; err != nil {
			return nil, err
		}
		tokens[i], _ = envelope.ParseToken(string(values[i].Data))
		values[i].Release()
	}
	return tokens, nil
}

// tokensIn are the answers to n reads of tokens from the first-th on, nil unless all of
// them came.
func tokensIn(ops *conn.Ops, first, n int) []envelope.Token {
	tokens := make([]envelope.Token, n)
	for i := range tokens {
		reply, err := ops.Reply(first + i)
		if err != nil {
			return nil
		}
		text, _ := reply.(string)
		tokens[i], _ = envelope.ParseToken(text)
	}
	return tokens
}
