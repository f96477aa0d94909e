package jsondec

import (
	"encoding/base64"
	"reflect"
	"strconv"
)

// scalars are the decoders of simple kinds. null leaves all of them as they are.
var scalars = map[reflect.Kind]decoder{
	reflect.Bool: decodeBool, reflect.String: decodeString,
	reflect.Int: decodeInt, reflect.Int8: decodeInt, reflect.Int16: decodeInt, reflect.Int32: decodeInt, reflect.Int64: decodeInt,
	reflect.Uint: decodeUint, reflect.Uint8: decodeUint, reflect.Uint16: decodeUint, reflect.Uint32: decodeUint,
	reflect.Uint64: decodeUint, reflect.Uintptr: decodeUint,
	reflect.Float32: decodeFloat, reflect.Float64: decodeFloat,
}

func decodeBool(data []byte, at, _ int, v reflect.Value) int {
	if end := word(data, at, "true"); end != unsure {
		v.SetBool(true)
		return end
	}
	if end := word(data, at, "false"); end != unsure {
		return end
	}
	return null(data, at)
}

func decodeString(data []byte, at, _ int, v reflect.Value) int {
	says, end := textAt(data, at)
	if end == unsure {
		return null(data, at)
	}
	v.SetString(string(says))
	return end
}

func decodeInt(data []byte, at, _ int, v reflect.Value) int {
	end, whole := numeral(data, at)
	if !whole {
		return null(data, at)
	}
	n, err := strconv.ParseInt(string(data[at:end]), 10, 64)
	if err != nil || v.OverflowInt(n) {
		return unsure
	}
	v.SetInt(n)
	return end
}

func decodeUint(data []byte, at, _ int, v reflect.Value) int {
	end, whole := numeral(data, at)
	if !whole {
		return null(data, at)
	}
	n, err := strconv.ParseUint(string(data[at:end]), 10, 64)
	if err != nil || v.OverflowUint(n) {
		return unsure
	}
	v.SetUint(n)
	return end
}

func decodeFloat(data []byte, at, _ int, v reflect.Value) int {
	end, _ := numeral(data, at)
	if end == unsure {
		return null(data, at)
	}
	bits := 64
	if v.Kind() == reflect.Float32 {
		bits = 32
	}
	f, err := strconv.ParseFloat(string(data[at:end]), bits)
	if err != nil {
		return unsure
	}
	v.SetFloat(f)
	return end
}

// decodeNumber is for [encoding/json.Number].
func decodeNumber(data []byte, at, _ int, v reflect.Value) int {
	end, _ := numeral(data, at)
	if end == unsure {
		return null(data, at)
	}
	v.SetString(string(data[at:end]))
	return end
}

// decodeBytes is for slices of bytes, which are base64.
func decodeBytes(data []byte, at, _ int, v reflect.Value) int {
	says, end := textAt(data, at)
	if end == unsure {
		return null(data, at)
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(says)))
	n, err := base64.StdEncoding.Decode(decoded, says)
	if err != nil {
		return unsure
	}
	v.SetBytes(decoded[:n])
	return end
}

// numeral returns the end of the number at data[at], and whether it has neither point
// nor exponent.
func numeral(data []byte, at int) (end int, whole bool) {
	if has(data, at, '-') {
		at++
	}
	zero := has(data, at, '0')
	end = digits(data, at)
	if end == unsure || zero && end > at+1 {
		return unsure, false
	}
	whole = true
	if has(data, end, '.') {
		whole = false
		end = digits(data, end+1)
	}
	if has(data, end, 'e') || has(data, end, 'E') {
		whole = false
		if end++; has(data, end, '+') || has(data, end, '-') {
			end++
		}
		end = digits(data, end)
	}
	return end, whole
}

// digits returns the end of one digit or more.
func digits(data []byte, at int) (end int) {
	for end = at; end < len(data) && data[end]-'0' <= 9; end++ {
	}
	if end == at {
		return unsure
	}
	return end
}
