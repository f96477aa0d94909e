package record

// Reason is why a record is not used.
type Reason uint8

// The reasons, in the order in which they are looked for.
const (
	Usable       Reason = iota // it is used, or there is none, or its time is over
	OtherType                  // a Redis type other than a string
	OtherBytes                 // not this library's
	NewerProgram               // of a format that this program does not know
	BeingWritten               // a write is open
	Damaged                    // cut short, or its checksum is not that of its bytes under this key
	NewerSchema
	OtherCodec
	OlderSchema
	PastMaxAge
	Revoked     // a token that it depends on was replaced
	Undecodable // its codec does not decode it
)

// Corrupt reports whether the reason lies in the bytes: something has written what this
// program cannot read. An entry that was invalidated, or is too old, is in order.
func (r Reason) Corrupt() bool {
	switch r {
	case Damaged, OtherCodec, OlderSchema, Undecodable:
		return true
	}
	return false
}
