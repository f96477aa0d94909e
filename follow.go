package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// Invalidator is what [Follow] tells of changes. A [*Cache] of any T is one.
//
// Each method returns nil only when no call that starts later is served what it
// was to invalidate; any error, also one that Is [ErrPending], lets Follow call
// again. InvalidateAll includes all keys and tags.
type Invalidator interface {
	Invalidate(ctx context.Context, keys ...string) error
	InvalidateTags(ctx context.Context, tags ...string) error
	InvalidateAll(ctx context.Context) error
}

var _ Invalidator = (*Cache[struct{}])(nil)

// Change is what one committed transaction made invalid. One that names nothing
// is only marked as done.
type Change struct {
	// ID is the log's own name for the change, for its Done. Follow does not look
	// at it.
	ID string
	// Keys are those of entries, as the cache's callers give them.
	Keys []string
	// Tags are those of [Tagged]. An empty one, which no entry can have, is left out.
	Tags []string
	// All says that everything is invalid; Keys and Tags are included in it.
	All bool
}

// InvalidationLog is a durable log of committed changes: an outbox table that
// triggers fill in the transaction of each change, or a stream of the database's
// own log. The writers then need not know the cache, and a writer that dies after
// its commit leaves nothing stale for longer than Follow takes.
//
// What is in it must be visible to loaders before Next returns it. The order does
// not matter. That a sequence gave a change a lower number does not mean that it
// was committed first: a log that keeps a position instead of marking each change
// as done may skip some.
//
// A log is for invalidating only. Never write into the cache what a change says
// that a row is now: the tokens of the entry's tags would be captured after the
// commit (model variant 54a).
//
//  1. The reader of the log learns that the row is v1.
//  2. W changes what the tag T stands for, and invalidates T: T2. W returns.
//  3. The reader captures T2 and stores v1 with it: valid until its hard TTL,
//     though v1 is older than the change.
//
// Changes also come more than once, and late: without a version nothing would keep
// an old value from replacing a newer one, and with one nothing does after an
// eviction. An invalidation that comes twice or late costs a load.
type InvalidationLog interface {
	// Next waits until there are changes and returns them, those of one call as
	// many as are invalidated together; the same again until they are done. It
	// returns ctx's error when ctx ends. A log that cannot wait returns none and is
	// asked again, after 50 ms at first, after 1 s at last.
	Next(ctx context.Context) ([]Change, error)

	// Done says that every cache has accepted the changes, which are those that
	// Next returned. That some are done already, by another consumer, is no error.
	// After an error Next is called again.
	Done(ctx context.Context, changes []Change) error
}

const (
	followFirst = 50 * time.Millisecond
	followLast  = time.Second
)

// Follow invalidates in every one of the caches what the log says, until ctx ends,
// and returns ctx's error. The changes of a call of Next are merged: for each cache
// one call of Invalidate for each 1,000 keys and one of InvalidateTags for each 1,000
// tags, or one of InvalidateAll.
//
// A change is done only after each cache has returned nil for it. What fails is
// made again, with pauses of 50 ms growing to 1 s and a quarter more or less,
// however long that takes, and nothing is skipped: a Redis that is down leaves
// changes in the log, as does a consumer that dies. [ErrPending] is such a failure,
// because the queue that holds the invalidation ends with the process. A call that
// has returned nil is not made again for those that have not; but a cache gets
// the next changes only when all have, so caches on different servers are better
// followed each on its own. So changes are invalidated at least once; an error that
// Is [ErrClosed], of a cache or of the log, ends Follow, which returns it.
//
// The first [*Cache] among the caches writes into its log when something begins to
// fail, and when nothing does any more; of an error of the log it tells the type.
//
// It runs on the caller's goroutine and starts none; a panic of the log is the
// caller's. One consumer of a log is enough; several at once are safe and do the
// work several times. A nil log, no cache or a nil one are refused with an
// [*OpError].
//
// Follow invalidates some time after the commit. Reads in between may be served the
// older entry: who must read what they wrote calls Invalidate or Update too. Loads
// that started before are not stored, as after any invalidation, but may still be
// returned to those who asked before.
func Follow(ctx context.Context, log InvalidationLog, to ...Invalidator) error {
	switch {
	case isNil(log):
		return argError("follow", "", "the log is nil")
	case len(to) == 0:
		return argError("follow", "", "there is no cache to invalidate")
	case slices.ContainsFunc(to, func(i Invalidator) bool { return isNil(i) }):
		return argError("follow", "", "a cache is nil")
	}
	f := newFollowing(log, to)
	var pause followPause
	for {
		err := f.once(ctx)
		switch {
		case errors.Is(err, ErrClosed):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			pause = followPause{}
		default:
			pause.rest(ctx)
		}
	}
}

