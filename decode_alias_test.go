package cache_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// doc keeps what it is decoded from, as some database types do, though the contract of
// json.Unmarshaler forbids it.
type doc []byte

func (d doc) MarshalJSON() ([]byte, error) { return []byte(cmp.Or(string(d), "null")), nil }

func (d *doc) UnmarshalJSON(data []byte) error {
	*d = data
	return nil
}

// word is doc by text.
type word struct{ text []byte }

func (w word) MarshalText() ([]byte, error) { return w.text, nil }

func (w *word) UnmarshalText(data []byte) error {
	w.text = data
	return nil
}

// Rows with such a type somewhere in them.
type (
	metaRow struct {
		ID   int
		Meta doc
	}
	deepMeta struct {
		Parts map[string][]*struct{ Word word }
		Next  *deepMeta
	}
	embeddedMeta struct{ metaRow }
)

// lending gives out the data itself, as encoders do that make strings without a copy.
type lending struct{}

func (lending) Append(dst []byte, v any) ([]byte, error) { return append(dst, v.([]byte)...), nil }

func (lending) Decode(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

// codecsOver are codecs of this package over inner, and inner itself.
func codecsOver(inner cache.Codec) map[string]cache.Codec {
	ring := cache.KeyRing{Current: "k", Keys: map[string][]byte{"k": make([]byte, 32)}}
	packed := cache.Compressed(inner, cache.CompressOptions{Above: 1})
	return map[string]cache.Codec{
		"bare": inner, "encrypted": cache.Encrypted(inner, ring), "compressed": packed,
		"left uncompressed":        cache.Compressed(inner, cache.CompressOptions{Above: 10_000}),
		"compressed and encrypted": cache.Encrypted(packed, ring),
	}
}

// No data of one key appears in the value of another, whatever keeps what it is decoded
// from: buffers of replies, and of layers, are used again for types and codecs that do not.
func TestADecodedValueIsNeverOverwrittenByAnother(t *testing.T) {
	rdb := redistest.Single(t).Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	text := func(owner int) string { return strings.Repeat(string(rune('a'+owner)), 300) }
	for name, codec := range codecsOver(cache.JSON) {
		t.Run(name, func(t *testing.T) {
			t.Run("a field that keeps its JSON", func(t *testing.T) {
				staysAsItWas(t, rdb, codec, func(owner int) metaRow { return metaRow{owner, doc(fmt.Sprintf("%q", text(owner)))} })
			})
			t.Run("a part that keeps its text", func(t *testing.T) {
				staysAsItWas(t, rdb, codec, func(owner int) deepMeta {
					part := map[string][]*struct{ Word word }{"part": {{word{[]byte(text(owner))}}}}
					return deepMeta{Next: &deepMeta{Parts: part}}
				})
			})
			t.Run("an embedded struct with one that does", func(t *testing.T) {
				staysAsItWas(t, rdb, codec, func(owner int) embeddedMeta {
					return embeddedMeta{metaRow{owner, doc(fmt.Sprintf("%q", text(owner)))}}
				})
			})
			t.Run("the type itself", func(t *testing.T) {
				staysAsItWas(t, rdb, codec, func(owner int) doc { return doc(fmt.Sprintf("%q", text(owner))) })
			})
			t.Run("one that keeps nothing", func(t *testing.T) {
				staysAsItWas(t, rdb, codec, func(owner int) map[string]any {
					return map[string]any{"text": text(owner), "raw": []any{text(owner)}}
				})
			})
		})
	}
	for name, codec := range codecsOver(lending{}) {
		t.Run("a codec that lends its data, "+name, func(t *testing.T) {
			staysAsItWas(t, rdb, codec, func(owner int) []byte { return []byte(text(owner)) })
		})
	}
}

// staysAsItWas reads one key in each way, and then others in each, again and again: the
// first value must stay what it was.
func staysAsItWas[T any](t *testing.T, rdb redis.UniversalClient, codec cache.Codec, of func(owner int) T) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, rdb.FlushAll(ctx).Err())
	c := testkit.NewCache[T](t, rdb, cache.WithCodec(codec), cache.WithXFetch(0))
	_, err := c.Get(ctx, "asks for the time")
	require.ErrorIs(t, err, cache.ErrMiss)
	const owners = 6
	keys := make([]string, owners)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
		require.NoError(t, c.Set(ctx, keys[i], of(i)))
	}
	ways := waysToRead(t, c, keys)
	for _, first := range slices.Sorted(maps.Keys(ways)) {
		for round := range 3 { // a pool may forget a buffer at any time
			got := ways[first]()
			require.Equal(t, of(0), got, first)
			for second, read := range ways {
				read()
				require.Equal(t, of(0), got, "read by %s, and then others by %s, round %d", first, second, round)
			}
		}
	}
}

