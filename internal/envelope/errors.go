package envelope

import "errors"

// What can be wrong with a record. Callers branch on these with [errors.Is].
var (
	// ErrForeign says that the record is not ours: its magic is not "K1". It
	// must not be overwritten.
	ErrForeign = errors.New("envelope: foreign record")

	// ErrTruncated says that the record is ours, or empty, but ends before its
	// payload begins. It may be replaced.
	ErrTruncated = errors.New("envelope: truncated record")

	// ErrCorrupt says that the record is ours and was not written so: the
	// checksum does not match, also because the record was copied from another
	// key, or a field has a value that is never written. It may be replaced.
	ErrCorrupt = errors.New("envelope: corrupt record")

	// ErrNewer says that a newer version of this library wrote the record: the
	// kind, the end of the header, the format of the body or one of its flags is
	// unknown. Who loads must leave it alone, for the newer processes use it; who
	// changes what it caches may remove it.
	ErrNewer = errors.New("envelope: record of a newer version")

	// ErrNoBody says that a record of this kind carries no value: it is a
	// Lease, an Intent or a Backoff. The header is valid.
	ErrNoBody = errors.New("envelope: record without a body")

	// ErrTags says that tags to be encoded are more than [MaxTags], or are not
	// a sequence of whole tags.
	ErrTags = errors.New("envelope: not a list of at most 32 tags")

	// ErrProof says that a proof to be encoded is longer than [MaxProof].
	ErrProof = errors.New("envelope: a proof of more than 64 bytes")
)
