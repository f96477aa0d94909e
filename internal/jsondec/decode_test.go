package jsondec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/jsondec"
)

// agrees holds what Decode makes of data against encoding/json.
func agrees(t require.TestingT, data []byte, target func() any) (sure bool) {
	want, got := target(), target()
	sure = jsondec.Decode(data, got)
	if !sure {
		require.True(t, reflect.ValueOf(got).Elem().IsZero(), "%T is as it was: %+v", got, got)
		return false
	}
	require.NoError(t, json.Unmarshal(data, want), "%T from %q, of which it was sure", want, data)
	require.True(t, reflect.DeepEqual(want, got), "%q\nwant %+v\ngot  %+v", data, want, got)
	return true
}

func TestItReadsWhatEncodingJSONWrites(t *testing.T) {
	// encoding/json calls methods of unnamed types at the top only, and refuses to allocate
	// what it cannot name.
	never := map[string]bool{"promoted": true, "refused": true}
	for _, value := range values {
		data, err := json.Marshal(value)
		require.NoError(t, err)
		for name, target := range targets {
			sure := agrees(t, data, target)
			if reflect.TypeOf(value) == reflect.TypeOf(target()).Elem() {
				assert.Equal(t, !never[name], sure, "%s", data)
			}
		}
	}
}

// FuzzDecode: whatever the text, it is sure of nothing that encoding/json sees otherwise.
func FuzzDecode(f *testing.F) {
	for _, value := range values {
		data, err := json.Marshal(value)
		require.NoError(f, err)
		f.Add(data)
	}
	for _, odd := range odds {
		f.Add([]byte(odd.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, target := range targets {
			agrees(t, data, target)
		}
	})
}

// odds are texts that encoding/json reads or refuses by rules of its own.
var odds = []struct{ why, text string }{
	{"space", `{"text": "a"}`},
	{"the wrong case", `{"TEXT":"a"}`},
	{"a key that folds", "{\"Bool\":true,\"Int8\":1,\"te\u212at\":1,\"float\":1,\"\u017fhout\":1}"},
	{"twice", `{"text":"a","text":"b"}`},
	{"invalid UTF-8", "{\"text\":\"a\xff\"}"},
	{"half a pair", `{"text":"\ud83d"}`},
	{"the wrong half", `{"text":"\ude00\ud83d"}`},
	{"a pair that is none", `{"text":"\ud83d\u0041"}`},
	{"no such escape", `{"text":"\x41"}`},
	{"an escape cut short", `{"text":"\u00"}`},
	{"a tab", "{\"text\":\"\t\"}"},
	{"no end", `{"text":"a`},
	{"no end of an object", `{"text":"a"`},
	{"a comma too many", `{"text":"a",}`},
	{"no comma", `{"text":"a""Int":1}`},
	{"no colon", `{"text""a"}`},
	{"no key", `{1:2}`},
	{"a rest", `{"text":"a"}}`},
	{"too large", `{"Int8":128}`},
	{"much too large", `{"Int":1e400,"float":1e400}`},
	{"a fraction for a whole number", `{"Int":1.0}`},
	{"an exponent for a whole number", `{"Int":1e2}`},
	{"zero in front", `{"Int":01}`},
	{"no digit", `{"Int":-}`},
	{"no digit behind the point", `{"float":1.}`},
	{"no exponent", `{"float":1e}`},
	{"plus", `{"Int":+1}`},
	{"below zero", `{"Uint16":-1}`},
	{"a text for a number", `{"Int":"1"}`},
	{"a number for a text", `{"text":1}`},
	{"a text for a duration", `{"Span":"1h"}`},
	{"a number in quotes that is none", `{"Int":"null"}`},
	{"quotes where there are none", `{"Int":1,"uint":"1"}`},
	{"too many", `{"Array":[1,2,3,4]}`},
	{"too few", `{"Array":[1]}`},
	{"no comma in a list", `[1 2]`},
	{"no base64", `{"Bytes":"!"}`},
	{"bytes by number", `{"Bytes":[1,2]}`},
	{"a word", `nul`},
	{"another word", `trueish`},
	{"nothing", ``},
	{"a value for an interface", `{"Err":1}`},
	{"no time", `{"Time":"yesterday"}`},
	{"raw that is none", `{"Raw":{"a":[1,]}}`},
	{"a key too large", `{"Int":{"128":true}}`},
	{"what there is no field for", `{"text":"a","new":[{"a":"\u00e9\n"},1e5,true,false,null],"Int":7}`},
	{"what there is no field for, and is none", `{"new":[{"a":tru}],"Int":7}`},
	{"null everywhere", `{"Bool":null,"Int8":null,"Int":null,"Uint16":null,"Float32":null,"float":null,"text":null,"Bytes":null,"Time":null,"Raw":null,"Point":null,"Err":null}`},
}

func TestWhatIsOddIsReadAsEncodingJSONReadsItOrNotAtAll(t *testing.T) {
	for _, odd := range odds {
		t.Run(odd.why, func(t *testing.T) {
			for _, target := range targets {
				agrees(t, []byte(odd.text), target)
			}
		})
	}
}

func TestFieldsThatTheTypeDoesNotHaveAreSkipped(t *testing.T) {
	var v flat
	require.True(t, jsondec.Decode([]byte(`{"new":[{"a":"\u00e9\n"},1e5,true,false,null,{},[]],"text":"a","Int":7}`), &v))
	assert.Equal(t, flat{Text: "a", Int: 7}, v)
}

func TestAnotherOrderOfTheFieldsIsRead(t *testing.T) {
	var v flat
	require.True(t, jsondec.Decode([]byte(`{"Int":7,"text":"a","Bool":true}`), &v))
	assert.Equal(t, flat{Text: "a", Int: 7, Bool: true}, v)
}

// What is nested in a linear scan's reach is read in linear time, or left alone.
func TestDeepNestingIsLeftToEncodingJSON(t *testing.T) {
	nested := func(open, inside, end string, n int) []byte {
		return []byte(strings.Repeat(open, n) + inside + strings.Repeat(end, n))
	}
	forms := map[string]func(n int) []byte{
		"objects":         func(n int) []byte { return nested(`{"a":`, "1", "}", n) },
		"lists":           func(n int) []byte { return nested("[", "", "]", n) },
		"a linked struct": func(n int) []byte { return nested(`{"name":"","next":`, "null", "}", n) },
		"a tree":          func(n int) []byte { return nested(`{"name":"","kids":[`, "", "]}", n) },
		"what is skipped": func(n int) []byte { return nested(`{"name":"","new":[`, "", "]}", n) },
	}
	for form, of := range forms {
		t.Run(form, func(t *testing.T) {
			few, many, far := of(20), of(9_000), of(1_000_000)
			for name, target := range targets {
				agrees(t, few, target)
				assert.False(t, jsondec.Decode(many, target()), name)
				began := time.Now()
				assert.False(t, jsondec.Decode(far, target()), name)
				assert.Less(t, time.Since(began), time.Second, name)
			}
		})
	}
}

func TestItDecodesOnlyIntoWhatIsZero(t *testing.T) {
	data := []byte(`{"text":"new"}`)
	v := flat{Int: 1}
	assert.False(t, jsondec.Decode(data, &v))
	assert.Equal(t, flat{Int: 1}, v)
	assert.False(t, jsondec.Decode(data, flat{}))
	assert.False(t, jsondec.Decode(data, (*flat)(nil)))
	assert.False(t, jsondec.Decode(data, nil))
}

func TestNoPartOfTheDataIsKept(t *testing.T) {
	for _, value := range values {
		data, err := json.Marshal(value)
		require.NoError(t, err)
		for _, target := range targets {
			want, got := target(), target()
			mine := bytes.Clone(data)
			if !jsondec.Decode(mine, got) {
				continue
			}
			for i := range mine {
				mine[i] = 'x'
			}
			require.NoError(t, json.Unmarshal(data, want))
			assert.Equal(t, want, got)
		}
	}
}

func TestManyDecodeAtOnce(t *testing.T) {
	data, err := json.Marshal(values[len(values)-1])
	require.NoError(t, err)
	type fresh struct{ A, B tree } // nobody has asked for it yet
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				var v fresh
				assert.True(t, jsondec.Decode([]byte(`{"A":{"name":"a","kids":[{"name":"b"}]},"B":{"name":"c"}}`), &v))
				assert.Equal(t, fresh{tree{Name: "a", Kids: []tree{{Name: "b"}}}, tree{Name: "c"}}, v)
				var s shout
				assert.True(t, jsondec.Decode(data, &s))
			}
		})
	}
	all.Wait()
}

func TestAStructWithMoreFieldsThanAreToldApartIsRead(t *testing.T) {
	var fields []reflect.StructField
	text := "{"
	for i := range 300 {
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: reflect.TypeFor[int]()})
		text += fmt.Sprintf(`"F%d":%d,`, i, i)
	}
	wide := reflect.StructOf(fields)
	assert.True(t, agrees(t, []byte(strings.TrimSuffix(text, ",")+"}"), func() any { return reflect.New(wide).Interface() }))
}
