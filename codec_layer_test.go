package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/testkit"
)

// nameless is a codec without an id.
type nameless struct{ cache.Codec }

// signed is an EntryCodec of the caller's: JSON behind the entry.
type signed struct{}

func (*signed) CodecID() uint8 { return 30 }

func (s *signed) Append(dst []byte, v any) ([]byte, error) { return s.AppendEntry(dst, "", v) }

func (s *signed) Decode(data []byte, v any) error { return s.DecodeEntry(data, "", v) }

func (s *signed) AppendEntry(dst []byte, entry string, v any) ([]byte, error) {
	return cache.JSON.Append(append(dst, entry+"|"...), v)
}

func (s *signed) DecodeEntry(data []byte, entry string, v any) error {
	rest, ok := strings.CutPrefix(string(data), entry+"|")
	if !ok {
		return errors.New("of another entry")
	}
	return cache.JSON.Decode([]byte(rest), v)
}

var (
	plainLayers = cache.CompressOptions{Above: 50}
	long        = strings.Repeat("long and dull, ", 20)
)

// The ids are in every entry: an edit here is a change of the wire format.
func TestTheIDsOfLayersAreFrozen(t *testing.T) {
	for _, test := range []struct {
		inner                          cache.Codec
		packed, encrypted, packedFirst uint8
	}{
		{cache.JSON, 2, 3, 4},
		{verbatim{}, 5, 6, 7},
		{tagged{cache.JSON, 255}, 5, 6, 7},
		{tagged{cache.JSON, 2}, 5, 6, 7},
		{&signed{}, 5, 6, 7},
		{nameless{cache.JSON}, 8, 9, 10},
	} {
		packed := cache.Compressed(test.inner, plainLayers)
		got := []any{id(packed), id(cache.Encrypted(test.inner, ring("a"))), id(cache.Encrypted(packed, ring("a")))}
		assert.Equal(t, []any{test.packed, test.encrypted, test.packedFirst}, got, "%T", test.inner)
	}
}

func id(c cache.Codec) uint8 { return c.(cache.CodecID).CodecID() }

// All the inner codecs encode as JSON, so that only ids tell them apart.
func TestOnlyTheSameCodecReadsAnEntry(t *testing.T) {
	rdb := cachetest.Redis(t)
	codecs := map[string]cache.Codec{}
	for name, inner := range map[string]cache.Codec{
		"JSON": cache.JSON, "no id": nameless{cache.JSON}, "id 40": tagged{cache.JSON, 40}, "id 41": tagged{cache.JSON, 41},
	} {
		codecs[name] = inner
		for layer, c := range layered(inner) {
			codecs[layer+" "+name] = c
		}
	}
	caches := map[string]*cache.Cache[string]{}
	for name, codec := range codecs {
		caches[name] = testkit.NewCache[string](t, rdb, cache.WithCodec(codec))
	}
	for _, value := range []string{"short", strings.Repeat(long, 10)} {
		for writer, from := range caches {
			require.NoError(t, from.Set(t.Context(), "k", value))
			for reader, to := range caches {
				got, err := to.Get(t.Context(), "k")
				if writer == reader {
					assert.NoError(t, err, writer)
					assert.Equal(t, value, got)
				} else {
					assert.ErrorIs(t, err, cache.ErrMiss, "%s reads what %s has written", reader, writer)
				}
			}
		}
	}
}

func TestCompressedPassesTheEntryOn(t *testing.T) {
	_, ok := cache.Compressed(cache.JSON, plainLayers).(cache.EntryCodec)
	assert.False(t, ok, "JSON does not need it, and it costs an allocation")
	for name, c := range map[string]cache.Codec{
		"Compressed":            cache.Compressed(&signed{}, plainLayers),
		"Encrypted":             cache.Encrypted(&signed{}, ring("a")),
		"Encrypted(Compressed)": cache.Encrypted(cache.Compressed(&signed{}, plainLayers), ring("a")),
	} {
		t.Run(name, func(t *testing.T) {
			c := c.(cache.EntryCodec)
			for _, value := range []string{"short", long} {
				var got string
				require.NoError(t, c.DecodeEntry(sealed(t, c, "users:1", value), "users:1", &got))
				assert.Equal(t, value, got)
				assert.Error(t, c.DecodeEntry(sealed(t, c, "users:1", value), "users:2", &got))
			}
		})
	}
	c := cache.Compressed(&signed{}, plainLayers).(cache.EntryCodec)
	assert.Equal(t, "\x00\x1eusers:1|5", string(sealed(t, c, "users:1", 5)))
}

