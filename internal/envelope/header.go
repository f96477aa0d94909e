package envelope

import (
	"fmt"
	"strconv"
)

// Kind says what a record is. The set is closed within magic "K1" and format 1:
// a letter that is not listed here was written by a newer version.
type Kind byte

// The kinds of records. Only Value, Soft and Dirty have a [Body].
const (
	// Lease is a load in progress with no value beside it.
	Lease Kind = 'L'
	// Value is a value, or the knowledge that there is none. It may carry the
	// lease of a refresh.
	Value Kind = 'V'
	// Soft is a Value that was invalidated but may still be served stale.
	Soft Kind = 'S'
	// Intent is one or more writes in progress; readers go past the cache.
	Intent Kind = 'W'
	// Backoff is a load that failed; nobody tries again before the deadline.
	Backoff Kind = 'E'
	// Dirty is a write-behind value that the system of record lacks as yet.
	Dirty Kind = 'D'
)

// HeaderSize is the length in bytes of every record's header.
const HeaderSize = 64

// Where the fields of a header begin. The scripts count from 1.
const (
	magic = "K1"

	kindAt    = 2
	untilAt   = 3
	tokenAt   = 16
	cidAt     = 32
	versionAt = 48
)

const (
	untilSize   = tokenAt - untilAt
	versionSize = HeaderSize - versionAt

	// maxUntil is the last millisecond that fits: in the year 2286.
	maxUntil = 9_999_999_999_999
)

// Header is the decoded header of a record.
type Header struct {
	// Kind says what the record is.
	Kind Kind
	// Until is the deadline of the lease, intent or back-off in milliseconds of
	// Redis time. 0 means none. It is written with 13 digits: negative as 0, and
	// nothing later than the year 2286.
	Until int64
	// Token is the lease's holder, [NoToken] if there is none.
	Token Token
	// CID is the token of the load or Set that produced the body. It is
	// [NoToken] where there is no body, and where a write-behind put wrote it.
	CID Token
	// Version orders the writes of versioned records. 0 means unversioned, and
	// always is for an [Intent].
	Version uint64
	// Conflict says, in an [Intent] only, that what the writers would store is
	// no longer known to be the newest.
	Conflict bool
}

// SealedVersion returns the version that the checksum of the body covers, which
// is what [Seal] was given: Version, or 0 where CID is [NoToken]. Such a body
// came with a write-behind put, whose version Redis assigns after it was sealed.
func (h Header) SealedVersion() uint64 {
	if h.CID == NoToken {
		return 0
	}
	return h.Version
}

// ParseHeader decodes the first 64 bytes of rec and ignores the others. It
// allocates nothing unless it fails.
//
// The errors are those of [Decode] that concern the header. With [ErrCorrupt]
// and [ErrNewer] the Kind, Token and CID are nevertheless the record's, because
// a record is replaced by naming its CID.
func ParseHeader(rec []byte) (Header, error) {
	if err := checkMagic(rec); err != nil {
		return Header{}, err
	}
	h := Header{
		Kind:  Kind(rec[kindAt]),
		Token: Token(rec[tokenAt:cidAt]),
		CID:   Token(rec[cidAt:versionAt]),
	}
	if !h.Kind.known() {
		return h, fmt.Errorf("%w: kind %q", ErrNewer, byte(h.Kind))
	}
	if h.Token == (Token{}) || h.CID == (Token{}) {
		return h, fmt.Errorf("%w: zero token", ErrCorrupt)
	}
	var ok bool
	if h.Until, ok = parseUntil(rec[untilAt:tokenAt]); !ok {
		return h, fmt.Errorf("%w: deadline", ErrCorrupt)
	}
	if !h.parseVersion(rec[versionAt:HeaderSize]) {
		return h, fmt.Errorf("%w: version", ErrCorrupt)
	}
	return h, nil
}

// AppendHeader appends the 64 bytes of h to dst. A zero Token or CID is written
// as [NoToken]; Conflict is ignored unless h is an [Intent], and Version if it
// is. h.Kind must be one of the constants, for no other can be read back.
func AppendHeader(dst []byte, h Header) []byte {
	dst = append(dst, magic...)
	dst = append(dst, byte(h.Kind))
	dst = appendUntil(dst, h.Until)
	dst = appendToken(dst, h.Token)
	dst = appendToken(dst, h.CID)
	if h.Kind != Intent {
		return AppendVersion(dst, h.Version)
	}
	dst = AppendVersion(dst, 0)
	if h.Conflict {
		dst[len(dst)-versionSize] = '1'
	}
	return dst
}

// AppendVersion appends v to dst as 16 lowercase hexadecimal digits, so that
// the scripts can compare versions as strings.
func AppendVersion(dst []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&0xf])
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// checkMagic tells a whole header of ours from other bytes. The order of its
// answers is that of the scripts: nothing at all may be overwritten like a
// record that was cut short, a single 'K' may not.
func checkMagic(rec []byte) error {
	switch {
	case len(rec) == 0:
		return ErrTruncated
	case len(rec) < len(magic) || string(rec[:len(magic)]) != magic:
		return ErrForeign
	case len(rec) < HeaderSize:
		return ErrTruncated
	}
	return nil
}

func (k Kind) known() bool {
	return k.hasBody() || k == Lease || k == Intent || k == Backoff
}

func (k Kind) hasBody() bool {
	return k == Value || k == Soft || k == Dirty
}

// parseVersion sets Version, or Conflict if h is an Intent.
func (h *Header) parseVersion(field []byte) bool {
	v, ok := parseHex(field)
	if h.Kind != Intent {
		h.Version = v
		return ok
	}
	const conflict = 1 << 60 // the first of the sixteen digits
	h.Conflict = v == conflict
	return ok && (v == 0 || v == conflict)
}

// parseHex accepts lowercase digits only, since each version has one spelling.
func parseHex(field []byte) (v uint64, ok bool) {
	for _, c := range field {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

func parseUntil(field []byte) (ms int64, ok bool) {
	for _, c := range field {
		if c < '0' || '9' < c {
			return 0, false
		}
		ms = ms*10 + int64(c-'0')
	}
	return ms, true
}

// appendUntil writes all 13 digits, so that a script can patch the deadline in
// place.
func appendUntil(dst []byte, ms int64) []byte {
	var digits [untilSize]byte
	s := strconv.AppendInt(digits[:0], min(max(ms, 0), maxUntil), 10)
	for range untilSize - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}
