package cache

import (
	"encoding/json"
	"slices"
)

// Codec turns values into bytes and back. It must be safe for concurrent use,
// and a value that it encodes must decode to an equal one. The interface never
// grows: a new ability is an optional interface beside it, such as [CodecID].
type Codec interface {
	// Append encodes v behind dst and returns the extended slice, as append
	// does. It keeps neither dst nor v.
	Append(dst []byte, v any) ([]byte, error)
	// Decode decodes data into v, a non-nil pointer. It keeps no part of data.
	// An error makes the entry a miss that the next load replaces.
	Decode(data []byte, v any) error
}

// CodecID is optional on a [Codec]: an id that is kept in every entry, so that
// an entry written with another codec is a miss instead of a misreading. JSON
// is 1; codecs without an id count as 0; ids below 16 are the library's.
type CodecID interface{ CodecID() uint8 }

// JSON is the default codec: encoding/json, so struct tags, MarshalJSON and
// UnmarshalJSON work as everywhere else.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) CodecID() uint8 { return 1 }

func (jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return append(slices.Grow(dst, len(data)), data...), nil
}

func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

func codecID(c Codec) uint8 {
	if id, ok := c.(CodecID); ok {
		return id.CodecID()
	}
	return 0
}
