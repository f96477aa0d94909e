package envelope_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

// Offsets of the fields of a body which come before the first uvarint.
const (
	formatAt = envelope.HeaderSize
	flagsAt  = formatAt + 1
	loadedAt = formatAt + 5
	deltaAt  = formatAt + 13
)

// minimal is a record whose four uvarints take one byte each.
func minimal(tb testing.TB) []byte {
	tb.Helper()
	return encode(tb, envelope.Header{Kind: envelope.Value, CID: goldenT1}, envelope.Body{}, "k")
}

// reseal gives rec, a record of the shape of minimal, the checksum that fits.
func reseal(rec []byte) []byte {
	const crcAt = deltaAt - envelope.HeaderSize + 4 + envelope.TokenSize + 1
	envelope.Seal(rec[envelope.HeaderSize:], crcAt, "k", 0)
	return rec
}

func TestDecodeTellsWhatIsWrongWithTheBody(t *testing.T) {
	tests := map[string]struct {
		spoil func(rec []byte) []byte
		want  error
	}{
		"a later format is newer, whatever its checksum": {
			func(rec []byte) []byte { rec[formatAt] = 2; return rec }, envelope.ErrNewer,
		},
		"a later format is newer however short it is": {
			func(rec []byte) []byte { rec[formatAt] = 9; return rec[:formatAt+1] }, envelope.ErrNewer,
		},
		"format 0 never was": {
			func(rec []byte) []byte { rec[formatAt] = 0; return reseal(rec) }, envelope.ErrCorrupt,
		},
		"an unknown flag under a good checksum is newer": {
			func(rec []byte) []byte { rec[flagsAt] = 8; return reseal(rec) }, envelope.ErrNewer,
		},
		"the flag of lists, under a good checksum, is newer": {
			func(rec []byte) []byte { rec[flagsAt] = 4; return reseal(rec) }, envelope.ErrNewer,
		},
		"an unknown flag under a bad checksum is corrupt": {
			func(rec []byte) []byte { rec[flagsAt] = 8; return rec }, envelope.ErrCorrupt,
		},
		"a time before 1970 is never written": {
			func(rec []byte) []byte { rec[loadedAt] = 0x80; return reseal(rec) }, envelope.ErrCorrupt,
		},
		"a number has only its shortest spelling": {
			func(rec []byte) []byte { rec[deltaAt], rec[deltaAt+1] = 0x80, 0; return reseal(rec) }, envelope.ErrCorrupt,
		},
		"a number has at most 64 bits": {
			func(rec []byte) []byte { return append(rec[:deltaAt], bytes.Repeat([]byte{0xff}, 11)...) }, envelope.ErrCorrupt,
		},
		"a number fits a duration": {
			func(rec []byte) []byte {
				return append(rec[:deltaAt], append(bytes.Repeat([]byte{0xff}, 9), 1)...)
			}, envelope.ErrCorrupt,
		},
		"an endless number is truncated": {
			func(rec []byte) []byte { return append(rec[:deltaAt], 0xff, 0xff) }, envelope.ErrTruncated,
		},
		"a clear token is never zero": {
			func(rec []byte) []byte { clear(rec[deltaAt+4:][:16]); return reseal(rec) }, envelope.ErrCorrupt,
		},
		"a proof that is not there is truncated": {
			func(rec []byte) []byte { rec[flagsAt], rec[deltaAt+21] = 2, 16; return rec }, envelope.ErrTruncated,
		},
		"a proof is not empty": {
			func(rec []byte) []byte { rec[flagsAt], rec[deltaAt+21] = 2, 0; return append(rec, make([]byte, 99)...) }, envelope.ErrCorrupt,
		},
		"a proof has at most 64 bytes": {
			func(rec []byte) []byte {
				rec[flagsAt], rec[deltaAt+21] = 2, 65
				return append(rec, make([]byte, 99)...)
			}, envelope.ErrCorrupt,
		},
		"33 tags are too many": {
			func(rec []byte) []byte { rec[deltaAt+20] = 33; return append(rec, make([]byte, 1000)...) }, envelope.ErrCorrupt,
		},
		"tags that are not there are truncated": {
			func(rec []byte) []byte { rec[deltaAt+20] = 8; return rec }, envelope.ErrTruncated,
		},
		"a value without a body is truncated": {
			func(rec []byte) []byte { return rec[:envelope.HeaderSize] }, envelope.ErrTruncated,
		},
		"a payload of another record is corrupt": {
			func(rec []byte) []byte { return append(rec, 'x') }, envelope.ErrCorrupt,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rec := tt.spoil(minimal(t))
			h, b, err := envelope.Decode(rec, "k")
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, goldenT1, h.CID, "the header is valid")
			assert.Zero(t, b)
		})
	}
}

