package jsondec

import (
	"encoding"
	"encoding/json"
	"reflect"
)

var (
	byJSON = reflect.TypeFor[json.Unmarshaler]()
	byText = reflect.TypeFor[encoding.TextUnmarshaler]()
	number = reflect.TypeFor[json.Number]()
)

// builder makes the decoder of one type, and those of the types in it.
type builder struct {
	types   map[reflect.Type]*decoder // nil while it is made
	unknown bool                      // something in it is decoded in a way that is not known here
}

// of returns the decoder of t, which where t contains itself is one that will be made.
func (b *builder) of(t reflect.Type) decoder {
	if made := b.types[t]; made != nil {
		return deeper(made)
	}
	made := new(decoder)
	b.types[t] = made
	*made = b.decoder(t)
	return *made
}

// deeper is the decoder of a type within itself.
func deeper(made *decoder) decoder {
	if *made != nil {
		return *made
	}
	return func(data []byte, at, depth int, v reflect.Value) int {
		if depth == 0 {
			return unsure
		}
		return (*made)(data, at, depth-1, v)
	}
}

func (b *builder) decoder(t reflect.Type) decoder {
	p := reflect.PointerTo(t)
	switch itself := p.Implements(byJSON); {
	case t.Kind() == reflect.Interface:
		return ofInterface(t)
	case itself || p.Implements(byText):
		// encoding/json looks for methods of named types, and of types at the top.
		b.unknown = b.unknown || t.Name() == ""
		if itself {
			return decodeItself
		}
		return decodeText
	case t == number:
		return decodeNumber
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.pointer(t)
	case reflect.Struct:
		return b.structure(t)
	case reflect.Map:
		return b.mapping(t)
	case reflect.Slice:
		return b.slice(t)
	case reflect.Array:
		return b.array(t)
	}
	if decode := scalars[t.Kind()]; decode != nil {
		return decode
	}
	return onlyNull
}

func ofInterface(t reflect.Type) decoder {
	if t.NumMethod() == 0 {
		return decodeAny
	}
	return onlyNull
}

// onlyNull is the decoder of types that JSON has no values of.
func onlyNull(data []byte, at, _ int, _ reflect.Value) int { return null(data, at) }

// byStandard leaves one value in the middle to encoding/json.
func byStandard(data []byte, at, depth int, v reflect.Value) int {
	end := skip(data, at, depth)
	if end == unsure || json.Unmarshal(data[at:end], v.Addr().Interface()) != nil {
		return unsure
	}
	return end
}

// decodeItself leaves a value to its own method, null included.
func decodeItself(data []byte, at, depth int, v reflect.Value) int {
	end := skip(data, at, depth)
	if end == unsure || v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(data[at:end]) != nil {
		return unsure
	}
	return end
}

func decodeText(data []byte, at, _ int, v reflect.Value) int {
	says, end := textAt(data, at)
	if end == unsure {
		return null(data, at)
	}
	if v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(says) != nil {
		return unsure
	}
	return end
}

func (b *builder) pointer(t reflect.Type) decoder {
	elem := t.Elem()
	decode := b.of(elem)
	return func(data []byte, at, depth int, v reflect.Value) int {
		if end := null(data, at); end != unsure {
			return end
		}
		p := reflect.New(elem)
		v.Set(p)
		return decode(data, at, depth, p.Elem())
	}
}
