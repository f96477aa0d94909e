package cache

import (
	"bytes"
	"encoding"
	"encoding/json"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	fastjson "github.com/segmentio/encoding/json"
)

// JSON is the default codec: the text that encoding/json makes, so struct tags,
// MarshalJSON and UnmarshalJSON work as everywhere else. It is read by
// segmentio/encoding, which makes the same values of it in a fraction of the time, and by
// encoding/json again where that finds an error. What is nested deeper than 100 levels
// encoding/json reads alone: it has a bound, and its time is linear. It does so, too,
// for the maps that an L1 keeps: segmentio/encoding makes them with room for 64 entries.
var JSON Codec = jsonCodec{}

type jsonCodec struct {
	lean bool // decodes to what has no room to spare
}

func (jsonCodec) CodecID() uint8 { return jsonID }

func (jsonCodec) forType(d decoded) (Codec, bool) { return jsonCodec{lean: d.stays}, d.keeps }

// Append appends what json.Marshal returns, without its copy.
func (jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	a := appenders.Get().(*appender)
	a.dst = dst
	err := a.json.Encode(v)
	out := a.dst
	a.dst = nil
	appenders.Put(a)
	if err != nil {
		return dst, err
	}
	return out[:len(out)-1], nil // without the newline that Encode ends with
}

// appender is an encoder that writes behind dst, once for each value.
type appender struct {
	dst  []byte
	json *json.Encoder
}

var appenders = sync.Pool{New: func() any {
	a := new(appender)
	a.json = json.NewEncoder(a)
	return a
}}

func (a *appender) Write(p []byte) (int, error) {
	a.dst = append(a.dst, p...)
	return len(p), nil
}

func (c jsonCodec) Decode(data []byte, v any) error {
	if !c.lean && !nestedDeep(data) {
		if fastjson.Unmarshal(data, v) == nil {
			return nil
		}
		reflect.ValueOf(v).Elem().SetZero() // of what was decoded before the error
	}
	return json.Unmarshal(data, v)
}

// maxNesting is how deep what segmentio/encoding reads is nested at most: it has no bound,
// and takes a time that grows with the square of the depth.
const maxNesting = 100

// nestedDeep reports whether data is nested deeper than that. Brackets in strings count
// only where there are more than that many.
func nestedDeep(data []byte) bool {
	if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= maxNesting {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\\':
			i++ // in a string, or an error
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// These have a method that JSON calls to decode them, and that keeps nothing of the
// data that it is given.
var keepNothing = []reflect.Type{
	reflect.TypeFor[time.Time](), reflect.TypeFor[json.RawMessage](),
	reflect.TypeFor[big.Int](), reflect.TypeFor[big.Float](), reflect.TypeFor[big.Rat](),
	reflect.TypeFor[net.IP](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.AddrPort](), reflect.TypeFor[netip.Prefix](),
	reflect.TypeFor[slog.Level](),
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decodedAs is what becomes of values of type t that JSON decodes, by a cache that keeps
// them in an L1 or does not.
func decodedAs(t reflect.Type, near bool) decoded {
	return decoded{
		keeps: (typeWalk{}).finds(t, keepsData),
		stays: near && (typeWalk{}).finds(t, hasRoom),
	}
}

// keepsData reports whether a value of type t that JSON has decoded may refer to the
// data: t has an UnmarshalJSON or UnmarshalText that nobody here knows, and which may
// keep what it is given, though that breaks its contract.
func keepsData(t reflect.Type) bool { return decodesItself(t) && !slices.Contains(keepNothing, t) }

func decodesItself(t reflect.Type) bool {
	for _, method := range []reflect.Type{jsonUnmarshaler, textUnmarshaler} {
		if t.Implements(method) && t.Kind() != reflect.Pointer || reflect.PointerTo(t).Implements(method) {
			return true
		}
	}
	return false
}

// hasRoom reports whether segmentio/encoding makes a value of type t with room for 64
// entries: 4.8 KB, of which an L1 would not know. An interface may be such a map.
func hasRoom(t reflect.Type) bool {
	return t.Kind() == reflect.Interface ||
		t.Kind() == reflect.Map && t.Key() == reflect.TypeFor[string]() && slices.Contains(roomy, t.Elem())
}

var roomy = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[bool](), reflect.TypeFor[[]string](), reflect.TypeFor[json.RawMessage](),
}

// typeWalk has the types that were looked at.
type typeWalk map[reflect.Type]struct{}

// finds reports whether it holds for t, or for a type in it that JSON decodes.
func (w typeWalk) finds(t reflect.Type, it func(reflect.Type) bool) bool {
	if _, seen := w[t]; seen {
		return false
	}
	w[t] = struct{}{}
	switch {
	case it(t):
		return true
	case decodesItself(t):
		return false
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return w.finds(t.Elem(), it)
	case reflect.Map:
		return w.finds(t.Key(), it) || w.finds(t.Elem(), it)
	case reflect.Struct:
		return w.findsIn(t, it)
	}
	return false
}

// findsIn is finds for the fields of a struct that JSON decodes.
func (w typeWalk) findsIn(t reflect.Type, it func(reflect.Type) bool) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-" && w.finds(f.Type, it) {
			return true
		}
	}
	return false
}
