package region

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/near"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is what makes entries invalid. A change does not stop with its caller: the
// system of record has changed. What Redis does not take is queued, and the flights that
// it concerns are detached in each case: their commits must not follow.

// What the scripts tell the L1 of other processes, on the cache's channel. A message
// that is none of these means to them that anything may have changed.
const (
	NoticeKey   = "k" // and the key: it has changed
	NoticeTags  = "t" // a tag has
	NoticeClear = "c" // everything
	NoticeProbe = "?" // and a random text: do you hear me?
)

// Channel is where changes are told.
func (r *Region) Channel() string { return r.channel }

// Notice tells that key has changed.
func (r *Region) Notice(key string) store.Notice {
	return store.Notice{Channel: r.channel, Message: NoticeKey + key}
}

func (r *Region) noticeTags() store.Notice {
	return store.Notice{Channel: r.channel, Message: NoticeTags}
}

func (r *Region) noticeClear() store.Notice {
	return store.Notice{Channel: r.channel, Message: NoticeClear}
}

// Removal is the context of a change, which has no use for its caller's cancellation: who
// gave up waiting must not leave the old value to everybody. The budgets bound it all the
// same.
func Removal(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// Invalidate removes entries and leases. The errors are aligned with the keys, nil if
// there is none; each is a [pending.Error].
func (r *Region) Invalidate(ctx context.Context, keys []string) []error {
	return r.remove(keys, r.sendInvalidations(Removal(ctx), keys))
}

// Expire makes entries stale, which are kept for window. The errors are those of Invalidate.
func (r *Region) Expire(ctx context.Context, keys []string, window time.Duration) []error {
	changes := r.changes(keys)
	r.Store.Expire(Removal(ctx), changes, window)
	return r.remove(keys, errorsOfChanges(changes))
}

// remove queues what failed, and forgets the keys.
func (r *Region) remove(keys []string, failed []error) []error {
	r.failed(telemetry.OpRemove, failed...)
	for i, err := range failed {
		if err != nil {
			failed[i] = r.Owe(pending.Target{Name: keys[i]}, err)
		}
	}
	r.Changed(keys...)
	return failed
}

// sendInvalidations sends one for each key. The errors are aligned with the keys; nil if
// there is none.
func (r *Region) sendInvalidations(ctx context.Context, keys []string) []error {
	changes := r.changes(keys)
	r.Store.Invalidate(ctx, changes)
	return errorsOfChanges(changes)
}

// changes are those of keys, as the store is told of them.
func (r *Region) changes(keys []string) []store.Change {
	changes := make([]store.Change, len(keys))
	for i, key := range keys {
		changes[i] = store.Change{Key: r.RedisKey(key), Notice: r.Notice(key)}
	}
	return changes
}

func errorsOfChanges(changes []store.Change) []error {
	return ErrorsOf(changes, func(c *store.Change) error { return c.Err })
}

// ErrorsOf are the errors of what Redis was asked, aligned with it; nil if there is none.
func ErrorsOf[Q any](asked []Q, of func(*Q) error) (errs []error) {
	for i := range asked {
		if err := of(&asked[i]); err != nil {
			if errs == nil {
				errs = make([]error, len(asked))
			}
			errs[i] = err
		}
	}
	return errs
}

// InvalidateTags gives tags new tokens. The errors are aligned with the tags, nil if there
// is none; each is a [pending.Error].
func (r *Region) InvalidateTags(ctx context.Context, tags []Tag) []error {
	failed := r.replaceTags(Removal(ctx), TagKeys(tags))
	r.failed(telemetry.OpRemove, failed...)
	for i, err := range failed {
		if err != nil {
			failed[i] = r.Owe(pending.Target{Kind: pending.Tag, Name: tags[i].Key}, err)
		}
	}
	r.changedTags(tags)
	return failed
}

// replaceTags mints new tokens under keys. The errors are aligned with the keys.
func (r *Region) replaceTags(ctx context.Context, keys []string) []error {
	life := max(tagLife, 2*r.Class.Longest())
	tokens := make([]store.TokenKey, len(keys))
	for i, key := range keys {
		tokens[i] = store.TokenKey{Key: key, TTL: life}
	}
	_, errs := r.Store.Replace(ctx, tokens, r.noticeTags())
	return errs
}

// Owe keeps an invalidation that failed with cause for later and returns the error to
// report, a [pending.Error]. intents are write intents of ours that may still be open.
func (r *Region) Owe(about pending.Target, cause error, intents ...envelope.Token) error {
	queued := r.Pending.Add(about, intents...)
	return pending.Error{Cause: cause, Lost: !queued}
}

// newQueue is the queue of what Redis does not accept.
func (r *Region) newQueue() *pending.Queue {
	return pending.New(pending.Options{
		Keys: r.sendInvalidations,
		Tags: r.replaceTags,
		All: func(ctx context.Context) error { // its caller has been told that others hold the old token for a second
			_, err := r.replaceClear(ctx)
			return err
		},
		End: func(ctx context.Context, keys []string, intents []envelope.Token) []error {
			ends := make([]store.EndWrite, len(intents))
			for i, intent := range intents {
				ends[i] = store.EndWrite{Key: r.RedisKey(keys[i]), Token: intent}
			}
			r.Store.EndWrite(ctx, ends)
			return ErrorsOf(ends, func(e *store.EndWrite) error { return e.Err })
		},
		Unasked: store.ErrOpen,
		Outage:  store.Infrastructure,
		Closing: r.Background.Closing(),
		Closed:  load.ErrClosed,
		Logger:  r.Logger,
	})
}

// Obstacle is why no entry of key with these tags may be made now, "" if one may.
func (r *Region) Obstacle(key string, tags []Tag) string {
	if r.Pending.Has(pending.Key, key) {
		return "an invalidation of the key is queued here"
	}
	for _, t := range tags {
		if r.Pending.Has(pending.Tag, t.Key) {
			return "an invalidation of one of its tags is queued here"
		}
	}
	return ""
}

// Changed is called after each change that was made through this process, whatever
// Redis answered: flights of the keys do not store what they load, and the L1
// forgets them.
func (r *Region) Changed(keys ...string) {
	if r.Local != nil {
		for _, key := range keys {
			r.Local.Drop(key)
		}
	}
	r.Flights.Detach(keys...)
}

// changedTags is Changed for all entries that may have one of the tags.
func (r *Region) changedTags(tags []Tag) {
	if r.Local != nil {
		r.Local.DropAll()
	}
	r.Flights.DetachTagged(tagIDs(tags))
}

// ChangedAll is Changed for everything.
func (r *Region) ChangedAll() {
	r.Clear.Drop()
	if r.Local != nil {
		r.Local.DropAll()
	}
	r.Flights.DetachAll()
}

// Moment is one before a read, or a commit, of what may go into the L1: what is kept
// was current then, and is fresh for so long from then on.
type Moment struct {
	near.Epoch
	At int64
}

// Moment is the present. It is noted before the queue of invalidations is asked
// about the key:
//
//  1. R finds that none of its key is queued.
//  2. W invalidates the key; Redis fails; it is queued, and dropped here. W returns.
//  3. R notes the moment, and reads the old entry.
//  4. The queue drains: Redis has taken the invalidation, whose message is under way.
//  5. R finds the queue empty, and puts the old entry where the next caller finds it.
func (r *Region) Moment(key string) (m Moment) {
	if r.Local != nil {
		m.Epoch, m.At = r.Local.Epoch(key), mono.Now()
	}
	return m
}

// Wanted is how a write wants its entry kept.
type Wanted struct {
	Class *expiry.Policy
	Tags  []Tag
}