// names are caches' names, and the entry that the key "k" has in them.
var names = map[string]string{"users": "users:k", "a b:c": "a%20b%3Ac:k", "{n}": "%7Bn%7D:k"}

func TestTheEntryIsTheNameAndTheKeyUnderAllStrategies(t *testing.T) {
	for name, entry := range names {
		for strategy, s := range map[string]cache.Strategy[string]{
			"Aside":        cache.Aside[string](),
			"WriteThrough": cache.WriteThrough[string](&shelf{}),
			"WriteBehind":  cache.WriteBehind[string](nil, cache.WriteBehindOptions{AcceptVolatile: testkit.VolatileIsFine}),
		} {
			t.Run(strategy+" "+name, func(t *testing.T) {
				rdb := cachetest.Redis(t)
				c, err := cache.New(rdb, name, s, testkit.Patient(), cache.WithCodec(&signed{}))
				require.NoError(t, err)
				defer c.Close()
				require.NoError(t, c.Set(t.Context(), "k", "v"))
				var found bool
				for _, redisKey := range rdb.Keys(t.Context(), "*k").Val() {
					found = found || strings.HasSuffix(rdb.Get(t.Context(), redisKey).Val(), entry+`|"v"`)
				}
				assert.True(t, found, "%v", rdb.Keys(t.Context(), "*").Val())
				testkit.Has(t, c, "k", "v")
			})
		}
	}
}

// shelf is a writer that takes everything.
type shelf struct{}

func (*shelf) Write(ctx context.Context, _ string, _ string) error { return nil }

func (*shelf) Delete(ctx context.Context, _ string) error { return nil }

// everyLayer is what services would use.
func everyLayer(keys cache.KeyRing) cache.Codec {
	return cache.Encrypted(cache.Compressed(cache.JSON, plainLayers), keys)
}

func TestLayersThroughLoadsAndHits(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[string](t, rdb, cache.WithCodec(everyLayer(ring("a"))))
		for key, v := range map[string]string{"empty": "", "short": "v", "long": long} {
			for range 2 {
				got, err := c.GetOrLoad(t.Context(), key, testkit.Value(v))
				require.NoError(t, err)
				assert.Equal(t, v, got)
			}
			testkit.Has(t, c, key, v)
		}
		s := c.Stats()
		assert.EqualValues(t, 3, s.Loads)
		assert.Zero(t, s.Corrupt)
		assert.NotContains(t, rdb.Get(t.Context(), "test:long").Val(), "dull")
		assert.Less(t, rdb.StrLen(t.Context(), "test:long").Val(), int64(len(long)))
	})
}

// The records have good checksums: what is tested is the codec, not the envelope.
func TestDamagedSecretsAreMissesThatHeal(t *testing.T) {
	rdb := cachetest.Redis(t)
	codec := everyLayer(ring("a")).(cache.EntryCodec)
	good := sealed(t, codec, testkit.RedisKey, long)
	for i := range good {
		damaged := []byte(string(good))
		damaged[i] ^= 0x10
		heals(t, rdb, fmt.Sprintf("byte %d", i), damaged)
	}
	heals(t, rdb, "cut", good[:len(good)-1])
	heals(t, rdb, "empty", nil)
	heals(t, rdb, "of another key", sealed(t, codec, "test:other", long))
	heals(t, rdb, "of another cache", sealed(t, codec, "tes:tk", long))
	heals(t, rdb, "under an unknown key", sealed(t, everyLayer(ring("b")).(cache.EntryCodec), testkit.RedisKey, long))
	wrong := withKey(ring("a"), "a", make([]byte, 32))
	heals(t, rdb, "under a wrong key", sealed(t, everyLayer(wrong).(cache.EntryCodec), testkit.RedisKey, long))
}

