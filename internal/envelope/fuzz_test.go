package envelope_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

// FuzzEnvelope wants of any bytes that they do not panic, that what is refused
// has a reason, and that what is accepted is what encoding writes.
func FuzzEnvelope(f *testing.F) {
	for name, rec := range goldenFiles(f) {
		f.Add(rec, golden[name].key)
		f.Add(rec[:len(rec)/2], golden[name].key)
	}
	f.Add([]byte(nil), "")
	f.Fuzz(func(t *testing.T, rec []byte, key string) {
		input := bytes.Clone(rec)
		h, b, err := envelope.Decode(rec, key)
		require.Equal(t, input, rec, "the input is not written to")
		if err == nil {
			require.LessOrEqual(t, len(b.Tags)+len(b.Payload), len(rec))
			require.Equal(t, rec, encode(t, h, b, key))
			return
		}
		assert.Zero(t, b)
		requireReason(t, err)
		if open := envelope.Intents(rec, 0); open > 0 {
			require.Equal(t, envelope.Intent, h.Kind)
			require.LessOrEqual(t, open*envelope.IntentSize, len(rec))
		}
		if h, err := envelope.ParseHeader(rec); err == nil {
			require.Equal(t, rec[:envelope.HeaderSize], envelope.AppendHeader(nil, h))
		}
	})
}

func requireReason(t *testing.T, err error) {
	t.Helper()
	for _, reason := range []error{
		envelope.ErrForeign, envelope.ErrTruncated, envelope.ErrCorrupt,
		envelope.ErrNewer, envelope.ErrNoBody,
	} {
		if errors.Is(err, reason) {
			return
		}
	}
	t.Fatalf("%v is no reason", err)
}

// FuzzRoundTrip wants of any header and body that they read as they were
// written, but for what the format does not keep.
func FuzzRoundTrip(f *testing.F) {
	f.Add(byte(0), int64(goldenNow), uint64(7), "Qk3_0aB1cD2eF3gH", false, byte(1), uint16(3),
		int64(goldenNow), int64(12345678), int64(time.Minute), byte(2), []byte("payload"), "users:42")
	f.Add(byte(2), int64(-1), uint64(0), "", true, byte(0), uint16(0),
		int64(-1), int64(-1), int64(1), byte(8), []byte(nil), "")
	f.Fuzz(func(t *testing.T, kind byte, until int64, version uint64, tok string, missing bool,
		codec byte, schema uint16, loaded, micros, millis int64, tags byte, payload []byte, key string,
	) {
		kinds := []envelope.Kind{envelope.Value, envelope.Dirty}
		cid, _ := envelope.ParseToken(tok)
		h := envelope.Header{
			Kind: kinds[int(kind)%len(kinds)], Until: until, Fresh: until, Token: cid, CID: cid, Version: version,
		}
		in := envelope.Body{
			Absent: missing, Codec: codec, Schema: schema, LoadedAt: loaded,
			Delta: time.Duration(micros), EWMA: time.Duration(millis),
			Soft: time.Duration(millis), Grace: time.Duration(micros),
			Clear: cid, Payload: payload,
		}
		if missing && codec%2 == 1 {
			in = proven(in)
		}
		for i := range int(tags) % (envelope.MaxTags + 1) {
			in = tagged(in, envelope.Tag{ID: version + uint64(i), Token: cid})
		}
		h.Until = min(max(h.Until, 0), 9_999_999_999_999)
		if h.Fresh = h.Until; h.Kind != envelope.Value {
			h.Fresh = 0
		}
		h.Token, h.CID = written(cid), written(cid)

		gotHeader, got, err := envelope.Decode(encode(t, h, in, key), key)
		require.NoError(t, err)
		require.Equal(t, h, gotHeader)
		assertBody(t, kept(in), got)
	})
}

// kept is what the format keeps of b.
func kept(b envelope.Body) envelope.Body {
	b.LoadedAt = max(b.LoadedAt, 0)
	b.Clear = written(b.Clear)
	b.Delta = roundUp(b.Delta, time.Microsecond, maxMicros)
	b.EWMA = roundUp(b.EWMA, time.Microsecond, maxMicros)
	b.Soft = roundUp(b.Soft, time.Millisecond, longest)
	b.Grace = roundUp(b.Grace, time.Millisecond, longest)
	return b
}

func written(t envelope.Token) envelope.Token {
	if t == (envelope.Token{}) {
		return envelope.NoToken
	}
	return t
}

func roundUp(d, unit, most time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	if d >= most {
		return most
	}
	return (d + unit - 1).Truncate(unit)
}
