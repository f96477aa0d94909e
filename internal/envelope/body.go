package envelope

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	format = 1

	flagAbsent = 1 << 0
	flagProof  = 1 << 1
	flagList   = 1 << 2 // reserved: read as a newer program's
	known      = flagAbsent | flagProof

	// MaxProof is the greatest length in bytes of a [Body]'s Proof.
	MaxProof = 64

	fixedSize = 1 + 1 + 1 + 2 + 8 // format, flags, codec, schema, time of the load
	durations = 4
	crcSize   = 4
)

// BodyOverhead is the most that a body takes in bytes beside its payload.
const BodyOverhead = fixedSize + durations*binary.MaxVarintLen64 +
	TokenSize + 1 + MaxTags*tagSize + 1 + MaxProof + crcSize

// Body is the decoded body of a [Value] or [Dirty] record.
//
// Durations are rounded up to the unit they are kept in, so that a positive one
// never reads as 0. Negative ones, and a negative LoadedAt, are written as 0.
type Body struct {
	// Absent says that the system of record has no such record. There is no
	// payload to speak of then. A [Dirty] absent body is a tombstone.
	Absent bool
	// Codec identifies what encoded the payload, Schema which version of it.
	Codec  uint8
	Schema uint16
	// LoadedAt is when the load began, in milliseconds of Redis time. 0 means
	// unknown.
	LoadedAt int64
	// Delta is what the load cost and EWMA the moving average of such costs,
	// both kept in microseconds. 0 means unknown.
	Delta, EWMA time.Duration
	// Soft is how long the record is fresh, after jitter, and Grace how long
	// it is kept beyond, both in milliseconds.
	Soft, Grace time.Duration
	// Clear is the token of the whole cache when the load began.
	Clear Token
	// Tags are the tags that can invalidate the record. After [Decode] they
	// alias its input.
	Tags Tags
	// Proof is nil, or what authenticates the rest of the body before the checksum,
	// also of one without a payload: at most [MaxProof] bytes, which this package only
	// keeps. After [Decode] it aliases the input.
	Proof []byte
	// Proven is what stands before the proof, beginning with the format: of a decoded body
	// that has a proof. It aliases the input.
	Proven []byte
	// Payload is the encoded value, to the end of the record. After [Decode]
	// it aliases the input.
	Payload []byte
}

// AppendBody appends b to dst with four zero bytes in place of the checksum,
// which begins at byte crcAt of what was appended. The payload comes last:
// either it is in b, or b.Payload is nil and the caller appends it. [Seal] then
// completes the body.
//
// AppendBody allocates only if dst lacks room: give it [BodyOverhead] bytes and
// those of the payload.
//
// It fails and returns dst as it was with [ErrTags] if there are more than [MaxTags]
// tags, and with [ErrProof] if the proof is longer than [MaxProof].
func AppendBody(dst []byte, b *Body) (out []byte, crcAt int, err error) {
	if !b.Tags.valid() {
		return dst, 0, ErrTags
	}
	if len(b.Proof) > MaxProof {
		return dst, 0, ErrProof
	}
	start := len(dst)
	var flags byte
	if b.Absent {
		flags |= flagAbsent
	}
	if len(b.Proof) > 0 {
		flags |= flagProof
	}
	dst = append(dst, format, flags, b.Codec)
	dst = binary.BigEndian.AppendUint16(dst, b.Schema)
	dst = binary.BigEndian.AppendUint64(dst, uint64(max(b.LoadedAt, 0)))
	dst = appendDuration(dst, b.Delta, time.Microsecond)
	dst = appendDuration(dst, b.EWMA, time.Microsecond)
	dst = appendDuration(dst, b.Soft, time.Millisecond)
	dst = appendDuration(dst, b.Grace, time.Millisecond)
	dst = appendToken(dst, b.Clear)
	dst = append(dst, byte(b.Tags.Len()))
	dst = append(dst, b.Tags...)
	if n := len(b.Proof); n > 0 {
		dst = append(dst, byte(n))
		dst = append(dst, b.Proof...)
	}
	crcAt = len(dst) - start
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, b.Payload...), crcAt, nil
}

// appendDuration appends d in whole units, rounded up. What a Duration cannot
// hold after rounding is cut to what it can.
func appendDuration(dst []byte, d, unit time.Duration) []byte {
	d = max(d, 0)
	n := d / unit
	if d%unit > 0 && n < math.MaxInt64/unit {
		n++
	}
	return binary.AppendUvarint(dst, uint64(n))
}
