package region

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Every entry carries the token that its cache had when its value was loaded, and
// is valid only as long as the cache has that token: a new one clears everything
// at once. So that a hit pays nothing for it, a process holds the token under a
// read lease: for one second, counted from before it asked, it may take the token
// for the current one. InvalidateAll waits for that second.

// ClearTime is how long a process may hold the clear token. It is a constant of
// the protocol: all processes of all versions must agree.
const ClearTime = time.Second

// ClearLease is what this process knows of the clear token.
type ClearLease struct {
	emptied func() // called when the token is missing, or not the one it was

	held   atomic.Pointer[clearHeld]
	asking atomic.Bool // somebody reads it already, while the lease still holds
}

// clearHeld is the token and when the read that found it was sent.
type clearHeld struct {
	token   envelope.Token // zero: there was none
	sent    time.Time
	at      int64 // sent, or a moment before, on the clock of the L1
	dropped bool  // at sent: there is no token
}

// Current is the token under a lease that holds now.
func (t *ClearLease) Current() (envelope.Token, bool) {
	held := t.held.Load()
	if held == nil || held.token == (envelope.Token{}) || time.Since(held.sent) >= ClearTime {
		return envelope.Token{}, false
	}
	return held.token, true
}

// CurrentAt is Current for a hit in the L1, which has read its clock already.
func (t *ClearLease) CurrentAt(now int64) (envelope.Token, bool) {
	held := t.held.Load()
	if held == nil || held.token == (envelope.Token{}) || now-held.at >= int64(ClearTime) {
		return envelope.Token{}, false
	}
	return held.token, true
}

// last is the token as it was last known, under a lease or not. A value that is
// stored with it is at worst invalid.
func (t *ClearLease) last() (token envelope.Token, held bool) {
	lease := t.held.Load()
	if lease == nil {
		return envelope.Token{}, false
	}
	return lease.token, time.Since(lease.sent) < ClearTime
}

// due reports whether a batch that goes out anyway should ask for the token: when
// no lease holds, and once half of it is over by one of the readers.
func (t *ClearLease) due() bool {
	held := t.held.Load()
	if held == nil || held.dropped {
		return true
	}
	age := time.Since(held.sent)
	return age >= ClearTime || age >= ClearTime/2 && t.asking.CompareAndSwap(false, true)
}

// Aging reports whether the next reader's batch asks for the token; see due.
func (t *ClearLease) Aging() bool {
	held := t.held.Load()
	return held == nil || held.dropped || time.Since(held.sent) >= ClearTime/2 && !t.asking.Load()
}

// observe takes what a read found that was sent at sent; a zero token: there is none.
func (t *ClearLease) observe(token envelope.Token, sent time.Time) {
	defer t.asking.Store(false)
	next := &clearHeld{token: token, sent: sent, at: mono.Now()}
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
func (l *clearHeld) supersedes(sent time.Time) bool {
	return l.sent.After(sent) || l.dropped && !sent.After(l.sent)
}

// Drop ends the lease: what was learnt before is not to be used any more, nor what
// is learnt from reads that are under way, which may have found the old token. The
// queue of internal/pending does not wait for the second that would end their lease:
//
//  1. R1 sends a read of the token, which finds T1; the reply is late.
//  2. W clears; Redis fails, it is queued, W returns. The queue drains: T2.
//  3. R1 has its reply. R2 starts: under a lease of T1 it would be served what W
//     has cleared.
func (t *ClearLease) Drop() {
	t.held.Store(&clearHeld{sent: time.Now(), dropped: true})
	t.emptied()
}

// unheard says that a read which asked for the token has failed.
func (t *ClearLease) unheard() { t.asking.Store(false) }

// Valid reports whether an entry that carries stamped is valid, if that is known
// without asking Redis.
func (t *ClearLease) Valid(stamped envelope.Token) (valid, known bool) {
	held, _ := t.Current()
	return validUnder(held, stamped)
}

// validUnder is Valid of a token that is held; zero: none is. Where this process holds
// another token than that of an entry, it has to ask for the one that Redis has: the entry
// may be younger than the lease. One that is older is invalid without asking, since tokens
// begin with the time of their minting; should a failover have turned that time back, then
// such an entry is loaded again, no worse.
func validUnder(held, stamped envelope.Token) (valid, known bool) {
	if held == (envelope.Token{}) {
		return false, false
	}
	order := bytes.Compare(stamped[:], held[:])
	return order == 0, order <= 0
}

// clearKey is where the clear token is. It never expires: that it is missing tells
// that Redis was flushed, or replaced by an empty one.
func (r *Region) clearKey() store.TokenKey { return store.TokenKey{Key: r.Space.Clear()} }

// InvalidateAll mints until the token that is read after the wait is not older
// than its own, which a failover may have brought back (model variants 70 to 72):
//
//  1. W mints T2 on the primary, which dies before its replica has it.
//  2. The replica is promoted, with T1. Processes that read the token hold T1.
//  3. W reads after its second: T1, older than T2. It mints T3, and waits again,
//     since others may just have read T1.
//
// A newer token is another caller's, and clears for both. A Redis that goes back each time
// ends the call after clearTries: its clearing is queued. The error is ctx's, which ends
// the wait and not the change, or a [pending.Error].
func (r *Region) InvalidateAll(ctx context.Context) error {
	for range clearTries {
		minted, err := r.replaceClear(Removal(ctx))
		if err != nil {
			return r.oweAll(err)
		}
		if err := r.Background.Sleep(ctx, ClearTime); err != nil {
			return err
		}
		tokens, err := r.Store.ReadTokens(ctx, []string{r.Space.Clear()})
		switch {
		case err != nil && store.Ended(ctx) != nil:
			return store.Ended(ctx)
		case err != nil:
			r.failed(telemetry.OpRemove, err)
			return r.oweAll(err)
		case bytes.Compare(tokens[0][:], minted[:]) >= 0:
			return nil
		}
	}
	return r.oweAll(errTurnedBack)
}

// oweAll queues a clearing, and drops what this process holds, as each change does once it
// is queued. What was dropped before may be here again:
//
//  1. W mints; Redis fails; everything is dropped here.
//  2. R finds nothing queued, and reads an old entry and the old clear token, which is held
//     from then on. The entry goes into the L1.
//  3. W queues the clearing, and returns.
//  4. R2 starts, and is served the old entry: the L1 does not ask the queue.
func (r *Region) oweAll(cause error) error {
	err := r.Owe(pending.Target{Kind: pending.All}, cause)
	r.ChangedAll()
	return err
}

// clearTries is how often one call mints at most. One failover needs two.
const clearTries = 5

var errTurnedBack = errors.New("the new clear token was replaced by an older one each time: Redis is restored again and again")

// replaceClear mints a new clear token and drops what this process holds of the
// cache, also if Redis did not answer: it may have minted all the same.
func (r *Region) replaceClear(ctx context.Context) (envelope.Token, error) {
	minted, errs := r.Store.Replace(ctx, []store.TokenKey{r.clearKey()}, r.noticeClear())
	r.failed(telemetry.OpRemove, errs...)
	r.ChangedAll()
	return minted[0], errs[0]
}
