package cache

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"
)

// CompressOptions configure [Compressed]. Zero means the default; New refuses
// what is below.
type CompressOptions struct {
	// Above is the size in bytes of the largest encoding that is left as it is.
	// Default 1 KiB.
	Above int
	// MaxDecoded bounds in bytes what an entry may unpack to; one that claims more
	// is a miss, before any memory is taken for it. Encodings above it are not
	// compressed, since they could not be read. Default 16 MiB. A process that
	// lowers it replaces the larger entries of the others.
	MaxDecoded int
}

// Compressed is c with its encodings made smaller by S2: those above o.Above,
// and only where that saves something. It is for large values, whose place in
// Redis and on the wire costs more than the time: unpacking JSON takes one or
// two hundredths of what decoding it takes, packing about half of encoding it.
//
// Entries are marked by the id of c ([CodecID]): those of another codec, and
// those that c alone has written, are misses and replaced. If c is an
// [EntryCodec], so is the result. New refuses a c that is Compressed itself, or
// [Encrypted], which leaves nothing to compress: use Encrypted(Compressed(…), …).
func Compressed(c Codec, o CompressOptions) Codec {
	if o.Above == 0 {
		o.Above = 1 << 10
	}
	if o.MaxDecoded == 0 {
		o.MaxDecoded = 16 << 20
	}
	outer := compressed{inner: c, innerID: codecID(c), o: o, refused: o.problem(c)}
	if _, ok := c.(EntryCodec); ok {
		return &entryCompressed{outer}
	}
	return &outer
}

// A payload of Compressed is one byte that says how the rest is packed, the id
// of the inner codec, and the rest.
const (
	packedNot = 0
	packedS2  = 1 // an S2 block: the unpacked size as a uvarint, and what makes it

	packedHead = 2
)

var errPacked = errors.New("not a compressed value of this codec")

// compressed is the codec of Compressed.
type compressed struct {
	inner   Codec
	innerID uint8
	o       CompressOptions
	refused string // why New refuses it
	reuses  bool   // buffers that inner has decoded from
}

// entryCompressed is compressed over an EntryCodec.
type entryCompressed struct{ compressed }

// problem is why the options cannot be used with inner; "" if they can.
func (o CompressOptions) problem(inner Codec) string {
	var all []string
	if o.Above < 0 {
		all = append(all, fmt.Sprintf("CompressOptions.Above: %d is negative", o.Above))
	}
	if o.MaxDecoded < 0 {
		all = append(all, fmt.Sprintf("CompressOptions.MaxDecoded: %d is negative", o.MaxDecoded))
	}
	switch inner.(type) {
	case *compressed, *entryCompressed:
		all = append(all, "Compressed(Compressed(…)): compress once")
	case *encrypted:
		all = append(all, "Compressed(Encrypted(…)): what is encrypted does not compress; use Encrypted(Compressed(…), …)")
	}
	if problem := problemOfCodec(inner); problem != "" {
		all = append(all, "Compressed: "+problem)
	}
	return strings.Join(all, "; ")
}

func (c *compressed) problem() string { return c.refused }

func (c *compressed) CodecID() uint8 { return layerCompressed.over(c.inner) }

// compresses is what is compressed.
func (c *compressed) compresses() Codec { return c.inner }

func (c *compressed) forType(d decoded) (Codec, bool) {
	layer, clone := c.layerFor(d)
	return &layer, clone
}

func (c *entryCompressed) forType(d decoded) (Codec, bool) {
	layer, clone := c.layerFor(d)
	return &entryCompressed{layer}, clone
}

// layerFor is [codecFor] of c: what is not packed is given to the inner codec as it is.
func (c *compressed) layerFor(d decoded) (layer compressed, clone bool) {
	layer = *c
	layer.inner, clone = codecFor(c.inner, d)
	layer.reuses = !clone
	return layer, clone
}

func (c *compressed) Append(dst []byte, v any) ([]byte, error) { return c.pack(dst, "", v) }

func (c *compressed) Decode(data []byte, v any) error { return c.unpack(data, "", v) }

func (c *entryCompressed) AppendEntry(dst []byte, entry string, v any) ([]byte, error) {
	return c.pack(dst, entry, v)
}

func (c *entryCompressed) DecodeEntry(data []byte, entry string, v any) error {
	return c.unpack(data, entry, v)
}

// pack appends the payload of v.
func (c *compressed) pack(dst []byte, entry string, v any) ([]byte, error) {
	if c.refused != "" {
		return dst, errors.New(c.refused)
	}
	scratch := borrowScratch()
	plain, err := appendEntry(c.inner, append(*scratch, packedNot, c.innerID), entry, v)
	switch {
	case err != nil:
		returnScratch(scratch, *scratch)
		return dst, err
	case len(plain) < packedHead:
		return dst, errNotAppended
	}
	dst = c.shrink(dst, plain)
	returnScratch(scratch, plain)
	return dst, nil
}

// shrink appends plain, a payload that is not packed, or what it is packed.
func (c *compressed) shrink(dst, plain []byte) []byte {
	value := plain[packedHead:]
	most := s2.MaxEncodedLen(len(value)) // negative: more than S2 can do
	if len(value) <= c.o.Above || len(value) > c.o.MaxDecoded || most < 0 {
		return append(dst, plain...)
	}
	scratch := borrowScratch()
	packed := s2.EncodeBetter(slices.Grow(*scratch, most), value)
	if len(packed) < len(value) {
		dst = slices.Grow(dst, packedHead+len(packed))
		dst = append(dst, packedS2, c.innerID)
		dst = append(dst, packed...)
	} else {
		dst = append(dst, plain...)
	}
	returnScratch(scratch, packed)
	return dst
}

// unpack decodes a payload into v.
func (c *compressed) unpack(data []byte, entry string, v any) error {
	if c.refused != "" {
		return errors.New(c.refused)
	}
	if len(data) < packedHead || data[1] != c.innerID {
		return errPacked
	}
	value := data[packedHead:]
	switch data[0] {
	case packedNot:
		return decodeEntry(c.inner, value, entry, v)
	case packedS2:
		return c.expand(value, entry, v)
	}
	return errPacked
}

// expand decodes an S2 block into v. Decode makes room for the claimed size and
// for no byte more, and fails if the block does not fill it exactly: so a claim
// within the bound cannot be exceeded, either.
func (c *compressed) expand(block []byte, entry string, v any) error {
	size, err := s2.DecodedLen(block)
	if err != nil {
		return err
	}
	if size > c.o.MaxDecoded {
		return fmt.Errorf("unpacks to %d bytes, more than CompressOptions.MaxDecoded %d", size, c.o.MaxDecoded)
	}
	scratch, room := borrowScratchIf(c.reuses, size)
	value, err := s2.Decode(room, block)
	if err != nil {
		returnScratch(scratch, room)
		return err
	}
	err = decodeEntry(c.inner, value, entry, v)
	returnScratch(scratch, value)
	return err
}
