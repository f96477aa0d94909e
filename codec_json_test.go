package cache_test

import (
	"encoding/json"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache"
)

// jsonInner is embedded, and jsonShouter writes and reads itself.
type (
	jsonInner struct {
		Deep  *jsonInner     `json:"deep,omitempty"`
		Words []string       `json:"words"`
		Sizes map[string]int `json:"sizes"`
	}
	jsonShouter string
	jsonKey     struct{ a, b string }
	jsonMood    int
)

func (s jsonShouter) MarshalJSON() ([]byte, error) { return json.Marshal(strings.ToUpper(string(s))) }

func (s *jsonShouter) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*s = jsonShouter(strings.ToLower(text))
	return nil
}

func (k jsonKey) MarshalText() ([]byte, error) { return []byte(k.a + "|" + k.b), nil }

func (k *jsonKey) UnmarshalText(text []byte) error {
	k.a, k.b, _ = strings.Cut(string(text), "|")
	return nil
}

// jsonZoo has a field of each kind that encoding/json knows.
type jsonZoo struct {
	jsonInner
	Bool     bool
	Int8     int8
	Int64    int64 `json:"int64,string"`
	Uint64   uint64
	Float32  float32
	Float64  float64 `json:",omitempty"`
	Text     string  `json:"text"`
	Quoted   string  `json:"quoted,string"`
	Hidden   string  `json:"-"`
	Bytes    []byte
	Array    [3]int16
	Points   []*float64
	Maybe    *string
	Any      any
	Anys     []any
	ByName   map[string]any
	ByInt    map[int32]string
	ByText   map[jsonKey]bool
	Raw      json.RawMessage
	Number   json.Number
	When     time.Time
	For      time.Duration
	Big      *big.Int
	Addr     netip.Addr
	Shouter  jsonShouter
	Mood     jsonMood
	Nested   []jsonInner
	Matrix   [][]uint8
	Function *struct{ X, Y int } `json:"fn"`
}

// jsonText draws strings, also such as JSON must escape and such as are no UTF-8.
func jsonText(t *rapid.T, name string) string {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"", "null", "\"", "\\", "\x00", "<a&b>", "\u2028", "é", "日本", "😀", "\xff\xfe", "\xed\xa0\x80", strings.Repeat("x", 300)}),
	).Draw(t, name)
}

// jsonAny draws what an interface may hold.
func jsonAny(t *rapid.T, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "any bool")
	case 2:
		return rapid.Float64Range(-1e300, 1e300).Draw(t, "any float")
	case 3:
		return float64(rapid.Int64().Draw(t, "any int"))
	case 4:
		return jsonText(t, "any text")
	case 5:
		all := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range all {
			all[i] = jsonAny(t, depth-1)
		}
		return all
	}
	all := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "entries") {
		all[jsonText(t, "key")] = jsonAny(t, depth-1)
	}
	return all
}

// drawZoo draws a value with every field set to something.
func drawZoo(t *rapid.T) jsonZoo {
	inner := func() jsonInner {
		return jsonInner{
			Words: rapid.SampledFrom([][]string{nil, {}, {"a", ""}}).Draw(t, "words"),
			Sizes: rapid.SampledFrom([]map[string]int{nil, {}, {"a": 1, "": -2}}).Draw(t, "sizes"),
		}
	}
	z := jsonZoo{
		jsonInner: inner(),
		Bool:      rapid.Bool().Draw(t, "bool"), Int8: rapid.Int8().Draw(t, "int8"), Int64: rapid.Int64().Draw(t, "int64"),
		Uint64: rapid.Uint64().Draw(t, "uint64"), Float32: rapid.Float32().Draw(t, "float32"), Float64: rapid.Float64().Draw(t, "float64"),
		Text: jsonText(t, "text"), Quoted: jsonText(t, "quoted"),
		Bytes:  rapid.SampledFrom([][]byte{nil, {}, {0, 1, 255}}).Draw(t, "bytes"),
		Array:  [3]int16{rapid.Int16().Draw(t, "array")},
		Any:    jsonAny(t, 2),
		Anys:   []any{jsonAny(t, 1), jsonAny(t, 0)},
		ByName: map[string]any{jsonText(t, "name"): jsonAny(t, 1)},
		ByInt:  map[int32]string{rapid.Int32().Draw(t, "by int"): jsonText(t, "of int")},
		ByText: map[jsonKey]bool{{a: "x", b: "y z"}: true},
		Raw:    rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`null`), json.RawMessage(`{"a": [1, 2 ]}`)}).Draw(t, "raw"),
		Number: rapid.SampledFrom([]json.Number{"", "0", "-1.5e10", "12345678901234567890"}).Draw(t, "number"),
		When:   time.Unix(rapid.Int64Range(-6e10, 2e11).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanos")).UTC(),
		For:    time.Duration(rapid.Int64().Draw(t, "for")),
		Big:    big.NewInt(rapid.Int64().Draw(t, "big")),
		Addr:   netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 255).Draw(t, "addr"))}),
		// Lower case is what it reads back as.
		Shouter: "quiet", Mood: jsonMood(rapid.IntRange(-3, 3).Draw(t, "mood")),
		Nested: []jsonInner{inner(), {Deep: &jsonInner{Words: []string{"deep"}}}},
		Matrix: [][]uint8{{1, 2}, nil, {}},
	}
	if rapid.Bool().Draw(t, "pointers") {
		f, s := rapid.Float64().Draw(t, "point"), jsonText(t, "maybe")
		z.Points, z.Maybe, z.Function = []*float64{&f, nil}, &s, &struct{ X, Y int }{1, -1}
	}
	return z
}

