package envelope_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

const (
	dashes = "----------------"
	zeroes = "0000000000000000"
	never  = "0000000000000"
	end    = "000"
)

func TestParseHeaderTellsWhatIsWrong(t *testing.T) {
	zeroToken := string(make([]byte, envelope.TokenSize))
	tests := map[string]struct {
		rec  string
		want error
	}{
		"nothing may be replaced":                 {"", envelope.ErrTruncated},
		"the magic alone is a record cut short":   {"K1", envelope.ErrTruncated},
		"79 bytes are a record cut short":         {("K1L" + never + never + dashes + dashes + zeroes + end)[:63], envelope.ErrTruncated},
		"half of the magic is foreign":            {"K", envelope.ErrForeign},
		"another magic is foreign":                {"K2L" + never + never + dashes + dashes + zeroes + end, envelope.ErrForeign},
		"text is foreign":                         {"hello", envelope.ErrForeign},
		"an unknown kind is newer":                {"K1Z" + never + never + dashes + dashes + zeroes + end, envelope.ErrNewer},
		"a kind in lower case is unknown":         {"K1v" + never + never + dashes + dashes + zeroes + end, envelope.ErrNewer},
		"a deadline has digits only":              {"K1L" + "00000000000-1" + never + dashes + dashes + zeroes + end, envelope.ErrCorrupt},
		"a deadline has no blanks":                {"K1L" + "            1" + never + dashes + dashes + zeroes + end, envelope.ErrCorrupt},
		"a lease token is never zero":             {"K1L" + never + never + zeroToken + dashes + zeroes + end, envelope.ErrCorrupt},
		"a cid is never zero":                     {"K1V" + never + never + dashes + zeroToken + zeroes + end, envelope.ErrCorrupt},
		"a soft deadline has digits only":         {"K1V" + never + "soon........." + dashes + dashes + zeroes + end, envelope.ErrCorrupt},
		"a lease has no soft deadline":            {"K1L" + never + "0000000000001" + dashes + dashes + zeroes + end, envelope.ErrCorrupt},
		"another end of the header is newer":      {"K1V" + never + never + dashes + dashes + zeroes + "001", envelope.ErrNewer},
		"also where the rest would be corrupt":    {"K1V" + never + never + dashes + zeroToken + zeroes + "00x", envelope.ErrNewer},
		"kind S was never released":               {"K1S" + never + never + dashes + dashes + zeroes + end, envelope.ErrNewer},
		"a version has no upper case":             {"K1V" + never + never + dashes + dashes + "000000000000000A" + end, envelope.ErrCorrupt},
		"a version has hexadecimal digits only":   {"K1V" + never + never + dashes + dashes + "000000000000000g" + end, envelope.ErrCorrupt},
		"an intent has no version":                {"K1W" + never + never + dashes + dashes + "0000000000000001" + end, envelope.ErrCorrupt},
		"the conflict flag is 0 or 1":             {"K1W" + never + never + dashes + dashes + "2000000000000000" + end, envelope.ErrCorrupt},
		"the conflict flag is a hexadecimal zero": {"K1W" + never + never + dashes + dashes + "x000000000000000" + end, envelope.ErrCorrupt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := envelope.ParseHeader([]byte(tt.rec))
			require.ErrorIs(t, err, tt.want)
			_, b, err := envelope.Decode([]byte(tt.rec), "")
			require.ErrorIs(t, err, tt.want)
			assert.Zero(t, b)
			assert.Zero(t, envelope.Intents([]byte(tt.rec), 0))
		})
	}
}

