package cache

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	fastjson "github.com/segmentio/encoding/json"
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

// CodecCopies is optional on a [Codec]: CopiesData reports that nothing of what it
// decodes refers to the data, so that the cache may use the buffer again for the next
// reply, which spares the collector a value's size on each hit. Decode must not keep
// its data in any case; but encoders that make strings of it without a copy are
// common, so without this promise a buffer is used once. The library's codecs copy.
type CodecCopies interface{ CopiesData() bool }

// EntryCodec is optional on a [Codec] whose bytes depend on the entry that they
// are for: [Encrypted] is one, so that a value cannot be moved to another key.
// The cache calls AppendEntry and DecodeEntry then. Append and Decode are the
// same for the empty entry.
//
// An entry is its cache's name, in which every byte of "%:!{}" and all below
// 0x21 or above 0x7e are written as %XX, a colon, and the key as it is:
// "users:42". It is the same under all strategies.
type EntryCodec interface {
	Codec
	AppendEntry(dst []byte, entry string, v any) ([]byte, error)
	DecodeEntry(data []byte, entry string, v any) error
}

// JSON is the default codec: the text that encoding/json makes, so struct tags,
// MarshalJSON and UnmarshalJSON work as everywhere else. It is read by
// segmentio/encoding, which makes the same values of it in a fraction of the time,
// and by encoding/json again where that finds an error.
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

func (jsonCodec) Decode(data []byte, v any) error {
	if fastjson.Unmarshal(data, v) == nil {
		return nil
	}
	reflect.ValueOf(v).Elem().SetZero() // of what was decoded before the error
	return json.Unmarshal(data, v)
}

// CopiesData reports true.
func (jsonCodec) CopiesData() bool { return true }

// copies reports whether what c decodes is known to keep no part of the data.
func copies(c Codec) bool {
	promise, ok := c.(CodecCopies)
	return ok && promise.CopiesData()
}

// codecID is the id that entries of c carry.
func codecID(c Codec) uint8 {
	if id, ok := c.(CodecID); ok {
		return id.CodecID()
	}
	return 0
}

// problemOfCodec is why New refuses the codec; "" if it does not.
func problemOfCodec(c Codec) string {
	if c == nil {
		return "codec is nil"
	}
	if c, ok := c.(interface{ problem() string }); ok {
		return c.problem()
	}
	return ""
}

// appendEntry encodes v by c, for the entry if c cares.
func appendEntry(c Codec, dst []byte, entry string, v any) ([]byte, error) {
	if c, ok := c.(EntryCodec); ok {
		return c.AppendEntry(dst, entry, v)
	}
	return c.Append(dst, v)
}

// decodeEntry decodes what [appendEntry] has made.
func decodeEntry(c Codec, data []byte, entry string, v any) error {
	if c, ok := c.(EntryCodec); ok {
		return c.DecodeEntry(data, entry, v)
	}
	return c.Decode(data, v)
}

// errNotAppended says that a codec broke the contract of Append. Its bytes may
// be the caller's own, so they must not end up in a pool.
var errNotAppended = errors.New("the codec did not append to what it was given")

// appendValue encodes the value of key. The entry's name costs an allocation,
// which codecs that do not use it are spared.
func (c *Cache[T]) appendValue(dst []byte, key string, v T) ([]byte, error) {
	if codec := c.config.entryCodec; codec != nil {
		return codec.AppendEntry(dst, c.space.Entry(key), v)
	}
	return c.config.codec.Append(dst, v)
}

// decodeValue decodes the value of key into v.
func (c *Cache[T]) decodeValue(data []byte, key string, v *T) error {
	if codec := c.config.entryCodec; codec != nil {
		return codec.DecodeEntry(data, c.space.Entry(key), v)
	}
	return c.config.codec.Decode(data, v)
}
