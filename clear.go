package cache

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Every entry carries the token that its cache had when its value was loaded, and
// is valid only as long as the cache has that token: a new one clears everything
// at once. So that a hit pays nothing for it, a process holds the token under a
// read lease: for one second, counted from before it asked, it may take the token
// for the current one. InvalidateAll waits for that second.

// clearTime is how long a process may hold the clear token. It is a constant of
// the protocol: all processes of all versions must agree.
const clearTime = time.Second

// clearToken is what this process knows of the clear token.
type clearToken struct {
	emptied func() // called when the token is missing, or not the one it was

	held   atomic.Pointer[clearLease]
	asking atomic.Bool // somebody reads it already, while the lease still holds
}

// clearLease is the token and when the read that found it was sent.
type clearLease struct {
	token   envelope.Token // zero: there was none
	sent    time.Time
	at      int64 // sent, or a moment before, on the clock of the L1
	dropped bool  // at sent: there is no token
}

// current is the token under a lease that holds now.
func (t *clearToken) current() (envelope.Token, bool) {
	held := t.held.Load()
	if held == nil || held.token == (envelope.Token{}) || time.Since(held.sent) >= clearTime {
		return envelope.Token{}, false
	}
	return held.token, true
}

// currentAt is current for a hit in the L1, which has read its clock already.
func (t *clearToken) currentAt(now int64) (envelope.Token, bool) {
	held := t.held.Load()
	if held == nil || held.token == (envelope.Token{}) || now-held.at >= int64(clearTime) {
		return envelope.Token{}, false
	}
	return held.token, true
}

// last is the token as it was last known, under a lease or not. A value that is
// stored with it is at worst invalid.
func (t *clearToken) last() (token envelope.Token, held bool) {
	lease := t.held.Load()
	if lease == nil {
		return envelope.Token{}, false
	}
	return lease.token, time.Since(lease.sent) < clearTime
}

// due reports whether a batch that goes out anyway should ask for the token: when
// no lease holds, and once half of it is over by one of the readers.
func (t *clearToken) due() bool {
	held := t.held.Load()
	if held == nil || held.dropped {
		return true
	}
	age := time.Since(held.sent)
	return age >= clearTime || age >= clearTime/2 && t.asking.CompareAndSwap(false, true)
}

// aging reports whether the next reader's batch asks for the token; see due.
func (t *clearToken) aging() bool {
	held := t.held.Load()
	return held == nil || held.dropped || time.Since(held.sent) >= clearTime/2 && !t.asking.Load()
}

// learn takes what a read found that was sent at sent; a zero token: there is none.
func (t *clearToken) learn(token envelope.Token, sent time.Time) {
	defer t.asking.Store(false)
	next := &clearLease{token: token, sent: sent, at: monotonic()}
	next.at -= int64(time.Since(sent))
	for {
		held := t.held.Load()
		if held != nil && held.supersedes(sent) {
			return
		}
		if t.held.CompareAndSwap(held, next) {
			if token == (envelope.Token{}) || held != nil && (held.dropped || held.token != token) {
				t.emptied()
			}
			return
		}
	}
}

// supersedes reports whether what a read found that was sent at sent is out of date.
func (l *clearLease) supersedes(sent time.Time) bool {
	return l.sent.After(sent) || l.dropped && !sent.After(l.sent)
}

// drop ends the lease: what was learnt before is not to be used any more, nor what
// is learnt from reads that are under way, which may have found the old token. The
// queue of internal/pending does not wait for the second that would end their lease:
//
//  1. R1 sends a read of the token, which finds T1; the reply is late.
//  2. W clears; Redis fails, it is queued, W returns. The queue drains: T2.
//  3. R1 has its reply. R2 starts: under a lease of T1 it would be served what W
//     has cleared.
func (t *clearToken) drop() {
	t.held.Store(&clearLease{sent: time.Now(), dropped: true})
	t.emptied()
}

// unheard says that a read which asked for the token has failed.
func (t *clearToken) unheard() { t.asking.Store(false) }

