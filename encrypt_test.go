package cache_test

import (
	"bytes"
	"encoding/hex"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache"
)

// ring is a key ring of the ids, the first of which is current. The key of an
// id is the same in all rings.
func ring(ids ...string) cache.KeyRing {
	keys := cache.KeyRing{Current: ids[0], Keys: map[string][]byte{}}
	for _, id := range ids {
		keys.Keys[id] = bytes.Repeat([]byte{id[0]}, 32)
	}
	return keys
}

// withKey is a ring with one key more, or with another key for an id.
func withKey(keys cache.KeyRing, id string, key []byte) cache.KeyRing {
	keys.Keys = maps.Clone(keys.Keys)
	keys.Keys[id] = key
	return keys
}

func encrypts(c cache.Codec, keys cache.KeyRing) cache.EntryCodec {
	return cache.Encrypted(c, keys).(cache.EntryCodec)
}

func sealed(t require.TestingT, c cache.EntryCodec, entry string, v any) []byte {
	data, err := c.AppendEntry(nil, entry, v)
	require.NoError(t, err)
	return data
}

func TestEncryptedReturnsAnyValueToItsEntryOnly(t *testing.T) {
	anything := rapid.StringOf(rapid.Rune())
	rapid.Check(t, func(t *rapid.T) {
		c := encrypts(verbatim{}, ring("a", "b"))
		value := rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		entry, other := anything.Draw(t, "entry"), anything.Draw(t, "other")
		before := rapid.SliceOf(rapid.Byte()).Draw(t, "before")
		data, err := c.AppendEntry(bytes.Clone(before), entry, value)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(data, before))
		data = data[len(before):]
		require.Len(t, data, len(value)+30+len("a"), "what it costs")
		var got []byte
		require.NoError(t, c.DecodeEntry(data, entry, &got))
		require.True(t, bytes.Equal(value, got))
		require.Equal(t, entry == other, c.DecodeEntry(data, other, &got) == nil)
	})
}

func TestEncryptedHidesTheValueAndRepeatsNothing(t *testing.T) {
	c := encrypts(cache.JSON, ring("key of May"))
	one, two := sealed(t, c, "e", "a secret of the house"), sealed(t, c, "e", "a secret of the house")
	assert.NotContains(t, string(one), "secret")
	assert.Equal(t, "\x01\x0akey of May", string(one[:12]), "version, length of the id, id")
	assert.NotEqual(t, one[12:24], two[12:24], "the nonces")
	assert.NotEqual(t, one[24:40], two[24:40], "the ciphertexts")
}

func TestEncryptedWithoutAnEntryIsThatOfTheEmptyOne(t *testing.T) {
	c := encrypts(cache.JSON, ring("a"))
	var got string
	require.NoError(t, c.DecodeEntry(encoded(t, c, "v"), "", &got))
	assert.Equal(t, "v", got)
	got = ""
	require.NoError(t, c.Decode(sealed(t, c, "", "v"), &got))
	assert.Equal(t, "v", got)
	assert.Error(t, c.Decode(sealed(t, c, "users:42", "v"), &got))
}

// A value of the first version, made once: it must stay readable.
const frozenSecret = "0101613585d893f2f854eec05aea1df49119652f761ad7666d59c0ab4e3467c4b87fa22d"

func TestTheEncryptedFormatIsFrozen(t *testing.T) {
	data, err := hex.DecodeString(frozenSecret)
	require.NoError(t, err)
	var got string
	require.NoError(t, encrypts(cache.JSON, ring("a")).DecodeEntry(data, "users:42", &got))
	assert.Equal(t, "Ada", got)
}

