package cache

import (
	"context"
	"errors"
	"time"

	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is what a call does about a key that its look-up has not found: it leads
// or joins a flight (internal/load says who shares one), and takes what that found, or
// looks again. A call has three rounds, each a look-up and at most one flight; in the
// last it is solo: it joins only a flight to whose end it is entitled whatever that is.
//
//	outcome                 entitled  rounds 1 and 2             round 3
//	Stored, Loaded, Found   yes       return it                  return it
//	Stored, Loaded, Found   no        look again                 cannot be: its own load
//	Failed                  all       the stale value that may   the same
//	                                  be served instead, else
//	                                  the error
//	Outdated                -         look again: a fresh        return what was loaded,
//	                                  record is there            unstored
//	Backoff                 -         the stale value; else      the stale value, else
//	                                  sleep and look again, or   ErrBackoff
//	                                  ErrBackoff if that is too
//	                                  long
//	Contended               -         the stale value if it      cannot be: it loads
//	                                  decodes; else round 3      without a lease
//	Abandoned; it waited    -         look again                 cannot be: it joins no
//	for a load or a commit                                       flight that ends so
//	that is not for it
//
// Every row of rounds 1 and 2 ends the call or leads to a later round, and every row
// of round 3 ends it: a call makes at most three look-ups and waits for at most three
// loads (internal/model, variants 80 to 84). A flight without a look-up (loadUnread) is
// the first round, unless all that it found is that a record is there.

// rounds is how many look-ups a call makes at most.
const rounds = 3

// step is what a caller does next.
type step uint8

const (
	stepReturn         step = iota // what was found, or the error
	stepLookAgain                  // in the next round
	stepWaitOutBackoff             // the stale value, or wait and look again
	stepStaleOrSolo                // the stale value, or the last round at once
)

// next is the table above.
func next(outcome load.Outcome, entitled bool, round int) step {
	switch outcome {
	case load.Failed:
		return stepReturn
	case load.Stored, load.Loaded, load.Found:
		if entitled {
			return stepReturn
		}
	case load.Outdated:
		if round == rounds {
			return stepReturn
		}
	case load.Backoff:
		return stepWaitOutBackoff
	case load.Contended:
		return stepStaleOrSolo
	}
	return stepLookAgain
}

// serve finds an outcome for each of calls, all of one request, which have looked up
// once and found nothing to serve.
func (c *Cache[T]) serve(ctx context.Context, l *lookupRoom[T], calls []*call[T]) {
	for range rounds {
		if calls = c.join(ctx, calls); len(calls) == 0 {
			return
		}
		for _, call := range calls {
			call.round++
		}
		c.lookup(ctx, l, calls)
		calls = unserved(calls)
	}
	for _, call := range calls {
		call.err = c.unanswered(ctx, call.key)
	}
}

// unserved are those of calls whose look-up has found nothing to serve.
func unserved[T any](calls []*call[T]) []*call[T] {
	left := calls[:0:0]
	for _, call := range calls {
		if call.err == nil && !call.lookup.State.Serves() {
			call.missed = true
			left = append(left, call)
		}
	}
	return left
}

// errUnanswered is what no call may end with: the table has a row for each way in which
// the last round ends, but for the end of its caller's time.
var errUnanswered = errors.New("internal: no round has answered")

func (c *Cache[T]) unanswered(ctx context.Context, key string) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	return &OpError{Op: "get", Key: key, Err: errUnanswered}
}

// loadUnread leads a flight of a key that was not looked up, where nothing is expected to
// be there: acquire finds that out, too, and a miss costs an exchange less. It reports
// whether the call has ended; if not, it looks the key up. That is so if a record is there:
// what it is good for is decided in one place.
func (c *Cache[T]) loadUnread(ctx context.Context, l *lookupRoom[T]) (ended bool) {
	call := &l.single
	if !c.mayLoadUnread(ctx, call) {
		return false
	}
	seat, ok := c.region.Flights.Lead(call.key, load.Caller{Began: call.began})
	if !ok {
		return false
	}
	call.begin(c.region.RedisKey(call.key), nil)
	call.seat, call.missed, call.result.asked = seat, true, true
	key := keyOf(&call.seat, &call.entry, &call.lookup)
	key.Unread = true
	go c.run(ctx, call.loader, false, []*load.Key{key})
	ended = len(c.await(ctx, l.only[:])) == 0
	if ended {
		c.region.Expected.Note(true)
		return true
	}
	if result, _ := call.seat.Result(); result.Outcome == load.Abandoned && !result.Loaded() {
		call.missed = false // a record is there: nothing was waited for
	} else {
		call.round++
	}
	c.region.Expected.Note(call.missed)
	return false
}

// mayLoadUnread reports whether call may load without a look-up. One that has little time
// may not: a look-up takes at most two thirds of that, and acquire its budget.
func (c *Cache[T]) mayLoadUnread(ctx context.Context, call *call[T]) bool {
	if !c.region.Expected.Nothing() || call.early || !call.entry.store || load.Nested(ctx) || c.usable(ctx) != nil {
		return false
	}
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) < 3*c.region.Store.Budget() {
		return false
	}
	r := c.region
	return r.Strategy.Known() && r.Strategy.Problem() == nil && r.Pending.Len() == 0 && !r.Store.Open()
}

