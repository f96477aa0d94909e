package testkit

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

const (
	RedisKey = "test:k" // of the key "k" in newCache's caches
	ClearKey = "test!c" // of their clear token
)

// Raw writes a whole record for "k", as another program would.
func Raw(t *testing.T, rdb redis.UniversalClient, kind envelope.Kind, body envelope.Body, payload string) {
	t.Helper()
	body.Payload = []byte(payload)
	if body.Clear == (envelope.Token{}) {
		require.NoError(t, rdb.SetNX(t.Context(), ClearKey, "0000000000001abc", 0).Err())
		body.Clear, _ = envelope.ParseToken(rdb.Get(t.Context(), ClearKey).Val())
	}
	data, crcAt, err := envelope.AppendBody(nil, &body)
	require.NoError(t, err)
	envelope.Seal(data, crcAt, RedisKey, 0)
	header := envelope.Header{Kind: kind, Token: envelope.NoToken, CID: envelope.NewToken()}
	ttl := body.Soft + body.Grace
	if kind == envelope.Dirty {
		ttl = 0
	}
	rec := append(envelope.AppendHeader(nil, header), data...)
	require.NoError(t, rdb.Set(t.Context(), RedisKey, rec, ttl).Err())
}

func Body(mutate func(*envelope.Body)) envelope.Body {
	b := envelope.Body{Codec: 1, Soft: time.Minute, Grace: time.Second}
	mutate(&b)
	return b
}
