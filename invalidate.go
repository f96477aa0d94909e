package cache

import (
	"context"
	"errors"
	"slices"

	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/pending"
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

// InvalidateAll makes all entries of the cache invalid, in all processes, whatever
// their number, and fills of loads that are running now with them. It mints a new
// token for the cache and then waits for one second, for as long other processes
// may hold the old one; when it has returned nil, no call that starts later is
// served an older entry. What was invalidated is not removed from Redis: it is
// replaced by the next load, or expires. Writes of a [WriteBehind] cache that are
// not flushed yet are not touched.
//
// If ctx ends during the second, or has ended before, the error is ctx's: the new token
// is minted all the same, and is everywhere within the second. If Redis fails, or is
// turned back five times while the call waits, the error is an [*OpError] that Is
// [ErrPending]: it is made again until Redis accepts it, and until then this
// process reads nothing from Redis. Two round trips and the second; as often again for
// each failover that loses the token.
func (c *Cache[T]) InvalidateAll(ctx context.Context) error {
	if err := c.mayRemove(ctx, "invalidate all"); err != nil {
		return err
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpFlush)
	err := c.region.InvalidateAll(ctx)
	if errors.As(err, &pending.Error{}) {
		err = &OpError{Op: "invalidate all", Err: err}
	}
	c.tel.EndRemove(ctx, span, c.region.Space.Clear(), err)
	return err
}
