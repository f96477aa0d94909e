package cache

import (
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/pending"
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
// and nothing stale is served or stored. Without it, [Cache.Invalidate] after
// the write leaves that window open until the entry's hard TTL.
//
// Under [WriteBehind] the key is flushed first, for as long as ctx allows; one
// that is put again at once gives an [*OpError] that Is [errors.ErrUnsupported].
//
// Update covers this key and no tags: a transaction that touches more calls
// Invalidate for the others beside it, which a crash may lose. Its guarantee
// needs a write that returns within its context.
//
// The error is write's, unchanged; its panic goes through once the intent is
// removed. If Redis fails, the write is made all the same, and its invalidation
// is queued: the error then is an [*OpError] that Is [ErrPending], which means
// that the write succeeded and must not be repeated. It costs two round trips.
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
	defer func() { c.tel.EndRemove(ctx, span, c.redisKey(key), err, key) }()
	err = c.update(ctx, key, write)
	return err
}

// errWriteLeft is what the span of a write says that panics or calls Goexit.
var errWriteLeft = errors.New("the write did not return")

func (c *Cache[T]) update(ctx context.Context, key string, write func(ctx context.Context) error) error {
	if s, ok := c.strategy.(*writeBehind[T]); ok {
		if err := s.settleKey(ctx, key); err != nil {
			return s.translate(ctx, "update", key, err)
		}
	}
	g, err := c.guard(ctx, "update", key, nil)
	if err != nil {
		return err
	}
	return g.run(ctx, func(ctx context.Context) (*stored, error) { return nil, write(ctx) })
}

// guard is a write intent that is held around a write.
type guard[T any] struct {
	cache    *Cache[T]
	op, key  string
	redisKey string
	token    envelope.Token
	stamp    stamp   // captured with the intent, if the write is to be stored
	entry    *stored // what was sent to be stored; nil: nothing
	failed   bool    // the intent may not be there: nothing may be stored with it
	unsent   bool    // it is certainly not there
}

// guard opens a write intent. What the write returns may be stored if kept says
// how. The error says that the write must not be made.
func (c *Cache[T]) guard(ctx context.Context, op, key string, kept *entry) (*guard[T], error) {
	g := &guard[T]{cache: c, op: op, key: key, redisKey: c.redisKey(key), token: envelope.NewToken()}
	open, err := g.begin(ctx, kept)
	over := store.Ended(ctx)
	switch {
	case err != nil && over != nil:
		if g.unsent = store.NotSent(err); !g.unsent {
			_ = g.close(ctx, nil) // perhaps it is open; what fails is queued
		}
		return nil, over
	case err != nil:
		c.tel.redisFailed(telemetry.OpPut, err)
		g.unsent = store.NotSent(err)
		if c.strategy.failClosed() {
			if !g.unsent {
				_ = g.close(ctx, nil) // perhaps it is open; what fails is queued
			}
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

// begin sends the intent, and captures the tokens of what is to be stored: before
// the write is committed (model variant 55a).
func (g *guard[T]) begin(ctx context.Context, kept *entry) (open int, _ error) {
	c := g.cache
	intents := [1]store.Intent{{Key: g.redisKey, Token: g.token, Notice: c.notice(g.key)}}
	if kept == nil {
		c.store.BeginWrite(ctx, intents[:], intentTime, nil)
		return intents[0].Open, intents[0].Err
	}
	capture := captureKeys(kept.tags, kept.class)
	clear, held := c.clear.current()
	if !held {
		capture = append(capture, c.clearKey())
	}
	sent := time.Now()
	tokens := c.store.BeginWrite(ctx, intents[:], intentTime, capture)
	if err := intents[0].Err; err != nil {
		return 0, err
	}
	if !held {
		clear = tokens[len(kept.tags)]
		c.clear.learn(clear, sent)
	}
	g.stamp = stampOf(clear, kept.tags, tokens)
	return intents[0].Open, nil
}

// run makes the write and closes the intent, with the entry that write returns,
// also when write panics or calls Goexit, which then goes on.
func (g *guard[T]) run(ctx context.Context, write func(context.Context) (*stored, error)) (err error) {
	var entry *stored
	returned := false
	defer func() {
		if !returned || err != nil || g.failed {
			entry = nil
		}
		closed := g.close(ctx, entry)
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

// close ends the intent and detaches the key's flights. With an entry, it is
// stored if no other write overlapped. The write has been made, or may have
// been: ctx's end no longer matters, and an intent that could not be closed is
// an invalidation to be queued. One that was never opened is closed all the
// same: that removes whatever the key holds, as an invalidation does.
func (g *guard[T]) close(ctx context.Context, entry *stored) error {
	c := g.cache
	ctx = context.WithoutCancel(ctx)
	ends := [1]store.EndWrite{{Key: g.redisKey, Token: g.token, Notice: c.notice(g.key)}}
	if g.entry = entry; entry != nil {
		end := &ends[0]
		end.Soft, end.TTL = entry.times(entry.began)
		end.Version, end.Record = entry.version, entry.record
	}
	if c.config.replicas.N > 0 {
		c.store.EndWriteConfirmed(ctx, ends[:], c.config.replicas)
	} else {
		c.store.EndWrite(ctx, ends[:])
	}
	err := ends[0].Err
	if err != nil {
		c.tel.redisFailed(telemetry.OpPut, err)
		err = c.queue(g.op, pending.Target{Name: g.key}, err, g.owed()...)
	}
	c.changed(g.key)
	return err
}

// owed are the intents that the queue has to end: none where none was sent, or each
// write of an outage would leave one there.
func (g *guard[T]) owed() []envelope.Token {
	if g.unsent {
		return nil
	}
	return []envelope.Token{g.token}
}
