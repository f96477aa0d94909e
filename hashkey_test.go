package cache_test

import (
	"math"
	"math/big"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache"
)

type (
	hashName   string
	hashLevel  int8
	hashBlob   []byte
	hashMoment time.Time
	hashLink   struct{ Next *hashLink }
	hashFilter struct {
		Query string
		Limit int
		Since *time.Time
		_     int
	}
	hashRenamed struct {
		Text  string
		Limit int
		Since *time.Time
	}
	hashSwapped struct {
		Limit int
		Query string
		Since *time.Time
	}
	hashPaging struct{ Page int }
	hashPaged  struct {
		hashPaging
		Query string
	}
	hashHidden struct {
		Query  string
		tenant int
	}
	hashHiddenPart struct{ hashName }
)

var hashInstant = time.Date(2024, 2, 29, 12, 30, 15, 123456789, time.UTC)

// The golden keys are frozen: entries outlive the process that named them. A
// change here empties the cache of everyone who uses HashKey.
func TestHashKeyGolden(t *testing.T) {
	since := hashInstant
	tests := []struct {
		name  string
		parts []any
		want  string
	}{
		{"no parts", nil, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"empty string", []any{""}, "76ca65fa532efea2d73e4cb2775f96cfb650d5c8c9dbb78594a01f4cf8bb3bfe"},
		{"strings", []any{"a", "bc"}, "68b4237dd807c5a1cbe5a1ff9b75429f8d0fec41dcca164341ab33785ce4b0b4"},
		{"bytes", []any{[]byte("a")}, "f1461ceb7a6203936abbf4bd0421363c5bf4789415eb61447219ccd335c35112"},
		{"bools", []any{true, false}, "76d4444be7f3eb944772b9358b2d34ad428fdff88d3858c87f4731236f8f5806"},
		{"integers", []any{-1, int8(-128), int64(math.MaxInt64), uint8(255), uint64(math.MaxUint64)}, "4d015f5a303dcb598bdf6fb01b48fd30289ef4d25cb447000f83fd0babc67ca1"},
		{"floats", []any{0.1, float32(0.1), math.Inf(-1), math.NaN(), math.Copysign(0, -1)}, "04cfd306322a2700502603ddbf966f6ce4a75fb28a5d4196e72caef9a6def7c7"},
		{"times", []any{hashInstant, time.Time{}, time.Unix(-1, 999)}, "7fdd93836e7afc6ef810f673d70c339722757d8af8814189237abb27a4c63f9e"},
		{"lists", []any{[]string{"a", "b"}, [2]int{1, 2}, []any{1, "a", nil}, []int(nil)}, "3e01bee5f93d8f59405105e67a1f914e334f0601c28791971b4dedd5b8d4dae1"},
		{"maps", []any{map[string]int{"b": 2, "a": 1, "": 0}, map[int]bool(nil)}, "938f693edc23860a1d8dceb75bc67c8c37a94069a93ac1f0793a333a2fb3bb7f"},
		{"structs", []any{hashFilter{Query: "q", Limit: 10, Since: &since}, struct{}{}}, "43d3825110013fb40a34523af07f00927ad0465874756cf2cc216d153aa8dce4"},
		{"nil", []any{nil}, "fd87400839d77a6884dc3b634ce294ad3062dfa1882550c2afd39554c8482595"},
		{"a model call", []any{"gpt", map[string]any{"temperature": 0.2, "stop": []string{"\n"}, "seed": nil}, "Why is the sky blue?"}, "088712c46a55ff4196ac9cb2cf9f165518c3a532fc735926df5203ed4418fe3c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, cache.HashKey(tt.parts...))
		})
	}
}

func TestHashKeyIsSixtyFourHexDigits(t *testing.T) {
	hex := regexp.MustCompile(`^[0-9a-f]{64}$`)
	assert.Regexp(t, hex, cache.HashKey())
	assert.Regexp(t, hex, cache.HashKey(strings.Repeat("long ", 1e6)))
}

