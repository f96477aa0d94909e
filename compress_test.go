package cache_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// verbatim is a codec of []byte whose encoding is the bytes themselves.
type verbatim struct{}

func (verbatim) CodecID() uint8 { return 20 }

func (verbatim) Append(dst []byte, v any) ([]byte, error) { return append(dst, v.([]byte)...), nil }

func (verbatim) Decode(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// noise does not compress.
func noise(size int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	data := make([]byte, size)
	_, _ = r.Read(data)
	return data
}

func encoded(t require.TestingT, c cache.Codec, v any) []byte {
	data, err := c.Append(nil, v)
	require.NoError(t, err)
	return data
}

func TestCompressedPacksWhatItMakesSmaller(t *testing.T) {
	letters := func(n int) []byte { return bytes.Repeat([]byte("a"), n) }
	tests := []struct {
		name   string
		o      cache.CompressOptions
		value  []byte
		packed bool
	}{
		{"nothing", cache.CompressOptions{}, nil, false},
		{"a value of the default threshold is left alone", cache.CompressOptions{}, letters(1024), false},
		{"a byte more is packed", cache.CompressOptions{}, letters(1025), true},
		{"the threshold is the caller's", cache.CompressOptions{Above: 100}, letters(101), true},
		{"a value at it is left alone", cache.CompressOptions{Above: 101}, letters(101), false},
		{"noise is left alone", cache.CompressOptions{}, noise(100 << 10), false},
		{"noise with some sense in it is packed", cache.CompressOptions{}, append(noise(1024), letters(4096)...), true},
		{"a value of the bound is packed", cache.CompressOptions{MaxDecoded: 4096}, letters(4096), true},
		{"what could not be read again is left alone", cache.CompressOptions{MaxDecoded: 4096}, letters(4097), false},
		{"a value above the default bound, too", cache.CompressOptions{}, letters(16<<20 + 1), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := cache.Compressed(verbatim{}, test.o)
			data, err := c.Append([]byte("before"), test.value)
			require.NoError(t, err)
			require.Equal(t, "before", string(data[:6]), "it appends")
			data = data[6:]
			assert.Equal(t, test.packed, data[0] == 1)
			assert.EqualValues(t, 20, data[1], "the id of the inner codec")
			if test.packed {
				assert.Less(t, len(data), len(test.value))
			} else {
				assert.Equal(t, string(test.value), string(data[2:]))
			}
			var got []byte
			require.NoError(t, c.Decode(data, &got))
			assert.True(t, bytes.Equal(test.value, got))
		})
	}
}

// The formats are frozen: programs of different versions share them.
func TestTheCompressedFormatIsFrozen(t *testing.T) {
	c := cache.Compressed(cache.JSON, cache.CompressOptions{Above: 1})
	for name, payload := range map[string]string{
		"plain":    "\x00\x01\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
		"S2 block": "\x01\x01\"\x04\"az\x01\x00\x00\"",
	} {
		var got string
		if assert.NoError(t, c.Decode([]byte(payload), &got), name) {
			assert.Equal(t, strings.Repeat("a", 32), got, name)
		}
	}
}

func TestCompressedReturnsAnyValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := cache.Compressed(verbatim{}, cache.CompressOptions{
			Above:      rapid.IntRange(0, 300).Draw(t, "above"),
			MaxDecoded: rapid.IntRange(0, 3000).Draw(t, "max decoded"),
		})
		piece := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "piece")
		value := bytes.Repeat(piece, rapid.IntRange(0, 20).Draw(t, "times"))
		before := rapid.SliceOf(rapid.Byte()).Draw(t, "before")
		data, err := c.Append(bytes.Clone(before), value)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(data, before))
		data = data[len(before):]
		require.LessOrEqual(t, len(data), len(value)+2, "never larger")
		var got []byte
		require.NoError(t, c.Decode(data, &got))
		require.True(t, bytes.Equal(value, got))
	})
}

// block is an S2 payload of verbatim that claims a size.
func block(claimed uint64, value []byte) []byte {
	data := s2.EncodeBetter(nil, value)
	_, n := binary.Uvarint(data)
	return append(binary.AppendUvarint([]byte{1, 20}, claimed), data[n:]...)
}

