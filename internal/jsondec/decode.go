// Package jsondec reads the JSON that encoding/json has written, several times as
// fast, and leaves to encoding/json what may be anything else.
//
// It knows no laxness and has no errors: of whatever is not plainly what encoding/json
// writes for the type, [Decode] says that it is not sure. So it does not have to do what
// encoding/json does with odd text, only to notice that it is odd. It uses reflection
// and nothing unsafe, generates no code and keeps nothing between calls but what it
// knows of types.
package jsondec

import (
	"reflect"
	"sync"
)

// maxDepth bounds the recursion: what is nested deeper is left to encoding/json, which
// has a bound of its own.
const maxDepth = 100

// unsure is where a value ends that is not certain to be what it should be.
const unsure = -1

// decoder decodes what begins at data[at] into v, which is settable and zero, and returns
// where it ends, or unsure. It may recurse depth levels deeper. Behind unsure, v may be
// anything.
type decoder func(data []byte, at, depth int, v reflect.Value) (end int)

// decoders are the decoders of the types that were decoded into; nil of those of which
// nothing is known.
var decoders sync.Map // of reflect.Type to decoder

// Decode decodes data into v, a pointer, and reports whether it is sure of the result,
// which then is that of encoding/json. If it is not, v is as it was. It decodes into what
// is zero only: encoding/json merges.
//
// v refers to no part of data, unless a method of its own keeps what it is given.
func Decode(data []byte, v any) (sure bool) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return false
	}
	decode := decoderOf(p.Type().Elem())
	if decode == nil || !p.Elem().IsZero() {
		return false
	}
	if decode(data, 0, maxDepth, p.Elem()) != len(data) {
		p.Elem().SetZero()
		return false
	}
	return true
}

func decoderOf(t reflect.Type) decoder {
	if known, ok := decoders.Load(t); ok {
		return known.(decoder)
	}
	b := builder{types: map[reflect.Type]*decoder{}}
	decode := b.of(t)
	if b.unknown {
		decode = nil
	}
	decoders.Store(t, decode)
	return decode
}

// has reports whether c is at data[at].
func has(data []byte, at int, c byte) bool { return uint(at) < uint(len(data)) && data[at] == c }

// word returns the end of w if it is at data[at].
func word(data []byte, at int, w string) (end int) {
	if end = at + len(w); end <= len(data) && string(data[at:end]) == w {
		return end
	}
	return unsure
}

func null(data []byte, at int) (end int) { return word(data, at, "null") }

// after returns where the next element begins, or, with last, where the list or the
// object ends, of which one element ends at data[at].
func after(data []byte, at int, closing byte) (next int, last bool) {
	switch {
	case has(data, at, ','):
		return at + 1, false
	case has(data, at, closing):
		return at + 1, true
	}
	return unsure, true
}
