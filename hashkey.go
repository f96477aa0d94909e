package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
)

// HashKey makes a key of fixed size, 64 lower-case hex digits, from any inputs:
// the prompt and parameters of a model call, a filter, a long query.
//
//	key := cache.HashKey("search", userID, query, page)
//
// Equal parts give equal keys in every process and in every later version of
// this package; parts that differ in kind, value, number or order give
// different ones, as far as SHA-256 goes: ("a", "bc") is neither ("ab", "c")
// nor ([]string{"a", "bc"}). The key does not reveal its parts, but who can
// guess them can recognize it.
//
// A part, and whatever it contains, may be:
//
//   - a string, or bytes ([]byte and arrays of bytes), which are different
//     things: "a" is not []byte("a")
//   - a bool
//   - an integer. Its width does not count, its sign bit does: int(1), int64(1)
//     and time.Duration(1) are equal, uint(1) is another part
//   - a float. Its width does not count: float32(0.5) is float64(0.5), but
//     float32(0.1) is not float64(0.1), which is another number. -0 is 0, and
//     every NaN is the same NaN, so that it can be looked up again
//   - a time.Time: the instant. Location and monotonic clock do not count, nor
//     does a type defined as time.Time
//   - a slice or an array: its elements in order; a nil slice is an empty one
//   - a map: its entries in no order; a nil map is an empty one
//   - a struct: the names and values of its fields in order. To rename, reorder
//     or add a field makes other keys, and every old entry a miss. Fields named
//     _ do not count
//   - a pointer or an interface: what it refers to. Nil ones are equal to each
//     other, whatever their type, and to nothing else
//
// The name of a type does not count, only its kind.
//
// Anything else panics with the type in the message, for what cannot be told
// apart would serve one caller another's value: channels, functions, complex
// numbers, uintptr, and structs with an unexported field (big.Int, netip.Addr:
// pass their String()). What nests more than 100 levels deep, or refers to
// itself, panics too.
//
// A handful of strings, bytes, bools, ints, floats and times costs less than a
// microsecond and two allocations; other kinds go through reflection.
func HashKey(parts ...any) string {
	var scratch [512]byte
	sum := sha256.Sum256(appendHashParts(scratch[:0], parts))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// The letters that begin an encoded part. They and what follows them are frozen
// by golden keys: an entry outlives the process that named it.
const (
	hashString = 's' // the bytes
	hashBytes  = 'x' // the bytes
	hashBool   = 'b' // 0 or 1
	hashInt    = 'i' // 8 bytes, big-endian two's complement
	hashUint   = 'u' // 8 bytes, big-endian
	hashFloat  = 'f' // 8 bytes, big-endian IEEE 754
	hashTime   = 't' // seconds since 1970 as 'i' has them, 4 bytes of nanoseconds
	hashList   = 'l' // the elements, encoded
	hashMap    = 'm' // key, value, key, value, …, encoded, pairs sorted as bytes
	hashStruct = 'r' // name as 's', value, …, encoded
	hashNil    = 'n' // nothing
)

// maxHashDepth is where HashKey calls a value endless.
const maxHashDepth = 100

var timeType = reflect.TypeFor[time.Time]()

// appendHashParts appends what is hashed: each part as letter, length (8 bytes,
// big-endian), and that many bytes. No part is the beginning of another one, so
// a sequence of them can be taken apart again in one way only.
func appendHashParts(dst []byte, parts []any) []byte {
	for i, part := range parts {
		dst = appendHashPart(dst, i, part)
	}
	return dst
}

// appendHashPart appends part number i. The common types are told here, without
// reflection; appendHashValue must encode them alike.
func appendHashPart(dst []byte, i int, part any) []byte {
	switch v := part.(type) {
	case string:
		return append(appendHashHead(dst, hashString, len(v)), v...)
	case []byte:
		return append(appendHashHead(dst, hashBytes, len(v)), v...)
	case bool:
		return appendHashBool(dst, v)
	case int:
		return appendHash64(dst, hashInt, uint64(v))
	case int64:
		return appendHash64(dst, hashInt, uint64(v))
	case uint64:
		return appendHash64(dst, hashUint, v)
	case float64:
		return appendHashFloat(dst, v)
	case time.Time:
		return appendHashTime(dst, v)
	default:
		e := hashEncoder{part: i, dst: dst}
		e.value(reflect.ValueOf(part), 0)
		return e.dst
	}
}

// hashEncoder encodes one part by reflection. part is its number, for panics.
type hashEncoder struct {
	part int
	dst  []byte
}

// value appends v. depth counts the pointers, lists, maps and structs around it.
func (e *hashEncoder) value(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Invalid:
		e.dst = appendHashHead(e.dst, hashNil, 0)
	case reflect.String:
		e.dst = append(appendHashHead(e.dst, hashString, v.Len()), v.String()...)
	case reflect.Bool:
		e.dst = appendHashBool(e.dst, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.dst = appendHash64(e.dst, hashInt, uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.dst = appendHash64(e.dst, hashUint, v.Uint())
	case reflect.Float32, reflect.Float64:
		e.dst = appendHashFloat(e.dst, v.Float())
	case reflect.Interface:
		e.value(v.Elem(), depth) // Of a nil one: Invalid. It is no level of its own.
	case reflect.Pointer:
		e.value(v.Elem(), e.descend(v, depth))
	case reflect.Slice, reflect.Array:
		e.list(v, e.descend(v, depth))
	case reflect.Map:
		e.mapping(v, e.descend(v, depth))
	case reflect.Struct:
		e.structure(v, e.descend(v, depth))
	default:
		e.refuse(v.Type(), "is of no kind that can be told apart")
	}
}

// descend counts one level more, for what v contains.
func (e *hashEncoder) descend(v reflect.Value, depth int) int {
	if depth == maxHashDepth {
		e.refuse(v.Type(), fmt.Sprintf("nests more than %d levels deep, or refers to itself", maxHashDepth))
	}
	return depth + 1
}

func (e *hashEncoder) list(v reflect.Value, depth int) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		e.bytes(v)
		return
	}
	start := e.open(hashList)
	for i := range v.Len() {
		e.value(v.Index(i), depth)
	}
	e.close(start)
}