// waysToRead are ways to read all keys; each returns the value of the first.
func waysToRead[T any](t *testing.T, c *cache.Cache[T], keys []string) map[string]func() T {
	t.Helper()
	ctx := t.Context()
	oneByOne := func(read func(key string) (T, error)) func() T {
		return func() (first T) {
			for i, key := range keys {
				v, err := read(key)
				require.NoError(t, err)
				if i == 0 {
					first = v
				}
			}
			return first
		}
	}
	load := testkit.MustNotLoad[T](t)
	return map[string]func() T{
		"Get":       oneByOne(func(key string) (T, error) { return c.Get(ctx, key) }),
		"GetOrLoad": oneByOne(func(key string) (T, error) { return c.GetOrLoad(ctx, key, load) }),
		"GetMany": func() T {
			found, err := c.GetMany(ctx, keys)
			require.NoError(t, err)
			return found[keys[0]]
		},
		"many at once": func() T {
			var readers []<-chan testkit.Result[T]
			for _, key := range keys {
				readers = append(readers, testkit.Start(func() (T, error) { return c.Get(ctx, key) }))
			}
			for _, r := range readers[1:] {
				require.NoError(t, testkit.Soon(t, r, "a reader").Err)
			}
			return testkit.Soon(t, readers[0], "the first reader").V
		},
	}
}

func TestWhatWarmKeepsInTheL1IsNeverOverwrittenByAnother(t *testing.T) {
	for name, codec := range codecsOver(cache.JSON) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			rdb := redistest.Single(t).Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
			of := func(owner int) metaRow { return metaRow{owner, doc(strings.Repeat(fmt.Sprint(owner+1), 300))} }
			near := testkit.NewCache[metaRow](t, rdb, cache.WithCodec(codec), cache.WithXFetch(0), cache.WithL1(testkit.NewL1(t, rdb, cache.L1Options{TTL: time.Hour})))
			testkit.Nearby(t, near, "hears", testkit.Value(of(0)))
			other := testkit.NewCache[metaRow](t, rdb, cache.WithCodec(codec), cache.WithXFetch(0))
			const owners = 8
			keys := make([]string, owners)
			for i := range keys {
				keys[i] = fmt.Sprint(i)
				require.NoError(t, other.Set(ctx, keys[i], of(i)))
			}
			none := func(context.Context, []string) (map[string]metaRow, error) {
				return nil, errors.New("all of them are there")
			}
			report, err := near.Warm(ctx, slices.Values(keys), none, cache.WarmOptions{})
			require.NoError(t, err)
			require.Equal(t, owners, report.Skipped)
			for _, read := range waysToRead(t, other, keys) {
				read()
			}
			var got metaRow
			testkit.Eventually(t, func() bool { // the clear token is held for a second at a time
				_, _ = near.Get(ctx, "hears")
				hits := near.Stats().HitsL1
				got, err = near.Get(ctx, keys[0])
				return err == nil && near.Stats().HitsL1 == hits+1
			}, "a hit in the L1")
			assert.Equal(t, of(0), got)
		})
	}
}

// Known types keep nothing, so that their values cost no copy.
func TestTypesThatAreKnownToKeepNothingCostNoCopyOfTheData(t *testing.T) {
	type known struct {
		At    time.Time
		Raw   json.RawMessage
		Notes map[string]any
		Self  *known
		Skip  doc `json:"-"`
	}
	size := 100_000
	rdb := redistest.Single(t).Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	perHit := func(get func() error, set func() error) float64 {
		require.NoError(t, set())
		require.NoError(t, get())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			require.NoError(t, get())
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / 100
	}
	ctx := t.Context()
	raw := json.RawMessage(fmt.Sprintf("%q", strings.Repeat("r", size)))
	knows := testkit.NewCache[known](t, rdb, cache.WithXFetch(0))
	keeps := testkit.NewCache[metaRow](t, rdb, cache.WithXFetch(0))
	known0 := perHit(func() error { _, err := knows.Get(ctx, "known"); return err },
		func() error { return knows.Set(ctx, "known", known{Raw: raw}) })
	keeps0 := perHit(func() error { _, err := keeps.Get(ctx, "keeps"); return err },
		func() error { return keeps.Set(ctx, "keeps", metaRow{Meta: doc(raw)}) })
	t.Log("bytes a hit: known", known0, "foreign", keeps0)
	assert.InDelta(t, keeps0, known0, float64(size)/2, "each has one copy: RawMessage its own, doc the cache's")
}