func TestCompressedRefusesWhatItDidNotMake(t *testing.T) {
	letters := bytes.Repeat([]byte("a"), 5000)
	tests := []struct {
		name    string
		payload []byte
	}{
		{"nothing", nil},
		{"one byte", []byte{0}},
		{"an unknown packing", []byte{2, 20, 'a'}},
		{"another inner codec", []byte{0, 21, 'a'}},
		{"a block without a size", []byte{1, 20}},
		{"a size without an end", []byte{1, 20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{"a bomb", block(64<<20, make([]byte, 64<<20))},
		{"a bomb that says less", block(100, make([]byte, 64<<20))},
		{"a bomb that says a bit less", block(64<<10, make([]byte, 64<<20))},
		{"a claim of 4 GiB with nothing behind it", block(1<<32-1, letters)},
		{"a claim of a byte more", block(5001, letters)},
		{"a claim of a byte less", block(4999, letters)},
		{"a claim of the bound", block(64<<10, letters)},
	}
	c := cache.Compressed(verbatim{}, cache.CompressOptions{MaxDecoded: 64 << 10})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := allocated()
			var got []byte
			err := c.Decode(test.payload, &got)
			took := allocated() - before
			assert.Error(t, err)
			assert.Nil(t, got)
			assert.Less(t, took, uint64(1<<20), "bytes of memory")
		})
	}
	var got []byte
	require.NoError(t, c.Decode(block(5000, letters), &got), "the control")
	assert.Equal(t, letters, got)
}

func TestCompressedRefusesATruncatedPayload(t *testing.T) {
	c := cache.Compressed(cache.JSON, cache.CompressOptions{Above: 100})
	for _, value := range []string{"short", strings.Repeat("a value that repeats, ", 20)} {
		data := encoded(t, c, value)
		for i := range data {
			var got string
			assert.Error(t, c.Decode(data[:i:i], &got), "%d of %d bytes", i, len(data))
		}
	}
}

func TestCompressedPassesTheErrorsOfItsCodec(t *testing.T) {
	c := cache.Compressed(halfway{cache.JSON}, cache.CompressOptions{})
	out, err := c.Append([]byte("before"), 1000)
	assert.ErrorContains(t, err, "above 100")
	assert.Equal(t, "before", string(out))
	var n int
	assert.ErrorContains(t, c.Decode(encoded(t, cache.Compressed(verbatim{}, cache.CompressOptions{}), []byte(`5`)), &n), "not a compressed value")
	assert.Error(t, c.Decode([]byte("\x00\x00{"), &n))
	require.NoError(t, c.Decode([]byte("\x00\x005"), &n))
	assert.Equal(t, 5, n)
}

// thief returns the value's own bytes, which Append must not.
type thief struct{ verbatim }

func (thief) Append(_ []byte, v any) ([]byte, error) { return v.([]byte), nil }

func TestLayersDoNotKeepTheBytesOfACodecThatDoesNotAppend(t *testing.T) {
	for name, c := range map[string]cache.Codec{
		"Compressed": cache.Compressed(thief{}, cache.CompressOptions{}),
		"Encrypted":  cache.Encrypted(thief{}, ring("a")),
	} {
		_, err := c.Append(nil, []byte{})
		assert.Error(t, err, name)
	}
}

