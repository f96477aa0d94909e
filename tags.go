package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
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

// maxTags is the number of tags that an entry may have.
const maxTags = 8

// tagLife is how long a tag's token lives at least after its last use. Entries
// that live longer let their tags live longer.
const tagLife = 24 * time.Hour

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

// tagRef is a tag as entries refer to it, and where its token is.
type tagRef struct {
	id  uint64
	key string
}

// tag adds tags to e.
func (e *entry) tag(tags []string) error {
	all := slices.Clone(e.names) // the cache's own are shared by all calls
	for _, tag := range tags {
		if tag == "" {
			return errors.New("Tagged: a tag is empty")
		}
		if !slices.Contains(all, tag) {
			all = append(all, tag)
		}
	}
	if len(all) > maxTags {
		return fmt.Errorf("Tagged: %d tags; an entry has at most %d", len(all), maxTags)
	}
	e.names = all
	return nil
}

// refer looks up the tags that e names.
func (e *entry) refer(space keyspace.Space) {
	e.tags = nil
	for _, name := range e.names {
		e.tags = appendTag(e.tags, space, keyspace.TagID(name))
	}
}

// appendTag adds the tag with this id, once.
func appendTag(tags []tagRef, space keyspace.Space, id uint64) []tagRef {
	for _, t := range tags {
		if t.id == id {
			return tags
		}
	}
	return append(tags, tagRef{id: id, key: space.TagKey(id)})
}

// union is tags and those of a record that is to be replaced: a reader that does
// not know of a tag must not lose it.
func (c *Cache[T]) union(tags []tagRef, recorded envelope.Tags) []tagRef {
	all := tags
	for i := range recorded.Len() {
		all = appendTag(slices.Clip(all), c.space, recorded.At(i).ID)
	}
	return all
}

// tagsInPlaceOf are the tags of an entry that takes the place of rec: those that the
// call names, and those of rec, since a reader that does not know of a tag must not lose
// it. Together they may be more than an entry can have (fit is false): then they are the
// call's, and rec must not be served any more. Else a key whose tags change in time, one
// a day or with a release, could never be cached again.
func (c *Cache[T]) tagsInPlaceOf(rec *record.Record, named []tagRef) (tags []tagRef, fit bool) {
	if tags = c.union(named, rec.Body.Tags); len(tags) > maxTags {
		return named, false
	}
	return tags, true
}

// tagKeys are where the tokens are.
func tagKeys(tags []tagRef) []string {
	keys := make([]string, len(tags))
	for i, t := range tags {
		keys[i] = t.key
	}
	return keys
}

// captureKeys are what a capture of tags asks for, for entries of class.
func captureKeys(tags []tagRef, class *TTL) []store.TokenKey {
	if len(tags) == 0 {
		return nil
	}
	life := max(tagLife, 2*class.policy().Longest())
	keys := make([]store.TokenKey, len(tags), len(tags)+1)
	for i, t := range tags {
		keys[i] = store.TokenKey{Key: t.key, TTL: life}
	}
	return keys
}

// stamp is the tokens that an entry depends on, captured before its value was
// loaded or written.
type stamp struct {
	clear envelope.Token
	tags  envelope.Tags
}

// stampOf puts a stamp together. tokens[i] is that of tags[i].
func stampOf(clear envelope.Token, tags []tagRef, tokens []envelope.Token) stamp {
	s := stamp{clear: clear}
	for i, t := range tags {
		s.tags = envelope.AppendTag(s.tags, envelope.Tag{ID: t.id, Token: tokens[i]})
	}
	return s
}

// pick is the tokens of some of the tags that were captured or read together.
func pick(tags, of []tagRef, tokens []envelope.Token) []envelope.Token {
	picked := make([]envelope.Token, len(tags))
	for i, t := range tags {
		at := slices.IndexFunc(of, func(o tagRef) bool { return o.id == t.id })
		picked[i] = tokens[at]
	}
	return picked
}

// valid reports whether the tokens that an entry of stamp s depends on are these,
// of its tags in their order.
func (s *stamp) valid(tokens []envelope.Token) bool {
	for i := range s.tags.Len() {
		if tokens[i] != s.tags.At(i).Token || tokens[i] == (envelope.Token{}) {
			return false
		}
	}
	return true
}

