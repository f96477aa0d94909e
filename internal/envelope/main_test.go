package envelope_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/envelope"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// token returns the token that s spells.
func token(s string) envelope.Token {
	t, ok := envelope.ParseToken(s)
	if !ok {
		panic("not a token: " + s)
	}
	return t
}

// encode returns the record of h and b under key, written as a caller does that
// lets its codec append the payload.
func encode(tb testing.TB, h envelope.Header, b envelope.Body, key string) []byte {
	tb.Helper()
	payload := b.Payload
	b.Payload = nil
	rec, crcAt, err := envelope.AppendBody(envelope.AppendHeader(nil, h), &b)
	require.NoError(tb, err)
	rec = append(rec, payload...)
	envelope.Seal(rec[envelope.HeaderSize:], crcAt, key, h.SealedVersion())
	return rec
}