// uncleared reports whether an entry that carries stamped is still valid. Where
// this process holds another token than that, it asks for the one that Redis has:
// the entry may be younger than the lease. One that is older is invalid without
// asking, since tokens begin with the time of their minting; should a failover
// have turned that time back, then such an entry is loaded again, no worse.
func (c *Cache[T]) uncleared(ctx context.Context, stamped envelope.Token) (bool, error) {
	if valid, known := c.clear.vouches(stamped); known {
		return valid, nil
	}
	sent := time.Now()
	tokens, err := c.store.ReadTokens(ctx, []string{c.space.Clear()})
	if err != nil {
		c.clear.unheard()
		return false, err
	}
	c.clear.learn(tokens[0], sent)
	return tokens[0] == stamped && stamped != envelope.Token{}, nil
}

// vouches reports whether an entry that carries stamped is valid, if that is known
// without asking Redis.
func (t *clearToken) vouches(stamped envelope.Token) (valid, known bool) {
	held, ok := t.current()
	switch {
	case ok && held == stamped:
		return true, true
	case ok && bytes.Compare(stamped[:], held[:]) < 0:
		return false, true
	}
	return false, false
}

// clearKey is where the clear token is. It never expires: that it is missing tells
// that Redis was flushed, or replaced by an empty one.
func (c *Cache[T]) clearKey() store.TokenKey { return store.TokenKey{Key: c.space.Clear()} }

// InvalidateAll makes all entries of the cache invalid, in all processes, whatever
// their number, and fills of loads that are running now with them. It mints a new
// token for the cache and then waits for one second, for as long other processes
// may hold the old one; when it has returned nil, no call that starts later is
// served an older entry. What was invalidated is not removed from Redis: it is
// replaced by the next load, or expires. Writes of a [WriteBehind] cache that are
// not flushed yet are not touched.
//
// If ctx ends during the second, or has ended before, the error is ctx's: the new token
// is minted all the same, and is everywhere within the second. If Redis fails the error is an [*OpError] that Is
// [ErrPending]: it is made again until Redis accepts it, and until then this
// process reads nothing from Redis. Two round trips and the second.
func (c *Cache[T]) InvalidateAll(ctx context.Context) error {
	lasting, err := c.removal(ctx)
	if err != nil {
		return err
	}
	if err := c.agree(lasting, "invalidate all", ""); err != nil {
		return err
	}
	ctx, span := c.tel.Start(ctx, telemetry.OpFlush)
	err = c.invalidateAll(ctx)
	c.tel.EndRemove(ctx, span, c.space.Clear(), err)
	return err
}

// invalidateAll mints until the token that is read after the wait is not older
// than its own, which a failover may have brought back (model variants 70 to 72):
//
//  1. W mints T2 on the primary, which dies before its replica has it.
//  2. The replica is promoted, with T1. Processes that read the token hold T1.
//  3. W reads after its second: T1, older than T2. It mints T3, and waits again,
//     since others may just have read T1.
//
// A newer token is another caller's, and clears for both.
func (c *Cache[T]) invalidateAll(ctx context.Context) error {
	for {
		minted, err := c.replaceClear(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		if err := c.sleep(ctx, clearTime); err != nil {
			return err
		}
		tokens, err := c.store.ReadTokens(ctx, []string{c.space.Clear()})
		switch {
		case err != nil && store.Ended(ctx) != nil:
			return store.Ended(ctx)
		case err != nil:
			c.tel.redisFailed(telemetry.OpRemove, err)
			return c.queue("invalidate all", pending.Target{Kind: pending.All}, err)
		case bytes.Compare(tokens[0][:], minted[:]) >= 0:
			return nil
		}
	}
}

// clearAgain is InvalidateAll from the queue: its caller has gone, and has been
// told that others may hold the old token for a second.
func (c *Cache[T]) clearAgain(ctx context.Context) error {
	_, errs := c.replaceTokens(ctx, []store.TokenKey{c.clearKey()}, c.noticeClear())
	c.changedAll()
	return errs[0]
}

// replaceClear mints a new clear token and drops what this process holds of the
// cache, also if Redis did not answer: it may have minted all the same.
func (c *Cache[T]) replaceClear(ctx context.Context) (envelope.Token, error) {
	minted, errs := c.replaceTokens(ctx, []store.TokenKey{c.clearKey()}, c.noticeClear())
	err := errs[0]
	if err != nil {
		c.tel.redisFailed(telemetry.OpRemove, err)
		err = c.queue("invalidate all", pending.Target{Kind: pending.All}, err)
	}
	c.changedAll()
	return minted[0], err
}