func TestLayersServeConcurrentCallers(t *testing.T) {
	for name, c := range layered(verbatim{}) {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for worker := range 8 {
				all.Go(func() {
					value := bytes.Repeat([]byte(fmt.Sprint("of worker ", worker)), 100+50*worker)
					for range 100 {
						data, err := c.Append(nil, value)
						var got []byte
						if err := errors.Join(err, c.Decode(data, &got)); err != nil || !bytes.Equal(value, got) {
							t.Errorf("worker %d got another value, or %v", worker, err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// layered is c in each of the layers.
func layered(c cache.Codec) map[string]cache.Codec {
	packed := cache.Compressed(c, cache.CompressOptions{})
	return map[string]cache.Codec{
		"Compressed":            packed,
		"Encrypted":             cache.Encrypted(c, ring("a")),
		"Encrypted(Compressed)": cache.Encrypted(packed, ring("a")),
	}
}

// A value passes through layers in buffers that are used again, but on its way back if
// nobody knows whether the inner codec's values refer to them.
func TestLayersAllocateOnlyWhatTheyReturn(t *testing.T) {
	data := bytes.Repeat([]byte("a value that repeats, "), 500)
	room := make([]byte, 0, 1<<20)
	var value any = data
	for name, c := range layered(verbatim{}) {
		payload := encoded(t, c, value)
		layers := strings.Count(name, "Encrypted") + strings.Count(name, "Compressed")
		var got []byte
		assert.LessOrEqual(t, testing.AllocsPerRun(testkit.AllocRuns, func() {
			if _, err := c.Append(room, value); err != nil {
				t.Error(err)
			}
		}), float64(testkit.PoolSlack), "%s: Append", name)
		assert.LessOrEqual(t, testing.AllocsPerRun(testkit.AllocRuns, func() {
			if err := c.Decode(payload, &got); err != nil {
				t.Error(err)
			}
		}), float64(1+layers+testkit.PoolSlack), "%s: Decode, of which verbatim allocates one", name)
	}
}

// articles is JSON as services cache it: equal names, various values.
func articles(size int) string {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("oak steel chair table lamp round soft large garden kitchen set cover pump valve filter hose")
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, `{"id":"%016x","title":"%s %s of %s","price":%d.%02d,"tags":["%s"],"stock":%d},`, r.Uint64(), words[r.IntN(16)],
			words[r.IntN(16)], words[r.IntN(16)], r.IntN(1000), r.IntN(100), words[r.IntN(16)], r.IntN(1e6))
	}
	return b.String()
}

func BenchmarkCompressed(b *testing.B) {
	for _, size := range []int{1, 16, 100} {
		article := articles(size << 10)
		c := cache.Compressed(verbatim{}, cache.CompressOptions{Above: 1})
		var value any = []byte(article)
		payload := encoded(b, c, value)
		room := make([]byte, 0, len(article)+1024)
		b.Run(fmt.Sprintf("Append/%dKiB", size), func(b *testing.B) {
			b.SetBytes(int64(len(article)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Append(room, value)
			}
		})
		b.Run(fmt.Sprintf("Decode/%dKiB", size), func(b *testing.B) {
			b.SetBytes(int64(len(article)))
			b.ReportAllocs()
			var got []byte
			for b.Loop() {
				_ = c.Decode(payload, &got)
			}
		})
	}
}

func TestNewRefusesBadLayers(t *testing.T) {
	none := cache.CompressOptions{}
	tests := []struct {
		name, want string
		codec      cache.Codec
	}{
		{"a negative threshold", "CompressOptions.Above: -1 is negative", cache.Compressed(cache.JSON, cache.CompressOptions{Above: -1})},
		{"a negative bound", "CompressOptions.MaxDecoded: -2 is negative", cache.Compressed(cache.JSON, cache.CompressOptions{MaxDecoded: -2})},
		{"both at once", "MaxDecoded", cache.Compressed(cache.JSON, cache.CompressOptions{Above: -1, MaxDecoded: -1})},
		{"compression of nothing", "Compressed: codec is nil", cache.Compressed(nil, none)},
		{"compression twice", "compress once", cache.Compressed(cache.Compressed(cache.JSON, none), none)},
		{"compression over an EntryCodec twice", "compress once", cache.Compressed(cache.Compressed(&signed{}, none), none)},
		{"the wrong order", "use Encrypted(Compressed(…), …)", cache.Compressed(cache.Encrypted(cache.JSON, ring("a")), none)},
		{"the wrong order inside", "use Encrypted(Compressed(…), …)", cache.Encrypted(cache.Compressed(cache.Encrypted(cache.JSON, ring("a")), none), ring("a"))},
		{"encryption of nothing", "Encrypted: codec is nil", cache.Encrypted(nil, ring("a"))},
		{"encryption twice", "encrypt once", cache.Encrypted(cache.Encrypted(cache.JSON, ring("a")), ring("a"))},
		{"a bad option inside", "CompressOptions.Above: -1", cache.Encrypted(cache.Compressed(cache.JSON, cache.CompressOptions{Above: -1}), ring("a"))},
		{"no key ring", `KeyRing.Current: "" is not in Keys`, cache.Encrypted(cache.JSON, cache.KeyRing{})},
		{"a current key that is not there", `KeyRing.Current: "b" is not in Keys`, cache.Encrypted(cache.JSON, cache.KeyRing{Current: "b", Keys: ring("a").Keys})},
		{"a short key", `KeyRing.Keys: the key "k" has 31 bytes, not 32`, cache.Encrypted(cache.JSON, cache.KeyRing{Current: "k", Keys: map[string][]byte{"k": make([]byte, 31)}})},
		{"a short key that is not current", `KeyRing.Keys: the key "k" has 16 bytes, not 32`, cache.Encrypted(cache.JSON, withKey(ring("a"), "k", make([]byte, 16)))},
		{"an empty key id", "a key id has 1 to 255 bytes, not 0", cache.Encrypted(cache.JSON, withKey(ring("a"), "", make([]byte, 32)))},
		{"a long key id", "a key id has 1 to 255 bytes, not 256", cache.Encrypted(cache.JSON, withKey(ring("a"), strings.Repeat("k", 256), make([]byte, 32)))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := cache.New(cachetest.Redis(t), "test", cache.Aside[string](), cache.WithCodec(test.codec), cache.WithXFetch(-1))
			require.ErrorContains(t, err, "WithCodec: ")
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, "WithXFetch", "reported with the others")
			_, err = test.codec.Append(nil, "v")
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, test.codec.Decode([]byte("v"), new(string)), test.want)
		})
	}
}
