package cache

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// A write intent lives in the key's record for intentTime. The write's own
// context ends before, so that a writer that obeys it never commits with its
// intent gone.
const (
	intentTime = 30 * time.Second
	writeTime  = 29 * time.Second
)

// Update runs write, which changes the one record behind key in the system of
// record, and keeps the cache right around it, also if this process dies at any
// point:
//
//  1. It puts a write intent into the key's record. From then on readers load
//     without storing, and a load that is running stores nothing.
//  2. It calls write, with ctx's values and end, for at most 29 s.
//  3. It removes the intent and with it the entry.
//
// If the process dies between 2 and 3, the intent stays until its 30 s are over
// and nothing stale is served or stored. So it does where write's error leaves open whether
// it was committed: one of a context or of the network, [driver.ErrBadConn], or a panic.
// Without it, [Cache.Invalidate] after
// the write leaves that window open until the entry's hard TTL.
//
// Under [WriteBehind] the key is flushed first, for as long as ctx allows; one
// that is put again at once gives an [*OpError] that Is [errors.ErrUnsupported].
//
// Update covers this key and no tags: a transaction that touches more calls
// Invalidate for the others beside it, which a crash may lose. Its guarantee
// needs a write that returns within its context.
//
// The error is write's, unchanged; its panic goes through. If Redis fails, the write is made
// all the same, and its invalidation is queued: the error then is an [*OpError] that Is
// [ErrPending], which means that the write succeeded and must not be repeated. It costs two
// round trips.
func (c *Cache[T]) Update(ctx context.Context, key string, write func(ctx context.Context) error) (err error) {
	if write == nil {
		return argError("update", key, "write is nil")
	}
	if err := c.usable(ctx); err != nil {
		return err
	}
	if err := c.agree(ctx, "update", key); err != nil {
		return err
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpRemove)
	err = errWriteLeft // until it returns
	defer func() { c.tel.EndRemove(ctx, span, c.region.RedisKey(key), err, key) }()
	err = c.update(ctx, key, write)
	return err
}

// errWriteLeft is what the span of a write says that panics or calls Goexit.
var errWriteLeft = errors.New("the write did not return")

func (c *Cache[T]) update(ctx context.Context, key string, write func(ctx context.Context) error) error {
	if s, ok := c.strategy.(buffering); ok {
		if err := s.queue().FlushKey(ctx, key); err != nil { // first, or the write would be overtaken
			return s.translate(ctx, "update", key, err)
		}
	}
	g, err := c.guard(ctx, "update", key, nil)
	if err != nil {
		return err
	}
	return g.run(ctx, "update", key, func(ctx context.Context) (*region.Entry, error) { return nil, write(ctx) })
}

// guard is a write intent that is held around a write.
type guard struct {
	*region.Intent
	entry  *region.Entry // what was sent to be stored; nil: nothing
	failed bool          // the intent may not be there: nothing may be stored with it
}

// guard opens a write intent. What the write returns may be stored if kept says
// how. The error says that the write must not be made.
func (c *Cache[T]) guard(ctx context.Context, op, key string, kept *region.Wanted) (*guard, error) {
	intent, open, err := c.region.Intend(ctx, key, intentTime, kept)
	g := &guard{Intent: intent}
	over := store.Ended(ctx)
	switch {
	case err != nil && over != nil:
		g.abandon(ctx)
		return nil, over
	case err != nil:
		c.tel.redisFailed(telemetry.OpPut, err)
		if c.strategy.failClosed() {
			g.abandon(ctx)
			return nil, &OpError{Op: op, Key: key, Err: err}
		}
		g.failed = true
	case open == store.IntentDirty:
		return nil, &OpError{Op: op, Key: key, Err: errors.ErrUnsupported}
	case open == store.IntentForeign:
		// Somebody else's record hides the key, or a newer program's. Closing the intent
		// that is not there leaves the former alone, and removes any other.
		c.tel.Foreign.Add(1)
	}
	return g, nil
}

// abandon closes an intent that is perhaps open, before a write that is not made; what
// fails is queued.
func (g *guard) abandon(ctx context.Context) {
	if g.Sent() {
		_ = g.Close(ctx, nil)
	}
}

// run makes the write and closes the intent, with the entry that write returns,
// also when write panics or calls Goexit, which then goes on.
func (g *guard) run(ctx context.Context, op, key string, write func(context.Context) (*region.Entry, error)) (err error) {
	var entry *region.Entry
	returned := false
	defer func() {
		if !g.failed && (!returned || outcomeUnknown(err)) {
			g.Leave()
			return
		}
		if !returned || err != nil || g.failed {
			entry = nil
		}
		closed := changeError(op, []string{key}, []error{g.close(ctx, entry)})
		if returned && err == nil {
			err = closed
		}
	}()
	limited, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	entry, err = write(limited)
	returned = true
	return err
}

// outcomeUnknown reports whether a write that failed with err may be committed all the same,
// now or soon:
//
//  1. W sends COMMIT, and its context ends before the answer. It returns that error.
//  2. R reads the row as it was, and stores it.
//  3. The database commits.
//
// To remove the intent at 1 would let 2 be stored for its TTL.
func outcomeUnknown(err error) bool {
	var network net.Error
	var panicked *PanicError
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.As(err, &network) || errors.As(err, &panicked)
}

// close closes the intent, with the entry that is to be stored.
func (g *guard) close(ctx context.Context, entry *region.Entry) error {
	g.entry = entry
	return g.Close(ctx, entry)
}