// join waits for the flights of calls, those that it leads and those of others. It
// returns the calls that have to look again.
func (c *Cache[T]) join(ctx context.Context, calls []*call[T]) (again []*call[T]) {
	return c.await(ctx, c.board(ctx, calls))
}

// await waits for the ends of the flights of calls. It returns those that have to look
// again, once they may.
func (c *Cache[T]) await(ctx context.Context, calls []*call[T]) (again []*call[T]) {
	var ready time.Time // when the longest back-off that is waited for is over
	for _, call := range calls {
		if call.err = c.region.Flights.Await(ctx, call.seat); call.err != nil {
			continue
		}
		looks, end := c.conclude(ctx, call)
		if !looks {
			continue
		}
		again = append(again, call)
		if end.After(ready) {
			ready = end
		}
	}
	if ready.IsZero() {
		return again
	}
	if err := c.region.Background.Sleep(ctx, time.Until(ready)); err != nil {
		for _, call := range again {
			call.err = err
		}
		return nil
	}
	return again
}

// board finds a flight for each of calls, and runs those that the calls lead: together.
func (c *Cache[T]) board(ctx context.Context, calls []*call[T]) (boarded []*call[T]) {
	var led []*load.Key
	var loader loader[T]
	boarded = calls[:0]
	nested := load.Nested(ctx)
	defer func() { // also if a codec panics: what is led must be run
		if len(led) > 0 {
			go c.run(ctx, loader, false, led)
		}
	}()
	for _, call := range calls {
		if err := c.region.Flights.CheckCycle(ctx, call.key); err != nil {
			call.err = c.orStale(ctx, call, &OpError{Op: "get", Key: call.key, Err: err})
			continue
		}
		call.seat, call.err = c.region.Flights.Join(call.key, load.Caller{
			Began: call.began, Waited: call.waited, Solo: call.round == rounds, Nested: nested, Batch: call.many,
		})
		switch {
		case call.err != nil:
			continue
		case call.seat.Role == load.Lead:
			led, loader = append(led, keyOf(&call.seat, &call.entry, &call.lookup)), call.loader
		case call.seat.Role == load.Share && !call.joined:
			call.joined = true
			c.tel.Coalesced.Add(1)
		}
		boarded = append(boarded, call)
	}
	return boarded
}

// conclude is what a caller makes of a flight that has ended: the table at the top. ready is
// the end of a back-off that it has to wait out first.
func (c *Cache[T]) conclude(ctx context.Context, call *call[T]) (again bool, ready time.Time) {
	if call.seat.Role == load.WaitLoad || call.seat.Role == load.WaitCommit {
		call.waited = call.waited || call.seat.Role == load.WaitLoad
		return true, ready
	}
	result, entitled := call.seat.Result()
	switch next(result.Outcome, entitled, call.round) {
	case stepReturn:
		call.result.value, call.result.size, call.result.problem = valueOf[T](result.Value), result.Size, result.Problem
		call.result.kept = result.Outcome == load.Stored || result.Outcome == load.Found
		call.result.loaded = true
		call.err = c.orStale(ctx, call, result.Err)
		return false, ready
	case stepWaitOutBackoff:
		return c.waitOutBackoff(ctx, call, result.Backoff)
	case stepStaleOrSolo:
		if c.orStale(ctx, call, errLockWait) == nil {
			return false, ready
		}
		call.round, call.waited = rounds-1, true
		return true, ready
	}
	call.waited = call.waited || result.Loaded()
	return true, ready
}

// orStale is err, or nil and the stale value that the caller's own look-up saw,
// if the class serves it in place of an error.
func (c *Cache[T]) orStale(ctx context.Context, call *call[T], err error) error {
	if err == nil || isAbsent(err) || errors.Is(err, ErrClosed) {
		return err
	}
	seen := &call.lookup
	if seen.State != record.StaleIfError {
		return c.orFallback(ctx, call, err)
	}
	if c.decode(call.key, &seen.Record, &call.result) != nil || seen.State != record.StaleIfError {
		return err
	}
	call.result.outcome = telemetry.Stale
	c.tel.servedStale(ctx, call.key, seen.Age(), err)
	return nil
}

// orFallback is err, or nil and what the L1 held when its messages ceased.
func (c *Cache[T]) orFallback(ctx context.Context, call *call[T], err error) error {
	v, size, age, ok := c.localFallback(call.key, call.entry.class)
	if !ok {
		return err
	}
	call.result.value, call.result.size, call.result.outcome = v, size, telemetry.Stale
	c.tel.servedStale(ctx, call.key, age, err)
	return nil
}

// waitOutBackoff says until when the call waits for the end of the fleet's back-off, if
// it may wait so long, and has no stale value to serve meanwhile.
func (c *Cache[T]) waitOutBackoff(ctx context.Context, call *call[T], end time.Time) (again bool, ready time.Time) {
	if call.err = c.orStale(ctx, call, ErrBackoff); call.err == nil {
		return false, ready
	}
	if call.until.IsZero() {
		call.until = time.Now().Add(c.config.lockWait())
	}
	deadline, bounded := ctx.Deadline()
	if call.round == rounds || end.After(call.until) || bounded && end.After(deadline) {
		return false, ready
	}
	call.err = nil
	return true, end
}