func (e *hashEncoder) bytes(v reflect.Value) {
	e.dst = appendHashHead(e.dst, hashBytes, v.Len())
	if v.Kind() == reflect.Slice {
		e.dst = append(e.dst, v.Bytes()...)
		return
	}
	for i := range v.Len() { // Array.Bytes wants an addressable array.
		e.dst = append(e.dst, byte(v.Index(i).Uint()))
	}
}

// mapping sorts the encoded pairs, not the keys: keys that encode alike (two
// NaN, or int(1) and int64(1) in a map[any]T) are then in one order too.
func (e *hashEncoder) mapping(v reflect.Value, depth int) {
	pairs := make([][]byte, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		pair := hashEncoder{part: e.part}
		pair.value(it.Key(), depth)
		pair.value(it.Value(), depth)
		pairs = append(pairs, pair.dst)
	}
	slices.SortFunc(pairs, bytes.Compare)
	start := e.open(hashMap)
	for _, pair := range pairs {
		e.dst = append(e.dst, pair...)
	}
	e.close(start)
}

func (e *hashEncoder) structure(v reflect.Value, depth int) {
	t := v.Type()
	if t.ConvertibleTo(timeType) && v.CanInterface() {
		e.dst = appendHashTime(e.dst, v.Convert(timeType).Interface().(time.Time))
		return
	}
	start := e.open(hashStruct)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		if !f.IsExported() && !embedsStruct(f) {
			e.refuse(t, "has the unexported field "+f.Name)
		}
		e.dst = append(appendHashHead(e.dst, hashString, len(f.Name)), f.Name...)
		e.value(v.Field(i), depth)
	}
	e.close(start)
}

// embedsStruct says whether f embeds a struct, whose exported fields are then
// the outer struct's, even if the embedded type's own name is not exported.
func embedsStruct(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct
}

// open begins a part whose length is not known yet, close writes it.
func (e *hashEncoder) open(letter byte) (start int) {
	e.dst = appendHashHead(e.dst, letter, 0)
	return len(e.dst)
}

func (e *hashEncoder) close(start int) {
	binary.BigEndian.PutUint64(e.dst[start-8:], uint64(len(e.dst)-start))
}

func (e *hashEncoder) refuse(t reflect.Type, why string) {
	panic(fmt.Sprintf("cache: HashKey: part %d: %v %s", e.part, t, why))
}

func appendHashHead(dst []byte, letter byte, n int) []byte {
	return binary.BigEndian.AppendUint64(append(dst, letter), uint64(n))
}

func appendHash64(dst []byte, letter byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(appendHashHead(dst, letter, 8), v)
}

func appendHashBool(dst []byte, v bool) []byte {
	dst = appendHashHead(dst, hashBool, 1)
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendHashFloat(dst []byte, v float64) []byte {
	switch {
	case v == 0: // -0 is.
		v = 0
	case math.IsNaN(v): // There are 2^53 of them.
		v = math.NaN()
	}
	return appendHash64(dst, hashFloat, math.Float64bits(v))
}

func appendHashTime(dst []byte, v time.Time) []byte {
	dst = binary.BigEndian.AppendUint64(appendHashHead(dst, hashTime, 12), uint64(v.Unix()))
	return binary.BigEndian.AppendUint32(dst, uint32(v.Nanosecond()))
}
