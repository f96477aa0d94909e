package envelope

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// reader takes fields off the front of a body. After the first failure, which
// stays in err, every field reads as zero.
type reader struct {
	rest []byte
	err  error
}

// prefix reads everything before the payload, the checksum included.
func (r *reader) prefix() (flags byte, b Body) {
	if r.byte() != format {
		r.corrupt("format")
	}
	flags = r.byte()
	b.Absent = flags&flagAbsent != 0
	b.Codec = r.byte()
	b.Schema = binary.BigEndian.Uint16(r.take(2))
	b.LoadedAt = r.millis()
	b.Delta = r.duration(time.Microsecond)
	b.EWMA = r.duration(time.Microsecond)
	b.Soft = r.duration(time.Millisecond)
	b.Grace = r.duration(time.Millisecond)
	b.Clear = r.token()
	b.Tags = r.tags()
	if flags&flagProof != 0 {
		b.Proof = r.proof()
	}
	r.take(crcSize)
	return flags, b
}

// zeros stands in for what is missing. It is as long as the longest field of a
// fixed length, and nobody writes to it.
var zeros [TokenSize]byte

// take returns the next n bytes. They have no room behind them, so that who
// appends to them does not write into the record.
func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.rest) < n {
		r.err = ErrTruncated
	}
	if r.err != nil {
		return zeros[:min(n, len(zeros))]
	}
	field := r.rest[:n:n]
	r.rest = r.rest[n:]
	return field
}

func (r *reader) byte() byte { return r.take(1)[0] }

func (r *reader) millis() int64 {
	ms := binary.BigEndian.Uint64(r.take(8))
	if ms > math.MaxInt64 {
		r.corrupt("time of the load")
	}
	return int64(ms)
}

// duration reads a number of units. Of the spellings that a uvarint has, only
// the shortest is written.
func (r *reader) duration(unit time.Duration) time.Duration {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	switch {
	case n == 0:
		r.err = ErrTruncated
		return 0
	case n < 0 || v > uint64(math.MaxInt64/unit) || n > 1 && r.rest[n-1] == 0:
		r.corrupt("duration")
		return 0
	}
	r.rest = r.rest[n:]
	return time.Duration(v) * unit
}

// token reads a token; none is written as NoToken and never as zeros.
func (r *reader) token() Token {
	t := Token(r.take(TokenSize))
	if t == (Token{}) {
		r.corrupt("zero token")
	}
	return t
}

func (r *reader) tags() Tags {
	n := int(r.byte())
	if n > MaxTags {
		r.corrupt("number of tags")
		return nil
	}
	raw := r.take(n * tagSize)
	if r.err != nil || n == 0 {
		return nil
	}
	return raw
}

func (r *reader) proof() []byte {
	n := int(r.byte())
	if r.err == nil && (n == 0 || n > MaxProof) {
		r.corrupt("length of the proof")
	}
	if r.err != nil {
		return nil
	}
	return r.take(n)
}

// corrupt records that a field has a value which is never written.
func (r *reader) corrupt(field string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, field)
	}
}