// What JSON decodes is what encoding/json would have made of the same text.
func TestJSONReadsWhatEncodingJSONReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := drawZoo(t)
		data, err := cache.JSON.Append(nil, value)
		require.NoError(t, err)
		same(t, data, func() any { return new(jsonZoo) })
		same(t, data, func() any { return new(any) })
		same(t, data, func() any { return new(map[string]json.RawMessage) })
		same(t, data, func() any { return new(struct{ TEXT, Uint64, nothing any }) })
	})
}

// What JSON encodes are the bytes of json.Marshal, behind what was there.
func TestJSONWritesWhatEncodingJSONWrites(t *testing.T) {
	writes := func(t require.TestingT, value any) {
		want, wantErr := json.Marshal(value)
		for _, dst := range [][]byte{nil, []byte("before"), append(make([]byte, 0, 1<<16), "room"...)} {
			got, err := cache.JSON.Append(dst, value)
			assert.Equal(t, wantErr, err)
			assert.Equal(t, string(dst)+string(want), string(got))
		}
	}
	rapid.Check(t, func(t *rapid.T) { writes(t, drawZoo(t)) })
	for _, odd := range []any{
		nil, "", "\n", "<a href='x'>&\u2028</a>", math.NaN(), func() {},
		map[string]any{"late": math.Inf(1)},
		json.RawMessage(`{ "a" : [ 1 ] }`), json.RawMessage(`{`), new(jsonZoo),
	} {
		writes(t, odd)
	}
}

func TestAValueWhoseMethodPanicsSpoilsNoOther(t *testing.T) {
	assert.Panics(t, func() { _, _ = cache.JSON.Append([]byte("x"), []any{strings.Repeat("a", 100), jsonBomb{}}) })
	for range 10 {
		got, err := cache.JSON.Append([]byte("x"), 1)
		require.NoError(t, err)
		assert.Equal(t, "x1", string(got))
	}
}

// jsonBomb panics.
type jsonBomb struct{}

func (jsonBomb) MarshalJSON() ([]byte, error) { panic("no") }

// same compares the two decoders on data.
func same(t assert.TestingT, data []byte, target func() any) {
	want, got := target(), target()
	wantErr, gotErr := json.Unmarshal(data, want), cache.JSON.Decode(data, got)
	assert.Equal(t, wantErr, gotErr, "%s", data)
	if wantErr == nil {
		assert.True(t, reflect.DeepEqual(want, got), "%s\nwant %+v\ngot  %+v", data, want, got)
	}
}

// A user's own JSON, kept as any, may be nested as deep as encoding/json allows, and must
// not cost more than that takes.
func TestJSONReadsWhatIsNestedDeep(t *testing.T) {
	for _, depth := range []int{50, 150, 9_990, 10_010} {
		text := strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
		same(t, []byte(text), func() any { return new(map[string]any) })
		same(t, []byte(text), func() any { return new(any) })
	}
}

// FuzzJSON gives both decoders text that neither has written.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"text":"a","TEXT":"b","Any":{"x":[1,null,"\u00e9\ud83d\ude00"]}}`, `null`, `""`, `[]`, `{"words":null,"sizes":{"a":1}}`,
		`{"Array":[1,2,3,4],"Bytes":"AAH/","int64":"7","quoted":"\"q\"","When":"2026-01-02T03:04:05Z"}`,
		`{"Int8":300}`, `{"Float32":1e39}`, `{"Points":[1.5,null]}`, `{"Raw": {"a" : 1} }`, `{"deep":{"deep":null}}`, `{"Number":1.0e5}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, got := new(jsonZoo), new(jsonZoo)
		wantErr, gotErr := json.Unmarshal(data, want), cache.JSON.Decode(data, got)
		if wantErr != nil {
			return // what encoding/json refuses was not written by it
		}
		require.NoError(t, gotErr)
		require.True(t, reflect.DeepEqual(want, got), "want %+v\ngot  %+v", want, got)
	})
}