// errNoChanges is that of a log which does not wait.
var errNoChanges = errors.New("the log returned no changes")

// following is one Follow.
type following struct {
	log    InvalidationLog
	to     []Invalidator
	told   func(failure string, failures int) // the log of a cache; nil: none
	failed int                                // failures since something last succeeded
}

func newFollowing(log InvalidationLog, to []Invalidator) *following {
	f := &following{log: log, to: to}
	for _, i := range to {
		if c, ok := i.(interface{ followed(string, int) }); ok && f.told == nil {
			f.told = c.followed
		}
	}
	return f
}

// followed tells the log that Follow fails, or no longer does after so many failures.
func (c *Cache[T]) followed(failure string, failures int) {
	if failure != "" {
		c.tel.Logger.Warn("changes cannot be followed; it is tried again until they can", "failure", failure)
	} else {
		c.tel.Logger.Info("changes are followed again", "failures", failures)
	}
}

// fails notes a failure of what.
func (f *following) fails(what string, err error) {
	if f.failed++; f.failed == 1 && f.told != nil {
		f.told(what+": "+logged(err), f.failed)
	}
}

// works notes that nothing fails.
func (f *following) works() {
	if f.failed > 0 && f.told != nil {
		f.told("", f.failed)
	}
	f.failed = 0
}

// once brings the next changes from the log to all caches.
func (f *following) once(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	changes, err := f.log.Next(ctx)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			f.fails("the log's Next", err)
		}
		return err
	case len(changes) == 0:
		f.works()
		return errNoChanges
	}
	if err := f.deliver(ctx, merge(changes)); err != nil {
		return err
	}
	if err := f.log.Done(ctx, changes); err != nil {
		if ctx.Err() == nil {
			f.fails("the log's Done", err)
		}
		return err
	}
	f.works()
	return nil
}

// merge is what all the changes made invalid, each key and tag once.
func merge(changes []Change) (all Change) {
	keys, tags := map[string]bool{}, map[string]bool{"": true}
	for _, c := range changes {
		all.All = all.All || c.All
		all.Keys = appendNew(all.Keys, keys, c.Keys)
		all.Tags = appendNew(all.Tags, tags, c.Tags)
	}
	return all
}

// appendNew adds those that were not seen yet.
func appendNew(to []string, seen map[string]bool, more []string) []string {
	for _, s := range more {
		if !seen[s] {
			seen[s] = true
			to = append(to, s)
		}
	}
	return to
}

// deliver returns nil when each cache has. Another error is of one that is closed,
// or comes after the end of ctx.
func (f *following) deliver(ctx context.Context, c Change) error {
	calls := c.calls(f.to)
	for pause := (followPause{}); ; pause.rest(ctx) {
		var errs []error
		calls = slices.DeleteFunc(calls, func(call func(context.Context) error) bool {
			err := call(ctx)
			errs = append(errs, err)
			return err == nil
		})
		err := errors.Join(errs...)
		if err == nil || errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return err
		}
		f.fails("a cache", err)
	}
}

// followPiece is how many keys, or tags, are invalidated in one call: what has
// succeeded is not repeated with what has not.
const followPiece = 1_000

// calls are what has to return nil before c is done.
func (c Change) calls(to []Invalidator) (all []func(context.Context) error) {
	for _, i := range to {
		if c.All {
			all = append(all, i.InvalidateAll)
			continue
		}
		for keys := range slices.Chunk(c.Keys, followPiece) {
			all = append(all, func(ctx context.Context) error { return i.Invalidate(ctx, keys...) })
		}
		for tags := range slices.Chunk(c.Tags, followPiece) {
			all = append(all, func(ctx context.Context) error { return i.InvalidateTags(ctx, tags...) })
		}
	}
	return all
}

// followPause is how long to wait after the next failure; zero: after the first.
type followPause struct{ next time.Duration }

// rest waits, or until ctx ends. Consumers that failed together do not come back
// together.
func (p *followPause) rest(ctx context.Context) {
	p.next = min(max(2*p.next, followFirst), followLast)
	timer := time.NewTimer(time.Duration(float64(p.next) * (0.75 + rand.Float64()/2)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
