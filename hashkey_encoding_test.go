package cache_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache"
)

// hashDecode takes an encoding apart again, knowing nothing of the encoder but
// the format: letter, 8 bytes of length, that many bytes. Because it exists,
// no two lists of (normalized) parts have one encoding.
func hashDecode(t require.TestingT, b []byte) []any {
	parts := []any{}
	for len(b) > 0 {
		require.GreaterOrEqual(t, len(b), 9)
		n := binary.BigEndian.Uint64(b[1:9])
		require.LessOrEqual(t, n, uint64(len(b)-9))
		parts = append(parts, hashDecodePart(t, b[0], b[9:9+n]))
		b = b[9+n:]
	}
	return parts
}

// Maps and structs are decoded to types of their own, so that neither equals a
// list.
type (
	hashedMap    []any // key, value, key, value, …
	hashedStruct []any // name, value, …
)

func hashDecodePart(t require.TestingT, letter byte, body []byte) any {
	switch letter {
	case 's':
		return string(body)
	case 'x':
		return slices.Clone(body)
	case 'b':
		return body[0] == 1
	case 'i':
		return int64(binary.BigEndian.Uint64(body))
	case 'u':
		return binary.BigEndian.Uint64(body)
	case 'f':
		return math.Float64frombits(binary.BigEndian.Uint64(body))
	case 't':
		return time.Unix(int64(binary.BigEndian.Uint64(body)), int64(binary.BigEndian.Uint32(body[8:]))).UTC()
	case 'l':
		return hashDecode(t, body)
	case 'm':
		return hashedMap(hashDecode(t, body))
	case 'r':
		return hashedStruct(hashDecode(t, body))
	case 'n':
		require.Empty(t, body)
		return nil
	}
	require.Fail(t, "unknown letter", "%q", letter)
	return nil
}

// hashPair is a struct as the generator draws it.
type hashPair struct{ Left, Right any }

// hashValue draws a value as a caller may pass it. Strings and bytes are drawn
// from the format's own alphabet too, so that a body may look like a part.
func hashValue(depth int) *rapid.Generator[any] {
	tricky := rapid.SampledFrom([]string{
		"", "s", "l", "n\x00\x00\x00\x00\x00\x00\x00\x00", "s\x00\x00\x00\x00\x00\x00\x00\x01a",
	})
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.String().AsAny(), tricky.AsAny(),
		rapid.Map(rapid.OneOf(rapid.String(), tricky), func(s string) any { return []byte(s) }),
		rapid.Bool().AsAny(),
		rapid.Int64().AsAny(), rapid.Int8().AsAny(), rapid.Uint64().AsAny(), rapid.Byte().AsAny(),
		rapid.Float64().AsAny(), rapid.Float32().AsAny(),
		rapid.Custom(func(t *rapid.T) any {
			return time.Unix(rapid.Int64Range(-1e12, 1e12).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		}),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := hashValue(depth - 1)
	return rapid.OneOf(append(leaves,
		rapid.SliceOfN(inner, 0, 3).AsAny(),
		rapid.MapOfN(rapid.String(), inner, 0, 3).AsAny(),
		rapid.Custom(func(t *rapid.T) any { return hashPair{inner.Draw(t, "left"), inner.Draw(t, "right")} }),
		rapid.Map(inner, func(v any) any { return &v }),
	)...)
}

// hashNormal is what a value means to HashKey: widths, locations and pointers
// gone, maps in order.
func hashNormal(v any) any {
	switch v := v.(type) {
	case int8:
		return int64(v)
	case byte:
		return uint64(v)
	case float32:
		return hashNormal(float64(v))
	case float64:
		return v + 0 // -0 + 0 is 0.
	case time.Time:
		return v.UTC()
	case *any:
		return hashNormal(*v)
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, hashNormal(e))
		}
		return list
	case map[string]any:
		return hashNormalMap(v)
	case hashPair:
		return hashedStruct{"Left", hashNormal(v.Left), "Right", hashNormal(v.Right)}
	default:
		return v
	}
}

// hashNormalMap sorts keys as the encoding does: by length, then by bytes,
// since the length comes first.
func hashNormalMap(m map[string]any) hashedMap {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return slices.Compare([]byte(a), []byte(b))
	})
	out := hashedMap{}
	for _, k := range keys {
		out = append(out, k, hashNormal(m[k]))
	}
	return out
}

// What is hashed can be decoded to what was meant, so parts that mean different
// things are never hashed from the same bytes.
func TestHashKeyEncodingIsInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(hashValue(3), 0, 4).Draw(t, "parts")
		want := []any{}
		for _, p := range parts {
			want = append(want, hashNormal(p))
		}
		require.Equal(t, want, hashDecode(t, cache.AppendHashParts(nil, parts)))
	})
}

// FuzzHashKey holds the key to: equal if and only if the parts are.
func FuzzHashKey(f *testing.F) {
	f.Add("a", "bc", int64(1), "ab", "c", int64(1))
	f.Add("", "", int64(0), "", "", int64(0))
	f.Add("s\x00\x00\x00\x00\x00\x00\x00\x01a", "", int64(-1), "s", "a", int64(-1))
	f.Fuzz(func(t *testing.T, a, b string, n int64, c, d string, m int64) {
		same := a == c && b == d && n == m
		forms := [][2][]any{
			{{a, b, n}, {c, d, m}},
			{{[]string{a, b}, n}, {[]string{c, d}, m}},
			{{[]byte(a), []byte(b), uint64(n)}, {[]byte(c), []byte(d), uint64(m)}},
			{{hashPair{a, hashPair{b, n}}}, {hashPair{c, hashPair{d, m}}}},
			{{map[any]any{1: a, 2: b, 3: n}}, {map[any]any{1: c, 2: d, 3: m}}},
		}
		seen := map[string]bool{}
		for _, form := range forms {
			left, right := cache.HashKey(form[0]...), cache.HashKey(form[1]...)
			if (left == right) != same {
				t.Fatalf("HashKey(%q) == HashKey(%q) is %v", form[0], form[1], left == right)
			}
			if seen[left] {
				t.Fatalf("HashKey(%q) equals that of another form", form[0])
			}
			seen[left] = true
		}
	})
}
