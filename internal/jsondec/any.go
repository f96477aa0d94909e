package jsondec

import (
	"reflect"
	"strconv"
)

func decodeAny(data []byte, at, depth int, v reflect.Value) int {
	x, end := anything(data, at, depth)
	if end != unsure && x != nil {
		v.Set(reflect.ValueOf(x))
	}
	return end
}

// anything returns what is at data[at] as encoding/json puts it into an any.
func anything(data []byte, at, depth int) (x any, end int) {
	if at >= len(data) || depth == 0 {
		return nil, unsure
	}
	switch data[at] {
	case '"':
		says, end := textAt(data, at)
		return string(says), end
	case '{':
		return anyObject(data, at+1, depth-1)
	case '[':
		return anyList(data, at+1, depth-1)
	case 't':
		return true, word(data, at, "true")
	case 'f':
		return false, word(data, at, "false")
	case 'n':
		return nil, null(data, at)
	}
	end, _ = numeral(data, at)
	if end == unsure {
		return nil, unsure
	}
	f, err := strconv.ParseFloat(string(data[at:end]), 64)
	if err != nil {
		return nil, unsure
	}
	return f, end
}

func anyObject(data []byte, at, depth int) (x any, end int) {
	all := map[string]any{}
	if has(data, at, '}') {
		return all, at + 1
	}
	for last := false; !last; {
		name, value := keyAt(data, at)
		if value == unsure {
			return nil, unsure
		}
		x, end := anything(data, value, depth)
		at, last = after(data, end, '}')
		all[string(name)] = x
	}
	return all, at
}

func anyList(data []byte, at, depth int) (x any, end int) {
	all := []any{}
	if has(data, at, ']') {
		return all, at + 1
	}
	for last := false; !last; {
		x, end := anything(data, at, depth)
		at, last = after(data, end, ']')
		all = append(all, x)
	}
	return all, at
}
