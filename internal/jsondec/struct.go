package jsondec

import (
	"bytes"
	"reflect"
	"strings"
	"unicode"
)

// field is one field of a struct.
type field struct {
	name   []byte
	start  string // `"name":`
	index  []int
	decode decoder
}

// maxFields is how many fields are told apart of which one has come already.
const maxFields = 256

// structure is the decoder of a struct.
type structure struct {
	fields []field // in their order, in which encoding/json writes them
	byName map[string]int
}

func (b *builder) structure(t reflect.Type) decoder {
	s := structure{byName: map[string]int{}}
	if !s.add(b, t, nil) || len(s.fields) > maxFields {
		return byStandard
	}
	return s.decode
}

// add adds the fields of t, those of embedded structs included. Where encoding/json has
// to choose between fields, or allocates what is embedded, it is false.
func (s *structure) add(b *builder, t reflect.Type, index []int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !validName(name) {
			name = ""
		}
		at := append(index[:len(index):len(index)], i)
		switch {
		case !f.Anonymous:
		case f.Type.Kind() == reflect.Struct && name == "" && !methods(f.Type):
			if !s.add(b, f.Type, at) {
				return false
			}
			continue
		case f.Type.Kind() == reflect.Pointer, !f.IsExported(), methods(f.Type):
			return false
		}
		if name == "" {
			name = f.Name
		}
		if !s.addField(b, f.Type, name, options, at) {
			return false
		}
	}
	return true
}

func (s *structure) addField(b *builder, t reflect.Type, name, options string, index []int) bool {
	if _, twice := s.byName[name]; twice {
		return false
	}
	f := field{name: []byte(name), start: `"` + name + `":`, index: index, decode: b.of(t)}
	for option := range strings.SplitSeq(options, ",") {
		if option == "string" && !f.quote(t) {
			return false
		}
	}
	s.byName[name] = len(s.fields)
	s.fields = append(s.fields, f)
	return true
}

// methods reports whether t decodes itself.
func methods(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(byJSON) || p.Implements(byText)
}

// quote makes f one that is written as a string, if its type is among those that are.
// Of some the rules are such that it is false.
func (f *field) quote(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	switch {
	case methods(t), t.Kind() == reflect.String:
		return false
	case scalars[t.Kind()] != nil:
		f.decode = quoted(f.decode)
	}
	return true
}

// quoted is decode for what is between quotes.
func quoted(decode decoder) decoder {
	return func(data []byte, at, depth int, v reflect.Value) int {
		if !has(data, at, '"') {
			return null(data, at)
		}
		if has(data, at+1, 'n') { // "null"
			return unsure
		}
		if end := decode(data, at+1, depth, v); has(data, end, '"') {
			return end + 1
		}
		return unsure
	}
}

// validName is encoding/json's rule for names in tags.
func validName(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}

func (s *structure) decode(data []byte, at, depth int, v reflect.Value) int {
	if !has(data, at, '{') {
		return null(data, at)
	}
	if at++; has(data, at, '}') {
		return at + 1
	}
	var seen [maxFields / 64]uint64
	for next, last := 0, false; !last; {
		n, value := s.find(data, at, next)
		if value == unsure {
			return unsure
		}
		if n < 0 {
			at, last = after(data, skip(data, value, depth), '}')
			continue
		}
		if seen[n/64]&(1<<(n%64)) != 0 { // it would be merged
			return unsure
		}
		seen[n/64] |= 1 << (n % 64)
		next = n + 1
		f := &s.fields[n]
		at, last = after(data, f.decode(data, value, depth, fieldOf(v, f.index)), '}')
	}
	return at
}

func fieldOf(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		v = v.Field(i)
	}
	return v
}

// find returns the field whose key is at data[at], which probably is the one that is
// next, and where its value begins. It is below zero for what the struct has no field
// for, whatever the case of its letters.
func (s *structure) find(data []byte, at, next int) (n, value int) {
	if next < len(s.fields) {
		if value = word(data, at, s.fields[next].start); value != unsure {
			return next, value
		}
	}
	key, value := keyAt(data, at)
	if value == unsure {
		return 0, unsure
	}
	if n, ok := s.byName[string(key)]; ok {
		return n, value
	}
	for i := range s.fields {
		if bytes.EqualFold(s.fields[i].name, key) {
			return 0, unsure
		}
	}
	return -1, value
}
