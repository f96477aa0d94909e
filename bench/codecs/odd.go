package codecs

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// oddity is a value that codecs are known to stumble over, and whether one of them
// does.
type oddity struct {
	name string
	run  func(Codec) error
}

type marker struct{ N int }

// MarshalJSON and UnmarshalJSON stand for types that say themselves what they are
// in JSON.
func (m marker) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprintf("marker-%d", m.N)) }

func (m *marker) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	_, err := fmt.Sscanf(text, "marker-%d", &m.N)
	return err
}

type embedded struct {
	Base
	Extra string
}

// Base is embedded.
type Base struct{ ID int64 }

type recursive struct {
	Name string
	Next *recursive `json:",omitempty"`
}

var oddities = []oddity{
	moment("zero time", time.Time{}),
	moment("time with nanoseconds", time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)),
	moment("time in a zone", time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 5*3600+1800))),
	same("largest int64", int64(math.MaxInt64)),
	same("largest uint64", uint64(math.MaxUint64)),
	same("smallest float", math.SmallestNonzeroFloat64),
	same("0.1", 0.1),
	same("control characters", "\x00\x1f\u2028\u2029</script>"),
	{"invalid UTF-8", func(c Codec) error {
		const odd = "a\xffb"
		return roundTrip(c, odd, func(got string) bool { return got == odd })
	}},
	same("nil slice", []string(nil)),
	same("empty slice", []string{}),
	same("empty string key", map[string]int{"": 1}),
	same("int keys", map[int]string{-1: "a", 2: "b"}),
	same("bytes", []byte{0, 1, 255}),
	same("embedded struct", embedded{Base{7}, "x"}),
	same("recursive struct", recursive{"a", &recursive{Name: "b"}}),
	same("nil pointer", (*int)(nil)),
	same("array", [3]int{1, 2, 3}),
	same("custom JSON", marker{5}),
	same("raw JSON", struct{ R json.RawMessage }{json.RawMessage(`{"a":1}`)}),
	{"broken input is an error", brokenInput},
	{"no part of the input is kept", keepsInput},
	text[time.Duration]("a text for a duration", `"1h"`),
	text[[0]int]("a list without commas", `[1 2]`),
	text[int]("a fraction for a whole number", `1.0`),
	text[int8]("a number too large", `300`),
	text[struct{ Name string }]("the wrong case", `{"NAME":"a"}`),
	text[struct{ Name *struct{ A, B int } }]("a key twice", `{"Name":{"A":1},"Name":{"B":2}}`),
	text[string]("half a surrogate pair", `"\ud83d"`),
	text[any]("a number too large for any", `1e999`),
}

// text is a text that another program has written, or another version of this one, of
// which a codec for JSON is to make what encoding/json makes. Others need not.
func text[T any](name, data string) oddity {
	return oddity{name, func(c Codec) error {
		if written, err := c.Encode("x"); err != nil || string(written) != `"x"` {
			return err
		}
		var want, got T
		wantErr, gotErr := json.Unmarshal([]byte(data), &want), c.Decode([]byte(data), &got)
		if (wantErr == nil) != (gotErr == nil) || wantErr == nil && !reflect.DeepEqual(want, got) {
			return fmt.Errorf("%s: got %v, %w; want %v, %w", data, got, gotErr, want, wantErr)
		}
		return nil
	}}
}

// Deep returns how long a codec for JSON takes to read 9,990 objects within each other,
// 60 KB, which encoding/json reads. It is 0 for those that refuse it.
func Deep(c Codec) time.Duration {
	const levels = 9_990
	data := []byte(strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels))
	var best time.Duration
	for range 3 {
		var v map[string]any
		began := time.Now()
		if contained(func() error { return c.Decode(data, &v) }) != nil {
			return 0
		}
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
	}
	return best
}

func same[T any](name string, v T) oddity {
	return oddity{name, func(c Codec) error {
		return roundTrip(c, v, func(got T) bool { return reflect.DeepEqual(got, v) })
	}}
}

// moment is a time, which may come back in another zone.
func moment(name string, at time.Time) oddity {
	return oddity{name, func(c Codec) error { return roundTrip(c, at, at.Equal) }}
}

func roundTrip[T any](c Codec, v T, equal func(T) bool) error {
	data, err := c.Encode(v)
	if err != nil {
		return err
	}
	var got T
	if err := c.Decode(data, &got); err != nil {
		return err
	}
	if !equal(got) {
		return fmt.Errorf("%v came back as %v", v, got)
	}
	return nil
}

// brokenInput cuts an encoding at each byte.
func brokenInput(c Codec) error {
	data, err := c.Encode(recursive{"name", &recursive{Name: "next"}})
	if err != nil {
		return err
	}
	for n := range data {
		var got recursive
		if c.Decode(data[:n], &got) == nil {
			return fmt.Errorf("%d of %d bytes are accepted", n, len(data))
		}
	}
	return nil
}

// keepsInput overwrites the input after it was decoded: a codec whose strings are
// views of it would change values that were handed out.
func keepsInput(c Codec) error {
	want := map[string]string{"key": "a value of some length, to be kept"}
	data, err := c.Encode(want)
	if err != nil {
		return err
	}
	var got map[string]string
	if err := c.Decode(data, &got); err != nil {
		return err
	}
	for i := range data {
		data[i] = 'x'
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("the value changed with its input: %v", got)
	}
	return nil
}

// Oddities tries all odd values and returns how many there are, and the names of
// those that do not come back as they were.
func Oddities(c Codec) (all int, failed []string) {
	for _, o := range oddities {
		if err := contained(func() error { return o.run(c) }); err != nil {
			failed = append(failed, o.name)
		}
	}
	return len(oddities), failed
}

// contained makes an error of a panic.
func contained(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}
