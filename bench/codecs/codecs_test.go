package codecs_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/bench/codecs"
	"github.com/larder-go/cache/bench/work"
)

func TestEveryCodecReturnsTheDocumentsOfTheBenchmarks(t *testing.T) {
	for _, c := range codecs.All() {
		t.Run(c.Name, func(t *testing.T) {
			for _, size := range []int{work.Flat, work.Nested, work.List} {
				doc := work.New(4711, size)
				data, err := c.Encode(doc)
				require.NoError(t, err)
				var got work.Doc
				require.NoError(t, c.Decode(data, &got))
				assert.True(t, got.Created.Equal(doc.Created))
				got.Created = doc.Created // msgpack and cbor bring it back in another zone
				assert.Equal(t, doc, got)
			}
		})
	}
}

// The standard library replaces invalid UTF-8, and nothing else: a longer list would
// mean that the oddities themselves are wrong.
func TestTheFloorLosesOnlyInvalidUTF8(t *testing.T) {
	floor, err := codecs.Find(codecs.Floor)
	require.NoError(t, err)
	all, failed := codecs.Oddities(floor)
	assert.Greater(t, all, 20)
	assert.Equal(t, []string{"invalid UTF-8"}, failed)
}

func TestACodecThatKeepsItsInputOrPanicsIsSeen(t *testing.T) {
	floor, err := codecs.Find(codecs.Floor)
	require.NoError(t, err)
	broken := floor
	broken.Decode = func([]byte, any) error { panic("no") }
	all, failed := codecs.Oddities(broken)
	assert.Len(t, failed, all)
	lazy := floor
	lazy.Decode = func(data []byte, v any) error { return nil } //nolint:revive // decodes nothing
	_, failed = codecs.Oddities(lazy)
	assert.Contains(t, failed, "broken input is an error")
	assert.Contains(t, failed, "no part of the input is kept")
}
