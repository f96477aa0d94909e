package envelope

import (
	"fmt"
	"strconv"
)

// Kind says what a record is. The set is closed within magic "K1" and format 1:
// a letter that is not listed here was written by a newer version.
type Kind byte

// The kinds of records. Only Value and Dirty have a [Body].
const (
	// Lease is a load in progress with no value beside it.
	Lease Kind = 'L'
	// Value is a value, or the knowledge that there is none. It may carry the
	// lease of a refresh.
	Value Kind = 'V'
	// Intent is one or more writes in progress; readers go past the cache.
	Intent Kind = 'W'
	// Backoff is a load that failed; nobody tries again before the deadline.
	Backoff Kind = 'E'
	// Dirty is a write-behind value that the system of record lacks as yet.
	Dirty Kind = 'D'
)

// HeaderSize is the length in bytes of every record's header.
const HeaderSize = 80

// Where the fields of a header begin. The scripts count from 1.
const (
	magic = "K1"

	kindAt    = 2
	untilAt   = 3
	freshAt   = 16
	tokenAt   = 29
	cidAt     = 45
	versionAt = 61
	restAt    = 77
)

const (
	timeSize    = freshAt - untilAt
	versionSize = restAt - versionAt

	// rest is what stands behind the version. A later program may write something
	// else there.
	rest = "000"

	// latest is the last millisecond that fits: in the year 2286.
	latest = 9_999_999_999_999
)

// Header is the decoded header of a record.
type Header struct {
	// Kind says what the record is.
	Kind Kind
	// Until is the deadline of the lease or back-off, or of the last [Intent], in
	// milliseconds of Redis time; of a [Dirty] record it is no time, but 1 if a
	// write was in progress when it was put, and 2 in a dead letter that a write past
	// the cache came after. 0 means none. It is written with 13
	// digits: negative as 0, and nothing later than the year 2286.
	Until int64
	// Fresh is until when the body is fresh, in milliseconds of Redis time, written
	// as Until is. 0 means that nobody knows; where there is no body it is 0. It is odd
	// where Expire has made the entry stale before its time, else even.
	Fresh int64
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

// ParseHeader decodes the first 80 bytes of rec and ignores the others. It
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
	if string(rec[restAt:HeaderSize]) != rest {
		return h, fmt.Errorf("%w: end of the header", ErrNewer)
	}
	if h.Token == (Token{}) || h.CID == (Token{}) {
		return h, fmt.Errorf("%w: zero token", ErrCorrupt)
	}
	var ok bool
	if h.Until, ok = parseTime(rec[untilAt:freshAt]); !ok {
		return h, fmt.Errorf("%w: deadline", ErrCorrupt)
	}
	if h.Fresh, ok = parseTime(rec[freshAt:tokenAt]); !ok || h.Fresh != 0 && h.Kind != Value {
		return h, fmt.Errorf("%w: soft deadline", ErrCorrupt)
	}
	if !h.parseVersion(rec[versionAt:restAt]) {
		return h, fmt.Errorf("%w: version", ErrCorrupt)
	}
	return h, nil
}

// AppendHeader appends the 80 bytes of h to dst. A zero Token or CID is written
// as [NoToken]; Conflict is ignored unless h is an [Intent], Version if it is, and
// Fresh unless it is a [Value]. h.Kind must be one of the constants, for no other
// can be read back.
func AppendHeader(dst []byte, h Header) []byte {
	version, fresh := h.Version, int64(0)
	switch h.Kind {
	case Intent:
		version = 0
	case Value:
		fresh = h.Fresh
	}
	dst = append(dst, magic...)
	dst = append(dst, byte(h.Kind))
	dst = AppendTime(dst, h.Until)
	dst = AppendTime(dst, fresh)
	dst = appendToken(dst, h.Token)
	dst = appendToken(dst, h.CID)
	dst = AppendVersion(dst, version)
	if h.Kind == Intent && h.Conflict {
		dst[len(dst)-versionSize] = '1'
	}
	return append(dst, rest...)
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
	return k == Value || k == Dirty
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

func parseTime(field []byte) (ms int64, ok bool) {
	for _, c := range field {
		if c < '0' || '9' < c {
			return 0, false
		}
		ms = ms*10 + int64(c-'0')
	}
	return ms, true
}

// AppendTime writes all 13 digits, so that a script can patch a deadline in place.
func AppendTime(dst []byte, ms int64) []byte {
	var digits [timeSize]byte
	s := strconv.AppendInt(digits[:0], min(max(ms, 0), latest), 10)
	for range timeSize - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}
