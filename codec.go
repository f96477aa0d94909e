package cache

import (
	"bytes"
	"errors"
)

// Codec turns values into bytes and back. It must be safe for concurrent use,
// and a value that it encodes must decode to an equal one. The interface never
// grows: a new ability is an optional interface beside it, such as [CodecID].
type Codec interface {
	// Append encodes v behind dst and returns the extended slice, as append
	// does. It keeps neither dst nor v.
	Append(dst []byte, v any) ([]byte, error)
	// Decode decodes data into v, a non-nil pointer. Nobody else uses data, so what
	// is decoded may refer to it. An error makes the entry a miss that the next load replaces.
	Decode(data []byte, v any) error
}

// CodecID is optional on a [Codec]: an id that is kept in every entry, so that
// an entry written with another codec is a miss instead of a misreading. JSON
// is 1; codecs without an id count as 0; ids below 16 are the library's.
type CodecID interface{ CodecID() uint8 }

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

// codecFor is c as a cache uses it, and whether that has to give it a copy of the data:
// values that may refer to what they are decoded from must be the only ones that do.
// JSON's may if keeps says so of their type, those of codecs that nobody here knows in
// any case. A layer of this package decodes from a buffer that it uses again where its
// inner codec needs no copy.
func codecFor(c Codec, keeps bool) (_ Codec, clone bool) {
	switch c := c.(type) {
	case jsonCodec:
		return c, keeps
	case *encrypted:
		layer := *c
		layer.inner, clone = codecFor(c.inner, keeps)
		layer.reuses = !clone
		return &layer, false // the inner codec is given what was decrypted
	case *compressed:
		layer, clone := c.layerFor(keeps)
		return &layer, clone
	case *entryCompressed:
		layer, clone := c.layerFor(keeps)
		return &entryCompressed{layer}, clone
	}
	return c, true
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

// decodeValue decodes the value of key into v. v refers to no part of data.
func (c *Cache[T]) decodeValue(data []byte, key string, v *T) error {
	if c.config.clone {
		data = bytes.Clone(data)
	}
	if codec := c.config.entryCodec; codec != nil {
		return codec.DecodeEntry(data, c.space.Entry(key), v)
	}
	return c.config.codec.Decode(data, v)
}
