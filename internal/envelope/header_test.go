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
)

func TestParseHeaderTellsWhatIsWrong(t *testing.T) {
	zeroToken := string(make([]byte, envelope.TokenSize))
	tests := map[string]struct {
		rec  string
		want error
	}{
		"nothing may be replaced":                 {"", envelope.ErrTruncated},
		"the magic alone is a record cut short":   {"K1", envelope.ErrTruncated},
		"63 bytes are a record cut short":         {("K1L" + never + dashes + dashes + zeroes)[:63], envelope.ErrTruncated},
		"half of the magic is foreign":            {"K", envelope.ErrForeign},
		"another magic is foreign":                {"K2L" + never + dashes + dashes + zeroes, envelope.ErrForeign},
		"text is foreign":                         {"hello", envelope.ErrForeign},
		"an unknown kind is newer":                {"K1Z" + never + dashes + dashes + zeroes, envelope.ErrNewer},
		"a kind in lower case is unknown":         {"K1v" + never + dashes + dashes + zeroes, envelope.ErrNewer},
		"a deadline has digits only":              {"K1L" + "00000000000-1" + dashes + dashes + zeroes, envelope.ErrCorrupt},
		"a deadline has no blanks":                {"K1L" + "            1" + dashes + dashes + zeroes, envelope.ErrCorrupt},
		"a lease token is never zero":             {"K1L" + never + zeroToken + dashes + zeroes, envelope.ErrCorrupt},
		"a cid is never zero":                     {"K1V" + never + dashes + zeroToken + zeroes, envelope.ErrCorrupt},
		"a version has no upper case":             {"K1V" + never + dashes + dashes + "000000000000000A", envelope.ErrCorrupt},
		"a version has hexadecimal digits only":   {"K1V" + never + dashes + dashes + "000000000000000g", envelope.ErrCorrupt},
		"an intent has no version":                {"K1W" + never + dashes + dashes + "0000000000000001", envelope.ErrCorrupt},
		"the conflict flag is 0 or 1":             {"K1W" + never + dashes + dashes + "2000000000000000", envelope.ErrCorrupt},
		"the conflict flag is a hexadecimal zero": {"K1W" + never + dashes + dashes + "x000000000000000", envelope.ErrCorrupt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := envelope.ParseHeader([]byte(tt.rec))
			require.ErrorIs(t, err, tt.want)
			_, b, err := envelope.Decode([]byte(tt.rec), "")
			require.ErrorIs(t, err, tt.want)
			assert.Zero(t, b)
			assert.Zero(t, envelope.Intents([]byte(tt.rec)))
		})
	}
}

func TestCorruptAndNewerHeadersCanBeReplacedByTheirCID(t *testing.T) {
	cid := goldenT1.String()
	for name, rec := range map[string]string{
		"the deadline is corrupt": "K1V" + "yesterday...." + dashes + cid + zeroes,
		"the version is corrupt":  "K1V" + never + dashes + cid + "version 00000012",
		"the kind is newer":       "K1Z" + never + dashes + cid + zeroes,
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
			"K1L" + never + dashes + dashes + zeroes,
		},
		"a negative deadline is none": {
			envelope.Header{Kind: envelope.Backoff, Until: -1},
			"K1E" + never + dashes + dashes + zeroes,
		},
		"a deadline past the year 2286 is cut": {
			envelope.Header{Kind: envelope.Backoff, Until: math.MaxInt64},
			"K1E" + "9999999999999" + dashes + dashes + zeroes,
		},
		"a deadline keeps all its digits": {
			envelope.Header{Kind: envelope.Lease, Until: 1_234_567_890_123},
			"K1L" + "1234567890123" + dashes + dashes + zeroes,
		},
		"only an intent conflicts": {
			envelope.Header{Kind: envelope.Value, Conflict: true},
			"K1V" + never + dashes + dashes + zeroes,
		},
		"an intent has no version": {
			envelope.Header{Kind: envelope.Intent, Version: 7, Conflict: true},
			"K1W" + never + dashes + dashes + "1000000000000000",
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
		assert.Equal(t, n, envelope.Intents(intent))
		tok := envelope.NewToken()
		intent = append(intent, tok[:]...)
	}
	assert.Equal(t, 4, envelope.Intents(intent[:len(intent)-1]), "half a token is none")
	value := append(intent[:2:2], append([]byte("V"), intent[3:]...)...)
	assert.Zero(t, envelope.Intents(value))
}
