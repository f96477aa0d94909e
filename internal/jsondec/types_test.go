package jsondec_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"
)

// Types of all kinds that encoding/json treats in a way of their own.
type (
	flat struct {
		Bool    bool
		Int8    int8
		Int     int
		Uint16  uint16
		Float32 float32
		Float64 float64 `json:"float,omitempty"`
		Text    string  `json:"text"`
		Hidden  string  `json:"-"`
		Dash    string  `json:"-,"`
		Odd     string  `json:"a<b>&é"`
		private int
	}
	quotes struct {
		Int   int64    `json:",string"`
		Uint  *uint8   `json:"uint,string"`
		Float float64  `json:",string,omitempty"`
		Bool  bool     `json:",string"`
		List  []string `json:",string"` // which means nothing
	}
	quotedText struct {
		Text string `json:",string"`
	}
	inner struct {
		A int
		B *inner `json:",omitempty"`
	}
	// Embedded is what encoding/json allocates.
	Embedded struct{ D int }
	embeds   struct {
		inner
		*Embedded
		C string
	}
	refused   struct{ *inner }
	flattened struct {
		inner
		C string
	}
	hides struct {
		inner
		A string
	}
	tagged struct {
		inner `json:"in"`
		Flat  flat
	}
	lists struct {
		Bytes  []byte
		Ints   []int
		Array  [3]int16
		None   [0]int
		Matrix [][]float64
		Ptrs   []*string
		Colors []color
		Anys   []any
		Big    [40]inner
	}
	maps struct {
		Text   map[string]string
		Any    map[string]any
		Inner  map[name]inner
		Int    map[int8]bool
		Uint   map[uint64][]string
		Point  map[point]int
		Nested map[string]map[string]int
	}
	methodical struct {
		Time   time.Time
		Ptr    *time.Time
		Span   time.Duration
		Raw    json.RawMessage
		Raws   map[string]json.RawMessage
		Number json.Number
		Big    *big.Int
		Addr   netip.Addr
		Shout  shout
		Point  *point
		Points []point
		Err    error
		Iface  fmt.Stringer
		Func   *func() `json:",omitempty"`
	}
	// What of these is unnamed has methods that encoding/json finds only at the top.
	promoted struct {
		In struct{ time.Time }
	}
	tree struct {
		Name string          `json:"name"`
		Kids []tree          `json:"kids,omitempty"`
		More map[string]tree `json:"more,omitempty"`
		Next *tree           `json:"next,omitempty"`
		Any  any             `json:"any,omitempty"`
	}
	name  string
	color uint8
	shout string
	point struct{ x, y int }
)

func (s shout) MarshalJSON() ([]byte, error) { return json.Marshal(strings.ToUpper(string(s))) }

func (s *shout) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*s = shout(strings.ToLower(text))
	return nil
}

func (p point) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d;%d", p.x, p.y), nil }

func (p *point) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%d;%d", &p.x, &p.y)
	return err
}

func (c color) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "#%02x", uint8(c)), nil }

func (c *color) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "#%02x", (*uint8)(c))
	return err
}

// targets make a pointer to a zero value of each type.
var targets = map[string]func() any{
	"flat": func() any { return new(flat) }, "quotes": func() any { return new(quotes) },
	"quoted text": func() any { return new(quotedText) },
	"embeds":      func() any { return new(embeds) }, "refused": func() any { return new(refused) }, "flattened": func() any { return new(flattened) },
	"hides": func() any { return new(hides) }, "tagged": func() any { return new(tagged) },
	"lists": func() any { return new(lists) }, "maps": func() any { return new(maps) },
	"methodical": func() any { return new(methodical) }, "promoted": func() any { return new(promoted) },
	"tree": func() any { return new(tree) },
	"any":  func() any { return new(any) }, "pointer": func() any { return new(**tree) },
	"string": func() any { return new(string) }, "int": func() any { return new(int) },
	"bytes": func() any { return new([]byte) }, "map": func() any { return new(map[string]any) },
	"raw": func() any { return new(json.RawMessage) }, "time": func() any { return new(time.Time) },
	"durations": func() any { return new([]time.Duration) }, "nothing": func() any { return new(struct{}) },
	"text": func() any { return new(point) }, "itself": func() any { return new(shout) },
	"unnamed": func() any { return new(struct{ A, b int }) },
}

func ptr[T any](v T) *T { return &v }

// values are values of the types, with each field set and with none.
var values = []any{
	flat{},
	flat{true, -8, 1 << 40, 65535, 1.5e-7, 3.25, "a\"b\\c\n\t<&>\u2028é日😀\x7f", "", "dash", "odd", 1},
	quotes{},
	quotes{-1 << 63, ptr(uint8(7)), -1.5e300, true, []string{"1"}},
	quotedText{"a\"b\n"},
	embeds{},
	embeds{inner{1, nil}, &Embedded{5}, "c"},
	refused{&inner{A: 1}},
	flattened{inner{1, &inner{2, nil}}, "c"},
	hides{inner{1, nil}, "outer"},
	tagged{inner: inner{A: 3}},
	lists{},
	lists{
		[]byte{0, 1, 255},
		[]int{1, 2, 3, 4, 5, 6, 7, 8, 9},
		[3]int16{1, -2, 3},
		[0]int{},
		[][]float64{{1, 2}, nil, {}},
		[]*string{ptr("x"), nil},
		[]color{1, 255},
		[]any{1.5, "a", nil, true, false, []any{}, map[string]any{}},
		[40]inner{},
	},
	maps{},
	maps{Text: map[string]string{}, Any: map[string]any{"": nil}},
	maps{
		map[string]string{"a": "b", "c<": "é", "": ""},
		map[string]any{"a": map[string]any{"b": []any{1.0, "x"}}},
		map[name]inner{"n": {A: 1}},
		map[int8]bool{-128: true, 127: false},
		map[uint64][]string{1 << 63: {"a"}, 0: nil},
		map[point]int{{1, 2}: 3},
		map[string]map[string]int{"a": {"b": 1}, "c": nil},
	},
	methodical{},
	methodical{
		time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("", 5*3600)), ptr(time.Unix(0, 0).UTC()), time.Hour, json.RawMessage(`{"a":[1,"\u00e9",null]}`),
		map[string]json.RawMessage{"x": json.RawMessage(`"\ud83d"`)},
		"-12.5e+7", big.NewInt(-1 << 62), netip.MustParseAddr("10.0.0.1"), "loud",
		&point{1, 2},
		[]point{{3, 4}},
		nil, nil, nil,
	},
	promoted{struct{ time.Time }{time.Unix(5, 0).UTC()}},
	tree{Name: "a", Kids: []tree{{Name: "b"}, {Kids: []tree{{}}}}, More: map[string]tree{"c": {Name: "d"}}, Next: &tree{Next: &tree{}}, Any: map[string]any{"x": 1.0}},
	"text", 42, []byte("bytes"),
	map[string]any{"a": 1.0},
	time.Unix(7, 8).UTC(),
	[]time.Duration{1, -2},
	point{1, -1},
	shout("loud"),
}
