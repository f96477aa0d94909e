package cache

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/larder-go/cache/internal/keyspace"
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

// decoded is what becomes of values that a codec decodes.
type decoded struct {
	keeps bool // they may refer to what they are decoded from
	stays bool // they stay in memory, with whatever room they have
}

// forType is optional on a codec of this package: how it is used by a cache of such
// values, and whether the cache has to give it a copy of the data then.
type forType interface {
	forType(d decoded) (_ Codec, clone bool)
}

// codecFor is c as a cache uses it, and whether that has to give it a copy of the data:
// values that may refer to what they are decoded from must be the only ones that do.
// JSON's may if keeps says so of their type, those of codecs that nobody here knows in
// any case. A layer of this package decodes from a buffer that it uses again where its
// inner codec needs no copy.
func codecFor(c Codec, d decoded) (_ Codec, clone bool) {
	if c, ok := c.(forType); ok {
		return c.forType(d)
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
	if id := codecID(c); !ours(c) && id > 0 && id < 16 {
		return fmt.Sprintf("the codec's id is %d; those below 16 are the library's", id)
	}
	return ""
}

// ours reports whether a codec is of this package.
func ours(c Codec) bool { _, ok := c.(forType); return ok }

// tryCodec is what is wrong with how a codec encodes v.
func tryCodec(c Codec, v any) error {
	before := []byte("what was there before")
	data, err := c.Append(before, v)
	if err == nil && !bytes.HasPrefix(data, before) {
		err = errNotAppended
	}
	return err
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

// valueCodec is how a cache turns its values into bytes.
type valueCodec struct {
	codec Codec
	entry EntryCodec // codec, if it is one
	seal  sealer     // codec, if it is one
	id    uint8
	clone bool // what the codec decodes may refer to the data
	space keyspace.Space
}

// valueCodecFor is that of a cache with the codec c, of whose values JSON decodes such as
// d says.
func valueCodecFor(c Codec, d decoded, space keyspace.Space) valueCodec {
	e := valueCodec{id: codecID(c), space: space}
	e.codec, e.clone = codecFor(c, d)
	e.entry, _ = e.codec.(EntryCodec)
	e.seal, _ = e.codec.(sealer)
	return e
}

// sealer is optional on a codec of this package: it authenticates what is kept of an entry
// beside its value, and hides texts about it. [Encrypted] is the only one, and is outermost.
type sealer interface {
	// prove writes the proof that what is proven, and the payload if there is one, belong to
	// entry; it has proofSize bytes.
	prove(proof []byte, entry string, proven, payload []byte)
	// proven is nil if that is what prove has written.
	proven(proof []byte, entry string, proven, payload []byte) error
	// sealText hides a text about entry, and openText reads it.
	sealText(entry, text string) string
	openText(entry, sealed string) (string, error)
}

// proofSize is the length of a proof in bytes.
const proofSize = 16

// proofs is how long the proofs are in a cache's entries.
func (e *valueCodec) proofs() int {
	if e.seal == nil {
		return 0
	}
	return proofSize
}

// prove completes the record of key with its proof, if the codec has some.
func (e *valueCodec) prove(key string, proven, payload, proof []byte) {
	if e.seal != nil {
		e.seal.prove(proof, e.space.Entry(key), proven, payload)
	}
}

// errProof says that what stands beside a value is not what its writer has written.
var errProof = errors.New("the record was changed by somebody who does not have the key")

// proven is nil if the body of key's record is what was written, or the codec proves nothing.
func (e *valueCodec) proven(key string, proof, proven, payload []byte) error {
	if e.seal == nil {
		return nil
	}
	return e.seal.proven(proof, e.space.Entry(key), proven, payload)
}

// sealText hides a text about key, if the codec hides anything.
func (e *valueCodec) sealText(key, text string) string {
	if e.seal == nil {
		return text
	}
	return e.seal.sealText(e.space.Entry(key), text)
}

// openText reads what sealText has made.
func (e *valueCodec) openText(key, sealed string) string {
	if e.seal == nil {
		return sealed
	}
	text, err := e.seal.openText(e.space.Entry(key), sealed)
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	return text
}

// append encodes the value of key. The entry's name costs an allocation,
// which codecs that do not use it are spared.
func (e *valueCodec) append(dst []byte, key string, v any) ([]byte, error) {
	var data []byte
	var err error
	if e.entry != nil {
		data, err = e.entry.AppendEntry(dst, e.space.Entry(key), v)
	} else {
		data, err = e.codec.Append(dst, v)
	}
	if err == nil && !bytes.HasPrefix(data, dst) {
		return nil, errNotAppended
	}
	return data, err
}

// decode decodes the value of key into v, a pointer. v refers to no part of data.
func (e *valueCodec) decode(data []byte, key string, v any) error {
	if e.clone {
		data = bytes.Clone(data)
	}
	if e.entry != nil {
		return e.entry.DecodeEntry(data, e.space.Entry(key), v)
	}
	return e.codec.Decode(data, v)
}

// jsonID is the id of JSON, in every entry that has it: frozen, too.
const jsonID = 1

// layer is a codec of this package around another one.
type layer uint8

// The ids of layers: one for each layer over each kind of innermost codec. They
// are in every entry, so they are frozen.
//
//	                        JSON   with an id of its own   without
//	Compressed(c)              2                       5         8
//	Encrypted(c)               3                       6         9
//	Encrypted(Compressed(c))   4                       7        10
//
// One byte cannot hold the layers and the id of a codec of the caller's. So the
// layer itself holds the inner id, too: Compressed in its payload, Encrypted in
// what it authenticates. A reader whose inner codec has another id does not
// decode the value. Only codecs without an id cannot be told apart.
const (
	layerCompressed layer = iota + 2
	layerEncrypted
	layerEncryptedCompressed
)

// over is the id of the layer around inner.
func (l layer) over(inner Codec) uint8 {
	if c, ok := inner.(interface{ compresses() Codec }); ok {
		return layerEncryptedCompressed.over(c.compresses())
	}
	switch codecID(inner) {
	case jsonID:
		return uint8(l)
	case 0:
		return uint8(l) + 6
	}
	return uint8(l) + 3
}

// scratches are buffers for what a codec makes on its way to other bytes.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// scratchKept is the largest buffer in bytes that is kept: one huge value must
// not hold memory for good.
const scratchKept = 1 << 20

func borrowScratch() *[]byte { return scratches.Get().(*[]byte) }

// borrowScratchIf is borrowScratch, with its room, if pooled; else the room is new, of
// size bytes, and there is nothing to give back.
func borrowScratchIf(pooled bool, size int) (b *[]byte, room []byte) {
	if pooled {
		b = borrowScratch()
		return b, *b
	}
	return nil, make([]byte, 0, size)
}

// returnScratch gives b back, as buf: what b has grown to.
func returnScratch(b *[]byte, buf []byte) {
	if b == nil || cap(buf) > scratchKept {
		return
	}
	*b = buf[:0]
	scratches.Put(b)
}