func TestEncryptedRefusesWhatIsNotItsOwn(t *testing.T) {
	c := encrypts(verbatim{}, ring("a", "b"))
	data := sealed(t, c, "users:1", []byte("value"))
	longID := strings.Repeat("k", 255)
	long := cache.KeyRing{Current: longID, Keys: map[string][]byte{longID: make([]byte, 32)}}
	tests := []struct {
		name, want string
		codec      cache.EntryCodec
		data       []byte
		entry      string
	}{
		{"the entry of another key", "does not decrypt", c, data, "users:2"},
		{"the entry of another cache", "does not decrypt", c, data, "user:s1"},
		{"no entry", "does not decrypt", c, data, ""},
		{"another key of the same id", "does not decrypt", encrypts(verbatim{}, withKey(ring("a"), "a", make([]byte, 32))), data, "users:1"},
		{"a key that is not in the ring", `not in the key ring: "a"`, encrypts(verbatim{}, ring("b")), data, "users:1"},
		{"another inner codec", "does not decrypt", encrypts(tagged{verbatim{}, 21}, ring("a")), data, "users:1"},
		{"an inner codec without an id", "does not decrypt", encrypts(nameless{verbatim{}}, ring("a")), data, "users:1"},
		{"the id of another key of the ring", "does not decrypt", c, bytes.Replace(data, []byte("a"), []byte("b"), 1), "users:1"},
		{"another id of the same key", "does not decrypt", encrypts(verbatim{}, withKey(ring("a"), "b", ring("a").Keys["a"])), bytes.Replace(data, []byte("a"), []byte("b"), 1), "users:1"},
		{"a newer version", "not an encrypted value", c, append([]byte{2}, data[1:]...), "users:1"},
		{"a byte more", "does not decrypt", c, append(bytes.Clone(data), 0), "users:1"},
		{"a long id and nothing behind it", "does not decrypt", encrypts(verbatim{}, long), append([]byte{1, 255}, longID...), "users:1"},
		{"an id longer than the data", "not an encrypted value", c, []byte{1, 255, 'a'}, "users:1"},
		{"an empty id", "not in the key ring", c, append([]byte{1, 0}, data[3:]...), "users:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []byte
			assert.ErrorContains(t, test.codec.DecodeEntry(test.data, test.entry, &got), test.want)
			assert.Nil(t, got)
		})
	}
	var got []byte
	require.NoError(t, c.DecodeEntry(data, "users:1", &got), "the control")
	require.NoError(t, encrypts(verbatim{}, long).DecodeEntry(sealed(t, encrypts(verbatim{}, long), "e", []byte("v")), "e", &got), "the longest id")
}

func TestEncryptedRefusesEveryTruncationAndFlip(t *testing.T) {
	c := encrypts(verbatim{}, ring("a", "b"))
	data := sealed(t, c, "users:1", []byte("value"))
	var got []byte
	for i := range data {
		assert.Error(t, c.DecodeEntry(data[:i:i], "users:1", &got), "%d bytes of %d", i, len(data))
		for bit := range 8 {
			flipped := bytes.Clone(data)
			flipped[i] ^= 1 << bit
			assert.Error(t, c.DecodeEntry(flipped, "users:1", &got), "bit %d of byte %d", bit, i)
		}
	}
	assert.Nil(t, got)
}

func TestAnyKeyOfTheRingDecryptsAndTheCurrentOneEncrypts(t *testing.T) {
	before, during, after := encrypts(verbatim{}, ring("a", "b")), encrypts(verbatim{}, ring("b", "a")), encrypts(verbatim{}, ring("b"))
	old, renewed := sealed(t, before, "e", []byte("v")), sealed(t, during, "e", []byte("v"))
	var got []byte
	for name, c := range map[string]cache.EntryCodec{"before": before, "during": during} {
		assert.NoError(t, c.DecodeEntry(old, "e", &got), name)
		assert.NoError(t, c.DecodeEntry(renewed, "e", &got), name)
	}
	assert.NoError(t, after.DecodeEntry(renewed, "e", &got))
	assert.Error(t, after.DecodeEntry(old, "e", &got))
}

func TestTheKeyRingIsCopied(t *testing.T) {
	keys := ring("a")
	c := encrypts(verbatim{}, keys)
	data := sealed(t, c, "e", []byte("v"))
	clear(keys.Keys["a"])
	delete(keys.Keys, "a")
	var got []byte
	require.NoError(t, c.DecodeEntry(data, "e", &got))
	require.NoError(t, c.DecodeEntry(sealed(t, c, "e", []byte("v")), "e", &got))
}

func TestEncryptedPassesTheErrorsOfItsCodec(t *testing.T) {
	c := encrypts(halfway{cache.JSON}, ring("a"))
	out, err := c.AppendEntry([]byte("before"), "e", 1000)
	assert.ErrorContains(t, err, "above 100")
	assert.Equal(t, "before", string(out))
	var n int
	assert.Error(t, c.DecodeEntry(sealed(t, encrypts(halfway{cache.JSON}, ring("a")), "e", "text"), "e", &n), "the inner codec's")
}
