package cache_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
)

// lending gives out the data itself, as encoders do that make strings without a copy.
type lending struct{}

func (lending) Append(dst []byte, v any) ([]byte, error) { return append(dst, v.([]byte)...), nil }

func (lending) Decode(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

// lying is lending, and promises what that does not do.
type lying struct{ lending }

func (lying) CopiesData() bool { return true }

// stays gets a key, then others, and reports whether the first value stayed as it was.
func stays(t *testing.T, codec cache.Codec) bool {
	t.Helper()
	ctx := t.Context()
	c := newCache[[]byte](t, redistest.Single(t).Client(t), cache.WithCodec(codec))
	_, err := c.Get(ctx, "asks for the time") // so that the entries say when they were made
	require.ErrorIs(t, err, cache.ErrMiss)
	text := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 300) }
	for i := range 20 {
		require.NoError(t, c.Set(ctx, fmt.Sprint(i), text(i)))
	}
	for range 50 { // a pool may forget a buffer at any time
		first, err := c.Get(ctx, "0")
		require.NoError(t, err)
		require.Equal(t, text(0), first)
		for i := 1; i < 20; i++ {
			_, err := c.Get(ctx, fmt.Sprint(i))
			require.NoError(t, err)
		}
		if !bytes.Equal(text(0), first) {
			return false
		}
	}
	return true
}

// A buffer is used again only where the codec promises that it copies. The controls
// promise it and do not.
func TestWhatACodecKeepsStaysAsItWasUnlessItPromisesToCopy(t *testing.T) {
	ring := cache.KeyRing{Current: "k", Keys: map[string][]byte{"k": make([]byte, 32)}}
	layers := []struct {
		name string
		over func(cache.Codec) cache.Codec
	}{
		{"bare", func(c cache.Codec) cache.Codec { return c }},
		{"encrypted", func(c cache.Codec) cache.Codec { return cache.Encrypted(c, ring) }},
		{"compressed", func(c cache.Codec) cache.Codec { return cache.Compressed(c, cache.CompressOptions{Above: 1}) }},
		{"left uncompressed", func(c cache.Codec) cache.Codec { return cache.Compressed(c, cache.CompressOptions{Above: 1000}) }},
	}
	for _, layer := range layers {
		t.Run(layer.name, func(t *testing.T) {
			assert.True(t, stays(t, layer.over(lending{})), "without the promise")
			assert.False(t, stays(t, layer.over(lying{})), "control: with it")
		})
	}
}

func TestTheLibrarysCodecsCopyWhatTheirInnerCodecsCopy(t *testing.T) {
	copies := func(c cache.Codec) bool {
		promise, ok := c.(cache.CodecCopies)
		return ok && promise.CopiesData()
	}
	ring := cache.KeyRing{Current: "k", Keys: map[string][]byte{"k": make([]byte, 32)}}
	assert.True(t, copies(cache.JSON))
	assert.True(t, copies(cache.Compressed(cache.JSON, cache.CompressOptions{})))
	assert.True(t, copies(cache.Encrypted(cache.JSON, ring)))
	assert.True(t, copies(cache.Compressed(cache.Encrypted(cache.JSON, ring), cache.CompressOptions{})), "though New refuses it")
	assert.False(t, copies(lending{}))
	assert.False(t, copies(cache.Compressed(lending{}, cache.CompressOptions{})))
	assert.True(t, copies(cache.Encrypted(lending{}, ring)), "which is given what was decrypted, not the data")
}
