package envelope

import "encoding/binary"

const (
	// MaxTags is the number of tags that a record may have.
	MaxTags = 32

	tagIDSize = 8
	tagSize   = tagIDSize + TokenSize
)

// Tag is what a record remembers of a tag: the record is valid only as long as
// the tag has the same token.
type Tag struct {
	// ID is the hash that also names the tag's key in Redis.
	ID uint64
	// Token is the tag's token when the load of the record began.
	Token Token
}

// Tags is a list of tags as it is written, 24 bytes each, so that decoding a
// record with tags allocates nothing. The zero value is empty.
type Tags []byte

// AppendTag appends tag to t, which may grow beyond [MaxTags] here: it is
// [AppendBody] that refuses it. A zero token is written as [NoToken].
func AppendTag(t Tags, tag Tag) Tags {
	t = binary.BigEndian.AppendUint64(t, tag.ID)
	return appendToken(t, tag.Token)
}

// Len returns the number of tags.
func (t Tags) Len() int { return len(t) / tagSize }

// At returns the i-th tag. It panics unless 0 <= i < Len, as a slice does.
func (t Tags) At(i int) Tag {
	raw := t[i*tagSize : (i+1)*tagSize : len(t)] // len(t): the room behind t is no tag
	return Tag{
		ID:    binary.BigEndian.Uint64(raw),
		Token: Token(raw[tagIDSize:]),
	}
}

// valid reports whether t may stand in a record.
func (t Tags) valid() bool {
	return len(t)%tagSize == 0 && t.Len() <= MaxTags
}
