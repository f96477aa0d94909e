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

// Mint returns the token under key, which is a tag's or a cache's clear token,
// and lets it live for ttl (at least 1 ms) from now. A missing one is made by
// the script; with replace one is made in any case. One round trip. A mint that
// was sent twice has made two tokens and returns the second: entries of the
// first, if any, are loaded again.
func (s *Store) Mint(ctx context.Context, key string, ttl time.Duration, replace bool) (envelope.Token, error) {
	mode := "0"
	if replace {
		mode = "1"
	}
	reply, err := s.eval(ctx, mintScript, key, suffix(), millis(ttl, 1), mode)
	if err != nil {
		return envelope.Token{}, err
	}
	text, _ := reply.(string)
	t, ok := envelope.ParseToken(text)
	if !ok {
		return envelope.Token{}, &AnswerError{Script: mintScript.name, Answer: reply}
	}
	return t, nil
}