func TestHashKeyEqual(t *testing.T) {
	one, text := 1, "a"
	local := time.FixedZone("far", 11*3600)
	tests := []struct {
		name string
		a, b any
	}{
		{"an integer's width does not count", int64(-7), int8(-7)},
		{"an unsigned integer's width does not count", uint64(7), uint16(7)},
		{"a duration is an integer", time.Second, int64(1e9)},
		{"a float's width does not count", float32(0.5), 0.5},
		{"minus zero is zero", math.Copysign(0, -1), 0.0},
		{"every NaN is the same", math.Float64frombits(0x7ff8_dead_beef_0000), math.NaN()},
		{"a NaN in a float32 is the same", float32(math.NaN()), math.NaN()},
		{"a location does not count", hashInstant, hashInstant.In(local)},
		{"a defined time is a time", hashInstant, hashMoment(hashInstant)},
		{"a time in an interface is a time", []time.Time{hashInstant}, []any{hashInstant.In(local)}},
		{"a defined string is a string", "a", hashName("a")},
		{"a defined integer is an integer", 3, hashLevel(3)},
		{"defined bytes are bytes", []byte("a"), hashBlob("a")},
		{"an array of bytes is bytes", []byte("ab"), [2]byte{'a', 'b'}},
		{"an array is a list", []int{1, 2}, [2]int64{1, 2}},
		{"an interface is what it holds", []string{"a"}, []any{"a"}},
		{"a nil slice is an empty one", []string(nil), []string{}},
		{"nil bytes are empty ones", []byte(nil), []byte{}},
		{"a nil map is an empty one", map[string]int(nil), map[string]int{}},
		{"a pointer is followed", &one, 1},
		{"a pointer to a pointer too", func() **string { p := &text; return &p }(), "a"},
		{"nil pointers are nil", (*int)(nil), nil},
		{"whatever they would point to", (*int)(nil), (*string)(nil)},
		{"a struct's type does not count", hashFilter{Query: "q"}, struct {
			Query string
			Limit int64
			Since any
		}{Query: "q"}},
		{"blank fields do not count", struct {
			A int
			_ string
		}{A: 1}, struct{ A int }{1}},
		{"an embedded struct counts by its fields", hashPaged{hashPaging{2}, "q"}, &hashPaged{hashPaging{2}, "q"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, cache.HashKey(tt.a), cache.HashKey(tt.b))
			assert.Equal(t, cache.HashKey([]any{tt.a}), cache.HashKey([]any{tt.b}), "nested")
		})
	}
}

func TestHashKeyIgnoresTheMonotonicClock(t *testing.T) {
	now := time.Now()
	assert.Equal(t, cache.HashKey(now.Round(0)), cache.HashKey(now))
}

func TestHashKeyDiffer(t *testing.T) {
	parts := func(p ...any) []any { return p }
	tests := []struct {
		name string
		a, b []any
	}{
		{"where one part ends counts", parts("a", "bc"), parts("ab", "c")},
		{"an empty part counts", parts("a"), parts("a", "")},
		{"no part is not an empty one", parts(), parts("")},
		{"order counts", parts("a", "b"), parts("b", "a")},
		{"a list is not its element", parts("a"), parts([]string{"a"})},
		{"a list is not its parts", parts("a", "b"), parts([]string{"a", "b"})},
		{"nesting counts", parts([][]string{{"a"}, {"b"}}), parts([][]string{{"a", "b"}})},
		{"an empty list in a list counts", parts([][]string{{}}), parts([][]string{})},
		{"a string is not bytes", parts("a"), parts([]byte("a"))},
		{"a digit is not a number", parts("1"), parts(1)},
		{"signed is not unsigned", parts(1), parts(uint(1))},
		{"minus one is not the largest", parts(-1), parts(uint64(math.MaxUint64))},
		{"an integer is not a float", parts(1), parts(1.0)},
		{"false is not zero", parts(false), parts(0)},
		{"true is not false", parts(true), parts(false)},
		{"nil is not empty", parts(nil), parts("")},
		{"nil is not an empty list", parts(nil), parts([]int(nil))},
		{"nil is not zero", parts((*int)(nil)), parts(new(int))},
		{"a float32 is not the decimal it was written as", parts(float32(0.1)), parts(0.1)},
		{"a nanosecond counts", parts(hashInstant), parts(hashInstant.Add(1))},
		{"a time is not its Unix seconds", parts(time.Unix(5, 0)), parts(5)},
		{"bytes that look like an encoded part are bytes", parts("s\x00\x00\x00\x00\x00\x00\x00\x01a"), parts("s", "a")},
		{"a map's keys count", parts(map[string]int{"a": 1}), parts(map[string]int{"b": 1})},
		{"a map's values count", parts(map[string]int{"a": 1, "b": 2}), parts(map[string]int{"a": 2, "b": 1})},
		{"a map is not a list of its pairs", parts(map[string]string{"a": "b"}), parts([]string{"a", "b"})},
		{"a map is not a struct", parts(map[string]int{"Page": 1}), parts(hashPaging{1})},
		{"a field's name counts", parts(hashFilter{Query: "q"}), parts(hashRenamed{Text: "q"})},
		{"the order of fields counts", parts(hashFilter{}), parts(hashSwapped{})},
		{"an embedded struct's fields count", parts(hashPaged{hashPaging{1}, "q"}), parts(hashPaged{hashPaging{2}, "q"})},
		{"a struct without fields is not nil", parts(struct{}{}), parts(nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.NotEqual(t, cache.HashKey(tt.a...), cache.HashKey(tt.b...))
		})
	}
}

