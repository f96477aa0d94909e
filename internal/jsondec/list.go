package jsondec

import "reflect"

func (b *builder) slice(t reflect.Type) decoder {
	elem := t.Elem()
	if elem.Kind() == reflect.Uint8 {
		if p := reflect.PointerTo(elem); p.Implements(byJSON) || p.Implements(byText) {
			return byStandard
		}
		return decodeBytes
	}
	decode, first := b.of(elem), firstElements(elem)
	return func(data []byte, at, depth int, v reflect.Value) int {
		if !has(data, at, '[') {
			return null(data, at)
		}
		if at++; has(data, at, ']') {
			v.Set(reflect.MakeSlice(t, 0, 0))
			return at + 1
		}
		for n, last := 0, false; !last; n++ {
			if n == v.Cap() {
				v.Grow(max(first-n, 1))
			}
			v.SetLen(n + 1)
			at, last = after(data, decode(data, at, depth, v.Index(n)), ']')
		}
		return at
	}
}

// firstElements is for how many elements a slice has room at first: up to four, if they
// are small.
func firstElements(elem reflect.Type) int {
	const room = 256 // bytes
	return min(max(room/max(int(elem.Size()), 1), 1), 4)
}

// array is for arrays as long as the list: encoding/json takes others, too.
func (b *builder) array(t reflect.Type) decoder {
	size := t.Len()
	if size == 0 {
		return byStandard
	}
	decode := b.of(t.Elem())
	return func(data []byte, at, depth int, v reflect.Value) int {
		if !has(data, at, '[') {
			return null(data, at)
		}
		at++
		for n := range size {
			end, last := after(data, decode(data, at, depth, v.Index(n)), ']')
			if last != (n == size-1) {
				return unsure
			}
			at = end
		}
		return at
	}
}