func heals(t *testing.T, rdb redis.UniversalClient, what string, payload []byte) {
	t.Helper()
	c := testkit.NewCache[string](t, rdb, cache.WithCodec(everyLayer(ring("a"))))
	testkit.Raw(t, rdb, envelope.Value, testkit.Body(func(b *envelope.Body) { b.Codec = 4 }), string(payload))
	_, err := c.Get(t.Context(), "k")
	assert.Equal(t, cache.ErrMiss, err, what)
	assert.EqualValues(t, 1, c.Stats().Corrupt, what)
	got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("loaded"))
	assert.NoError(t, err, what)
	assert.Equal(t, "loaded", got, what)
	testkit.Has(t, c, "k", "loaded", what)
	assert.EqualValues(t, 1, c.Stats().Loads, what)
}

func TestKeysRotateWhileTwoProcessesRun(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		process := func(keys cache.KeyRing) *cache.Cache[string] {
			return testkit.NewCache[string](t, rdb, cache.WithCodec(everyLayer(keys)))
		}
		old := process(ring("a", "b"))
		renewed := process(ring("b", "a"))
		require.NoError(t, old.Set(t.Context(), "k", long))
		testkit.Has(t, renewed, "k", long)
		require.NoError(t, renewed.Set(t.Context(), "k", "new"))
		testkit.Has(t, old, "k", "new")

		require.NoError(t, old.Set(t.Context(), "late", long))
		last := process(ring("b"))
		testkit.Has(t, last, "k", "new")
		got, err := last.GetOrLoad(t.Context(), "late", testkit.Value("loaded"))
		require.NoError(t, err, "a key that was taken away too early costs a load")
		assert.Equal(t, "loaded", got)
		assert.EqualValues(t, 1, last.Stats().Corrupt)
		testkit.Has(t, old, "late", "loaded")
	})
}

func TestARecordCopiedToAnotherKeyIsAMiss(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[string](t, rdb, cache.WithCodec(everyLayer(ring("a"))))
		require.NoError(t, c.Set(t.Context(), "mine", "of mine"))
		require.NoError(t, rdb.Copy(t.Context(), "test:mine", "test:yours", 0, true).Err())
		_, err := c.Get(t.Context(), "yours")
		assert.ErrorIs(t, err, cache.ErrMiss)
		assert.EqualValues(t, 1, c.Stats().Corrupt)
	})
}

// replacing does not append: it returns the encoding alone.
type replacing struct{ cache.Codec }

func (replacing) Append(_ []byte, v any) ([]byte, error) { return json.Marshal(v) }

// moody appends what is empty, and replaces by all else.
type moody struct{ cache.Codec }

func (m moody) Append(dst []byte, v any) ([]byte, error) {
	if v == "" {
		return m.Codec.Append(dst, v)
	}
	return json.Marshal(v)
}

// W6. A codec that does not append is refused by New; one that does not at times, by its
// value, which is counted.
func TestACodecThatDoesNotAppend(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for name, codec := range map[string]cache.Codec{
			"itself":    replacing{cache.JSON},
			"encrypted": cache.Encrypted(replacing{cache.JSON}, ring("a")),
		} {
			_, err := cache.New(rdb, "test", cache.Aside[string](), cache.WithCodec(codec))
			assert.ErrorContains(t, err, "did not append", name)
		}
		c := testkit.NewCache[string](t, rdb, cache.WithCodec(moody{cache.JSON}))
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("a value of some length, so that it would not fail by itself"))
		require.NoError(t, err)
		assert.Contains(t, got, "a value")
		assert.Error(t, c.Set(t.Context(), "k", "v"))
		assert.EqualValues(t, 2, c.Stats().Unencodable)
		behind := testkit.NewBehind(t, rdb, testkit.NewLedger(), cache.WriteBehindOptions{AcceptVolatile: "a test"}, cache.WithCodec(moody{cache.JSON}))
		assert.Error(t, behind.Set(t.Context(), "k", "v"), "nothing is acknowledged that was not stored")
	})
}

func TestNewRefusesACodecWithAnIDOfOurs(t *testing.T) {
	for id, ok := range map[uint8]bool{0: true, 1: false, 15: false, 16: true, 255: true} {
		_, err := cache.New(cachetest.Redis(t), "test", cache.Aside[string](), cache.WithCodec(tagged{cache.JSON, id}))
		assert.Equal(t, ok, err == nil, "%d: %v", id, err)
	}
}
