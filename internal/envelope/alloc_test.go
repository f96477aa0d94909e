package envelope_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

func TestReadingAllocatesNothing(t *testing.T) {
	for name, rec := range goldenFiles(t) {
		want := golden[name]
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			h, b, err := envelope.Decode(rec, want.key)
			if err != want.err { //nolint:errorlint // ErrNoBody comes bare, or it would cost.
				t.Error(err)
			}
			for i := range b.Tags.Len() {
				sinkTag = b.Tags.At(i)
			}
			sinkInt = envelope.Intents(rec, 0) + int(h.SealedVersion())
		}), name)
	}
}

func TestWritingAllocatesNothingButItsRoom(t *testing.T) {
	b := extremeBody()
	key := strings.Repeat("key", 100)
	h := envelope.Header{Kind: envelope.Value, CID: goldenT1, Version: 1 << 63, Until: 1}
	buf := make([]byte, 0, envelope.HeaderSize+envelope.BodyOverhead+len(b.Payload))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		rec, crcAt, err := envelope.AppendBody(envelope.AppendHeader(buf, h), &b)
		if err != nil {
			t.Error(err)
		}
		envelope.Seal(rec[envelope.HeaderSize:], crcAt, key, h.SealedVersion())
	}))
}

// TestABadRecordCostsNoMoreThanItsError is what a hostile or damaged Redis can
// make a reader allocate: it does not grow with the sizes the record claims.
func TestABadRecordCostsNoMoreThanItsError(t *testing.T) {
	rec := minimal(t)
	rec[deltaAt+20] = 255 // tags
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		_, _, err := envelope.Decode(rec, "k")
		if err == nil {
			t.Error("accepted")
		}
	}), 4.0)
}

var (
	sinkTag envelope.Tag
	sinkInt int
)
