package jsondec

import (
	"reflect"
	"strconv"
)

// keyAt returns the key at data[at], and where its value begins.
func keyAt(data []byte, at int) (key []byte, value int) {
	key, end := textAt(data, at)
	if !has(data, end, ':') {
		return nil, unsure
	}
	return key, end + 1
}

// keySetter sets a map's key, unless that is too large for its type.
type keySetter func(k reflect.Value, key []byte) (ok bool)

func setString(k reflect.Value, key []byte) bool {
	k.SetString(string(key))
	return true
}

func setInt(k reflect.Value, key []byte) bool {
	n, err := strconv.ParseInt(string(key), 10, 64)
	if err != nil || k.OverflowInt(n) {
		return false
	}
	k.SetInt(n)
	return true
}

func setUint(k reflect.Value, key []byte) bool {
	n, err := strconv.ParseUint(string(key), 10, 64)
	if err != nil || k.OverflowUint(n) {
		return false
	}
	k.SetUint(n)
	return true
}

// setterOf returns how keys of type t are set, nil for those that set themselves.
func setterOf(t reflect.Type) keySetter {
	switch {
	case reflect.PointerTo(t).Implements(byText):
		return nil
	case t.Kind() == reflect.String:
		return setString
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return setInt
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uintptr:
		return setUint
	}
	return nil
}

func (b *builder) mapping(t reflect.Type) decoder {
	set := setterOf(t.Key())
	if set == nil {
		return byStandard
	}
	decode := b.of(t.Elem())
	return func(data []byte, at, depth int, v reflect.Value) int {
		if !has(data, at, '{') {
			return null(data, at)
		}
		v.Set(reflect.MakeMap(t))
		if at++; has(data, at, '}') {
			return at + 1
		}
		key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		for last := false; !last; {
			name, value := keyAt(data, at)
			if value == unsure || !set(key, name) {
				return unsure
			}
			elem.SetZero()
			if at, last = after(data, decode(data, value, depth, elem), '}'); at != unsure {
				v.SetMapIndex(key, elem)
			}
		}
		return at
	}
}