func TestARecordIsOnlyValidUnderItsKey(t *testing.T) {
	rec := minimal(t)
	_, _, err := envelope.Decode(rec, "k")
	require.NoError(t, err)
	for _, key := range []string{"", "K", "k ", "kk", "users:42"} {
		_, _, err = envelope.Decode(rec, key)
		assert.ErrorIs(t, err, envelope.ErrCorrupt, "key %q", key)
	}
}

func TestNoChangedByteOfAVersionOrBodyIsAccepted(t *testing.T) {
	want := golden["v1-value-tagged.hex"]
	rec := goldenFiles(t)["v1-value-tagged.hex"]
	for at := envelope.HeaderSize - 19; at < len(rec); at++ {
		for change := 1; change < 256; change++ {
			rec[at] ^= byte(change)
			_, _, err := envelope.Decode(rec, want.key)
			rec[at] ^= byte(change)
			if err == nil {
				t.Fatalf("byte %d changed by %#x was accepted", at, change)
			}
		}
	}
	_, _, err := envelope.Decode(rec, want.key)
	require.NoError(t, err)
}

func TestNoPartOfARecordIsAccepted(t *testing.T) {
	for name, rec := range goldenFiles(t) {
		if golden[name].err != nil {
			continue
		}
		for n := range rec {
			_, _, err := envelope.Decode(rec[:n], golden[name].key)
			if err == nil {
				t.Fatalf("%s: the first %d of %d bytes were accepted", name, n, len(rec))
			}
		}
	}
}

// TestScriptsMayPatchTheHeader does to a record what the Lua scripts do with
// SETRANGE, and wants its body to stay valid.
func TestScriptsMayPatchTheHeader(t *testing.T) {
	patch := func(rec []byte, at int, with string) []byte {
		rec = bytes.Clone(rec)
		copy(rec[at:], with)
		return rec
	}
	files := goldenFiles(t)
	value, dirty := files["v1-value-versioned.hex"], files["v1-dirty.hex"]
	tests := map[string]struct {
		rec  []byte
		like string
	}{
		"acquire leases a value":         {patch(patch(value, 3, "1763712003123"), 29, goldenT2.String()), "v1-value-versioned.hex"},
		"release backs a value off":      {patch(patch(value, 3, "1763712000223"), 29, dashes), "v1-value-versioned.hex"},
		"expire makes it stale":          {patch(value, 3, never+"1763712000223"+dashes), "v1-value-versioned.hex"},
		"slide keeps it fresh":           {patch(value, 16, "1763712999223"), "v1-value-versioned.hex"},
		"ack makes a dirty record clean": {patch(dirty, 2, "V"), "v1-dirty.hex"},
		"put gives a record any version": {patch(dirty, 61, "0000000000000001"), "v1-dirty.hex"},
		"an acknowledged put is leased":  {patch(dirty, 2, "V1763712003123"+"1763712003123"+goldenT2.String()), "v1-dirty.hex"},
		"an acknowledged put is expired": {patch(dirty, 2, "V"+never+"1763712000223"+dashes), "v1-dirty.hex"},
		"ack takes a put's version":      {patch(dirty, 0, "K1V"+never+"1763712003123"+dashes+goldenT1.String()+zeroes+end), "v1-dirty.hex"},
		"put marks an open intent":       {patch(dirty, 3, "0000000000001"), "v1-dirty.hex"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := golden[tt.like]
			h, b, err := envelope.Decode(tt.rec, want.key)
			require.NoError(t, err)
			assertBody(t, want.body, b)
			assert.Equal(t, tt.rec, encode(t, h, b, want.key))
		})
	}
}

func TestAppendingToWhatWasDecodedLeavesTheRecordAlone(t *testing.T) {
	want := golden["v1-value-tagged.hex"]
	rec := goldenFiles(t)["v1-value-tagged.hex"]
	before := bytes.Clone(rec)
	_, b, err := envelope.Decode(rec, want.key)
	require.NoError(t, err)
	_ = envelope.AppendTag(b.Tags, envelope.Tag{ID: 1, Token: goldenT1})
	assert.Equal(t, before, rec)
}