// A map is sorted, whatever order Go walks it in; also where keys are equal
// once encoded.
func TestHashKeySortsMaps(t *testing.T) {
	numbers := make(map[int]string)
	for i := range 100 {
		numbers[i] = strings.Repeat("x", i)
	}
	alike := map[any]int{1: 1, int8(1): 2, int64(1): 3, math.NaN(): 4, math.Copysign(math.NaN(), -1): 5}
	wantNumbers, wantAlike := cache.HashKey(numbers), cache.HashKey(alike)
	for range 50 {
		assert.Equal(t, wantNumbers, cache.HashKey(numbers))
		assert.Equal(t, wantAlike, cache.HashKey(alike))
	}
	alike[int64(1)] = 6
	assert.NotEqual(t, wantAlike, cache.HashKey(alike))
}

func TestHashKeyPanics(t *testing.T) {
	ring := &hashLink{}
	ring.Next = ring
	self := map[string]any{}
	self["self"] = self
	const unexported = "has the unexported field "
	const odd = "is of no kind that can be told apart"
	const deep = "nests more than 100 levels deep, or refers to itself"
	tests := []struct {
		name string
		part any
		want string
	}{
		{"a channel", make(chan int), "chan int " + odd},
		{"a nil function", (func())(nil), "func() " + odd},
		{"a complex number", 1i, "complex128 " + odd},
		{"an address", uintptr(1), "uintptr " + odd},
		{"a channel in a list", []any{"a", make(chan bool)}, "chan bool " + odd},
		{"a channel as a map's key", map[chan int]int{nil: 1}, "chan int " + odd},
		{"a struct that hides a field", hashHidden{"q", 1}, "cache_test.hashHidden " + unexported + "tenant"},
		{"a pointer to one", &hashHidden{"q", 1}, "cache_test.hashHidden " + unexported + "tenant"},
		{"an embedded type that is no struct", hashHiddenPart{"a"}, "cache_test.hashHiddenPart " + unexported + "hashName"},
		{"a library's opaque struct", netip.MustParseAddr("::1"), "netip.Addr " + unexported + "addr"},
		{"a big number", big.NewInt(1), "big.Int " + unexported + "neg"},
		{"a ring of pointers", ring, "*cache_test.hashLink " + deep},
		{"a map within itself", self, "map[string]interface {} " + deep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.PanicsWithValue(t, "cache: HashKey: part 1: "+tt.want, func() { cache.HashKey("first", tt.part) })
		})
	}
}

func TestHashKeyNestsOneHundredLevels(t *testing.T) {
	var part any = "innermost"
	for range 100 {
		part = []any{part}
	}
	assert.NotPanics(t, func() { cache.HashKey(part) })
	assert.Panics(t, func() { cache.HashKey([]any{part}) })
}

func TestHashKeyAllocations(t *testing.T) {
	parts := []any{"model", []byte("prompt"), 7, 0.2, true, hashInstant, uint64(1)}
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { cache.HashKey(parts...) }), 2.0)
}
