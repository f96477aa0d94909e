package envelope

import (
	"crypto/rand"
	"encoding/base64"
)

const (
	// TokenSize is the length of a token in bytes.
	TokenSize = 16

	processSize = 4 // leading characters, the same for all tokens of a process
)

// Token names one acquire of a lease, one write intent, one load, or one state
// of a tag. Tokens are compared for equality; those of one thing that scripts minted are
// also in the order of their minting.
//
// Those of [NewToken] are 16 base64url characters. Those that a script minted
// have another alphabet, so nothing may be read from the characters of a token
// except what [Token.Local] says.
type Token [TokenSize]byte

// NoToken is sixteen '-': no lease, no load, no clear token known. The zero
// Token is written as NoToken too. NewToken returns neither.
var NoToken = Token([]byte("----------------"))

// process is drawn once and never changed.
var process = newProcess()

// newProcess draws the characters that tell this process's tokens from others'.
// They are not those of NoToken, which belongs to nobody.
func newProcess() (p [processSize]byte) {
	for {
		var raw [3]byte
		_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
		base64.RawURLEncoding.Encode(p[:], raw[:])
		if p != [processSize]byte(NoToken[:processSize]) {
			return p
		}
	}
}

// NewToken returns a token that was never used before: four characters of the
// process, drawn when it started, and twelve that hold 72 random bits. It is
// safe for concurrent use and allocates nothing.
func NewToken() (t Token) {
	var raw [9]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	copy(t[:], process[:])
	base64.RawURLEncoding.Encode(t[processSize:], raw[:])
	return t
}

// ParseToken returns the token that s spells. It reports false, and the zero
// Token, if s is not exactly 16 bytes; the bytes themselves are not judged.
func ParseToken(s string) (Token, bool) {
	if len(s) != TokenSize {
		return Token{}, false
	}
	var t Token
	copy(t[:], s)
	return t, true
}

// String returns the sixteen characters. It costs one allocation.
func (t Token) String() string { return string(t[:]) }

// Local reports whether this process made t. Another process has the same four
// characters once in 16 million, so this is good for telling people, not for
// deciding who owns a lease. NoToken and the zero Token are not local.
func (t Token) Local() bool {
	return [processSize]byte(t[:processSize]) == process
}

// appendToken appends t as it is written in records.
func appendToken(dst []byte, t Token) []byte {
	if t == (Token{}) {
		t = NoToken
	}
	return append(dst, t[:]...)
}