// capture stamps a value that the caller brings. Without tags it costs nothing,
// but for the first of a process: a clear token that is out of date only makes
// the entry invalid, and is asked for in the background.
func (c *Cache[T]) capture(ctx context.Context, kept entry) (stamp, error) {
	keys := captureKeys(kept.tags, kept.class)
	clear, held := c.clear.last()
	known := clear != envelope.Token{}
	if !known {
		keys = append(keys, c.clearKey())
	}
	sent := time.Now()
	tokens, err := c.store.Capture(ctx, keys)
	if err != nil {
		return stamp{}, err
	}
	if !known {
		clear = tokens[len(kept.tags)]
		c.clear.learn(clear, sent)
	} else if !held {
		c.renewClear(ctx)
	}
	return stampOf(clear, kept.tags, tokens), nil
}

// renewClear asks for the clear token in the background, unless somebody does.
func (c *Cache[T]) renewClear(ctx context.Context) {
	if !c.clear.asking.CompareAndSwap(false, true) {
		return
	}
	if !c.background.start() {
		c.clear.unheard()
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer c.background.end()
		sent := time.Now()
		tokens, err := c.store.Capture(ctx, []store.TokenKey{c.clearKey()})
		if err != nil {
			c.clear.unheard()
			return
		}
		c.clear.learn(tokens[0], sent)
	}()
}

// verify makes a record void whose entry depends on a token that is not there any
// more. named are the tags that were read with the record, tokens theirs. An error
// is that of the read of tokens that were not.
func (c *Cache[T]) verify(ctx context.Context, rec *record.Record, named []tagRef, tokens []envelope.Token) error {
	if !rec.Dependent() {
		return nil
	}
	ok, err := c.uncleared(ctx, rec.Body.Clear)
	if ok && rec.Body.Tags.Len() > 0 {
		ok, err = c.tagsValid(ctx, rec.Body.Tags, named, tokens)
	}
	if err == nil && !ok {
		rec.Revoke()
	}
	return err
}

// tagsValid compares an entry's tags with the tokens that were read, and reads
// those that were not.
func (c *Cache[T]) tagsValid(ctx context.Context, tags envelope.Tags, named []tagRef, tokens []envelope.Token) (bool, error) {
	var unread []tagRef
	var want []envelope.Token
	for i := range tags.Len() {
		tag := tags.At(i)
		at := slices.IndexFunc(named, func(t tagRef) bool { return t.id == tag.ID })
		switch {
		case at < 0:
			unread = append(unread, tagRef{id: tag.ID, key: c.space.TagKey(tag.ID)})
			want = append(want, tag.Token)
		case tokens[at] != tag.Token || tokens[at] == envelope.Token{}:
			return false, nil
		}
	}
	if len(unread) == 0 {
		return true, nil
	}
	found, err := c.store.ReadTokens(ctx, tagKeys(unread))
	return err == nil && slices.Equal(found, want) && !slices.Contains(found, envelope.Token{}), err
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
	ctx, err := c.removal(ctx)
	if err != nil {
		return err
	}
	if err := c.agree(ctx, "invalidate tags", ""); err != nil || len(tags) == 0 {
		return err
	}
	refs, known := make([]tagRef, 0, len(tags)), make(map[uint64]bool, len(tags))
	for _, tag := range tags {
		if id := keyspace.TagID(tag); !known[id] {
			known[id] = true
			refs = append(refs, tagRef{id: id, key: c.space.TagKey(id)})
		}
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpRemove)
	err = c.invalidateTags(ctx, refs)
	c.tel.EndRemove(ctx, span, refs[0].key, err)
	return err
}

func (c *Cache[T]) invalidateTags(ctx context.Context, tags []tagRef) error {
	failed := c.replaceTags(ctx, tagKeys(tags))
	targets := make([]pending.Target, len(tags))
	for i, t := range tags {
		targets[i] = pending.Target{Kind: pending.Tag, Name: t.key}
	}
	err := c.queueFailed("invalidate tags", targets, failed)
	c.changedTags(tags)
	return err
}

// replaceTags mints new tokens under keys. The errors are aligned with the keys.
func (c *Cache[T]) replaceTags(ctx context.Context, keys []string) []error {
	life := max(tagLife, 2*c.config.entry.class.policy().Longest())
	tokens := make([]store.TokenKey, len(keys))
	for i, key := range keys {
		tokens[i] = store.TokenKey{Key: key, TTL: life}
	}
	_, errs := c.replaceTokens(ctx, tokens, c.noticeTags())
	return errs
}

// replaceTokens mints new tokens, which replicas confirm if they are to.
func (c *Cache[T]) replaceTokens(ctx context.Context, keys []store.TokenKey, n store.Notice) ([]envelope.Token, []error) {
	if c.config.replicas.N > 0 {
		return c.store.ReplaceConfirmed(ctx, keys, n, c.config.replicas)
	}
	return c.store.Replace(ctx, keys, n)
}
