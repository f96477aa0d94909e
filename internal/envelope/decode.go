package envelope

import "fmt"

// Decode decodes rec, which was read from the full Redis key named key. It
// copies nothing: the Tags and the Payload of the body alias rec. It allocates
// nothing unless the record is bad, never panics, and accepts exactly what
// [AppendHeader], [AppendBody] and [Seal] write.
//
// The error Is [ErrForeign], [ErrTruncated], [ErrCorrupt], [ErrNewer] or
// [ErrNoBody]. The body is zero with each. The header is valid with ErrNoBody
// and where the fault is in the body; otherwise it is as [ParseHeader] says.
//
// Decode does not say whether the value may be served: deadlines, the clear
// token, tags, codec and schema are the caller's to compare.
func Decode(rec []byte, key string) (Header, Body, error) {
	h, err := ParseHeader(rec)
	if err != nil {
		return h, Body{}, err
	}
	if !h.Kind.hasBody() {
		return h, Body{}, ErrNoBody
	}
	b, err := decodeBody(rec, h, key)
	return h, b, err
}

// decodeBody decodes the body of rec, whose header is h.
//
// The order of the checks matters. The format is looked at first, because
// nothing is known of a newer one, not even where its checksum is. The flags
// come last: an unknown one is a newer version's only if the checksum holds.
func decodeBody(rec []byte, h Header, key string) (Body, error) {
	body := rec[HeaderSize:]
	if len(body) > 0 && body[0] > format {
		return Body{}, fmt.Errorf("%w: format %d", ErrNewer, body[0])
	}
	r := reader{rest: body}
	flags, b := r.prefix()
	if r.err != nil {
		return Body{}, r.err
	}
	b.Payload = r.rest
	crcAt := len(body) - len(b.Payload) - crcSize
	if b.Proof != nil {
		b.Proven = body[:crcAt-len(b.Proof)-1]
	}
	if !intact(rec, h, crcAt, key) {
		return Body{}, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	if flags&^known != 0 {
		return Body{}, fmt.Errorf("%w: flags %#x", ErrNewer, flags)
	}
	return b, nil
}

// PeekSize is how much of a record [SaysAbsent] looks at.
const PeekSize = HeaderSize + 2

// SaysAbsent reports whether the body of a record, of which only the beginning need be
// there, says that there is no value. It does not look at the checksum.
func SaysAbsent(rec []byte) bool {
	return len(rec) >= PeekSize && rec[HeaderSize] == format && rec[HeaderSize+1]&flagAbsent != 0
}
