// Package keyspace makes the names of everything the cache keeps in Redis.
//
//	<n>:<key>               an entry
//	<n>!c  <n>!m            the clear token, and the meta record
//	<n>!t<16 hex digits>    a tag's token
//	<n>!i                   the channel of L1 invalidations
//	{<n>!<p>}v<key>         a write-behind record of partition p; a dead letter's
//	{<n>!<p>}y<key>         record, which was one; and beside them, of the partition:
//	{<n>!<p>}d s t q x r    dirty keys, schedule, tries, clock, dead letters, reasons
//
// <n> is the cache's name with every byte of "%:!{}", and all below 0x21 or
// above 0x7e, as %XX: so the first ':' or '!' of a Redis key ends the name, and
// a name never chooses a slot. <key> is the caller's key as it is, last and
// unescaped: braces in it choose the slot, as users of Redis expect, and nothing
// is refused. No two names are equal for any cache and key.
//
// The names are frozen: programs of different versions share them.
package keyspace

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// MaxName is the longest name of a cache in bytes.
const MaxName = 64

// Space makes the names of one cache. Make it with [New]; it is immutable.
type Space struct {
	name  string // escaped
	entry string // name + ":"
}

// New returns the Space of the cache called name, which must be 1 to 64 bytes
// long and may hold any bytes.
func New(name string) (Space, error) {
	if len(name) == 0 || len(name) > MaxName {
		return Space{}, fmt.Errorf("a cache's name has 1 to %d bytes, this one has %d", MaxName, len(name))
	}
	escaped := escape(name)
	return Space{name: escaped, entry: escaped + ":"}, nil
}

// escape makes a name that holds none of the bytes with a meaning in Redis keys
// or in this package. It is injective: '%' is escaped, too.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c < 0x21 || c > 0x7e || strings.IndexByte("%:!{}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Entry is the Redis key of the entry of key. One allocation.
func (s Space) Entry(key string) string { return s.entry + key }

// Clear is the key of the token that every entry of the cache depends on.
func (s Space) Clear() string { return s.name + "!c" }

// Meta is the key of the record that says what strategy the cache has.
func (s Space) Meta() string { return s.name + "!m" }

// Channel is where changes are announced to the L1 of other processes.
func (s Space) Channel() string { return s.name + "!i" }

// Tag is the key of a tag's token. Two tags with one [TagID] share it, which
// invalidates too much and never too little.
func (s Space) Tag(tag string) string { return s.TagKey(TagID(tag)) }

// TagKey is the key of the token of the tag with this id.
func (s Space) TagKey(id uint64) string { return fmt.Sprintf("%s!t%016x", s.name, id) }

// TagID is how entries refer to a tag.
func TagID(tag string) uint64 { return xxhash.Sum64String(tag) }

// Partition makes the names of one write-behind partition. All of them have the
// same hash tag, so that one script may touch them on a cluster.
type Partition struct{ prefix string }

// Partition returns partition p, which is not negative.
func (s Space) Partition(p int) Partition {
	return Partition{prefix: "{" + s.name + "!" + strconv.Itoa(p) + "}"}
}

// PartitionOf is the number of the partition, out of so many, that holds key.
func PartitionOf(key string, partitions int) int {
	return int(xxhash.Sum64String(key) % uint64(partitions))
}

// Record is the Redis key of the record of key.
func (p Partition) Record(key string) string { return p.prefix + "v" + key }

// Letter is the Redis key of the record of a key that is a dead letter.
func (p Partition) Letter(key string) string { return p.prefix + "y" + key }

// Dirty is the sorted set of the keys that are not in the sink yet, by since when.
func (p Partition) Dirty() string { return p.prefix + "d" }

// Schedule is the sorted set of the same keys by when somebody may take them.
func (p Partition) Schedule() string { return p.prefix + "s" }

// Tries is the hash of how often the sink has failed with a key.
func (p Partition) Tries() string { return p.prefix + "t" }

// Clock is the last version that was given out.
func (p Partition) Clock() string { return p.prefix + "q" }

// DeadLetters is the sorted set of the keys that the sink would not take, by since when.
func (p Partition) DeadLetters() string { return p.prefix + "x" }

// Reasons is the hash of why.
func (p Partition) Reasons() string { return p.prefix + "r" }
