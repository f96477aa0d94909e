package cache

import (
	"context"
	"slices"

	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/telemetry"
)

// Tagged gives what a call stores the tags, in addition to the cache's own:
// [Cache.InvalidateTags] of any of them makes the entry invalid. An entry has at
// most 8 tags; duplicates count once; an empty tag is refused. A tag is no key: it
// may be any text, of any length.
//
// The tokens of tags that a call names are read in the entry's round trip, on a
// cluster from their own nodes at the same time. Tags that only the entry names
// cost a read one trip more: calls for one key should name the same tags.
func Tagged(tags ...string) EntryOption {
	return EntryOption{tags: slices.Clone(tags), given: givenTagged}
}

// InvalidateTags makes all entries that have any of the tags invalid, in all
// processes, and fills of loads that are running for them. Call it after the change
// has been committed. When it has returned nil, no call that starts later is
// served an older entry of those tags. It does not stop when ctx does.
//
// An empty tag is refused. The errors are one [*OpError] for each tag that failed,
// joined; each Is [ErrPending], because its invalidation is queued and retried:
// meanwhile this process does not read the tag's entries from Redis. Writes of a
// [WriteBehind] cache that are not flushed yet are not touched. It costs one round
// trip for each 256 tags, on a cluster for each node, whatever the number of entries.
func (c *Cache[T]) InvalidateTags(ctx context.Context, tags ...string) error {
	if slices.Contains(tags, "") {
		return argError("invalidate tags", "", "a tag is empty")
	}
	if err := c.mayRemove(ctx, "invalidate tags"); err != nil || len(tags) == 0 {
		return err
	}
	refs, known := make([]region.Tag, 0, len(tags)), make(map[uint64]bool, len(tags))
	for _, tag := range tags {
		if id := keyspace.TagID(tag); !known[id] {
			known[id] = true
			refs = append(refs, region.TagIn(c.region.Space, id))
		}
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpRemove)
	err := changeError("invalidate tags", nil, c.region.InvalidateTags(ctx, refs))
	c.tel.EndRemove(ctx, span, refs[0].Key, err)
	return err
}