func TestCorruptAndNewerHeadersCanBeReplacedByTheirCID(t *testing.T) {
	cid := goldenT1.String()
	for name, rec := range map[string]string{
		"the deadline is corrupt": "K1V" + "yesterday...." + never + dashes + cid + zeroes + end,
		"the version is corrupt":  "K1V" + never + never + dashes + cid + "version 00000012" + end,
		"the kind is newer":       "K1Z" + never + never + dashes + cid + zeroes + end,
	} {
		t.Run(name, func(t *testing.T) {
			h, err := envelope.ParseHeader([]byte(rec))
			require.Error(t, err)
			assert.Equal(t, goldenT1, h.CID)
			assert.Equal(t, envelope.NoToken, h.Token)
			assert.Equal(t, envelope.Kind(rec[2]), h.Kind)
		})
	}
}

func TestAppendHeaderWritesWhatFits(t *testing.T) {
	tests := map[string]struct {
		h    envelope.Header
		want string
	}{
		"zero tokens are NoToken": {
			envelope.Header{Kind: envelope.Lease},
			"K1L" + never + never + dashes + dashes + zeroes + end,
		},
		"a negative deadline is none": {
			envelope.Header{Kind: envelope.Backoff, Until: -1},
			"K1E" + never + never + dashes + dashes + zeroes + end,
		},
		"a deadline past the year 2286 is cut": {
			envelope.Header{Kind: envelope.Backoff, Until: math.MaxInt64},
			"K1E" + "9999999999999" + never + dashes + dashes + zeroes + end,
		},
		"a deadline keeps all its digits": {
			envelope.Header{Kind: envelope.Lease, Until: 1_234_567_890_123},
			"K1L" + "1234567890123" + never + dashes + dashes + zeroes + end,
		},
		"only an intent conflicts": {
			envelope.Header{Kind: envelope.Value, Conflict: true},
			"K1V" + never + never + dashes + dashes + zeroes + end,
		},
		"an intent has no version": {
			envelope.Header{Kind: envelope.Intent, Version: 7, Conflict: true},
			"K1W" + never + never + dashes + dashes + "1000000000000000" + end,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := envelope.AppendHeader([]byte("before"), tt.h)
			assert.Equal(t, "before"+tt.want, string(got))
		})
	}
}

func TestVersionsCompareAsStringsLikeNumbers(t *testing.T) {
	versions := []uint64{0, 1, 9, 10, 15, 16, 0xdeadbeef, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}
	last := ""
	for _, v := range versions {
		got := string(envelope.AppendVersion(nil, v))
		assert.Equal(t, fmt.Sprintf("%016x", v), got)
		assert.Greater(t, got, last)
		last = got
	}
}

func TestSealedVersionIsNotThatOfAPut(t *testing.T) {
	h := envelope.Header{Kind: envelope.Dirty, CID: envelope.NoToken, Version: 5}
	assert.Zero(t, h.SealedVersion(), "Redis assigns it after the body is sealed")
	h.Kind = envelope.Value
	assert.Zero(t, h.SealedVersion(), "an acknowledged put keeps its body")
	h.CID = envelope.NewToken()
	assert.Equal(t, uint64(5), h.SealedVersion())
}

func TestIntents(t *testing.T) {
	intent := envelope.AppendHeader(nil, envelope.Header{Kind: envelope.Intent})
	for n := range 5 {
		assert.Equal(t, n, envelope.Intents(intent, 999))
		intent = envelope.AppendIntent(intent, envelope.NewToken(), int64(1000+n))
	}
	require.Len(t, intent, envelope.HeaderSize+5*envelope.IntentSize)
	assert.Equal(t, 4, envelope.Intents(intent, 1000), "a deadline that is now is over")
	assert.Equal(t, 1, envelope.Intents(intent, 1003))
	assert.Zero(t, envelope.Intents(intent, 1004))
	assert.Equal(t, 4, envelope.Intents(intent[:len(intent)-1], 0), "a part of one is none")
	intent[len(intent)-1] = 'x'
	assert.Equal(t, 4, envelope.Intents(intent, 0), "one without a deadline is none")
	value := append(intent[:2:2], append([]byte("V"), intent[3:]...)...)
	assert.Zero(t, envelope.Intents(value, 0))
}
