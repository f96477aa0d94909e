package region

import (
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
)

// An entry carries, for each of its tags, the token that the tag had before the
// entry's value was loaded, and is valid only as long as all its tags have those
// tokens. InvalidateTags gives a tag a new token. A token that was lost (evicted,
// expired) makes the entries of its tag invalid, never valid again (model variant
// 33): whoever captures a missing token has a new one minted.
//
// The token is captured before the loader is called (31):
//
//  1. R's loader reads v1.
//  2. W updates the row to v2 and invalidates its tag: T2. W returns.
//  3. R captures the tag's token, T2, and stores v1 with it: v1 would be valid
//     until its hard TTL.

// MaxTags is the number of tags that an entry may have.
const MaxTags = 8

// tagLife is how long a tag's token lives at least after its last use. Entries
// that live longer let their tags live longer.
const tagLife = 24 * time.Hour

// Tag is a tag as entries refer to it, and where its token is.
type Tag struct {
	ID  uint64
	Key string
}

// TagOf is the tag of that name.
func (r *Region) TagOf(name string) Tag { return TagIn(r.Space, keyspace.TagID(name)) }

// TagIn is the tag with this id in a space.
func TagIn(space keyspace.Space, id uint64) Tag { return Tag{ID: id, Key: space.TagKey(id)} }

// WithTag is tags and this one, once.
func WithTag(tags []Tag, tag Tag) []Tag {
	for _, t := range tags {
		if t.ID == tag.ID {
			return tags
		}
	}
	return append(tags, tag)
}

// WithRecorded is tags and those of a record that is to be replaced: a reader that does
// not know of a tag must not lose it.
func (r *Region) WithRecorded(tags []Tag, recorded envelope.Tags) []Tag {
	all := tags
	for i := range recorded.Len() {
		all = WithTag(slices.Clip(all), TagIn(r.Space, recorded.At(i).ID))
	}
	return all
}

// TagsInPlaceOf are the tags of an entry that takes the place of rec: those that the
// call names, and those of rec, since a reader that does not know of a tag must not lose
// it. Together they may be more than an entry can have (fit is false): then they are the
// call's, and rec must not be served any more. Else a key whose tags change in time, one
// a day or with a release, could never be cached again.
func (r *Region) TagsInPlaceOf(rec *record.Record, named []Tag) (tags []Tag, fit bool) {
	if tags = r.WithRecorded(named, rec.Body.Tags); len(tags) > MaxTags {
		return named, false
	}
	return tags, true
}

// TagKeys are where the tokens are.
func TagKeys(tags []Tag) []string {
	keys := make([]string, len(tags))
	for i, t := range tags {
		keys[i] = t.Key
	}
	return keys
}

// tagIDs are the ids of tags.
func tagIDs(tags []Tag) []uint64 {
	if len(tags) == 0 {
		return nil
	}
	ids := make([]uint64, len(tags))
	for i, t := range tags {
		ids[i] = t.ID
	}
	return ids
}

// tokenKeys are what a capture of tags asks for, for entries of class.
func tokenKeys(tags []Tag, class *expiry.Policy) []store.TokenKey {
	if len(tags) == 0 {
		return nil
	}
	life := max(tagLife, 2*class.Longest())
	keys := make([]store.TokenKey, len(tags), len(tags)+1)
	for i, t := range tags {
		keys[i] = store.TokenKey{Key: t.Key, TTL: life}
	}
	return keys
}
