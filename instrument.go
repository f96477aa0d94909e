package cache

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Hooks are callbacks, each of which may be nil. They are called on the
// goroutine on which the event happens, with no lock held: they must be quick.
// They may call the cache, with two exceptions: Load and Refused must not load
// the same key and must not close the cache, since that waits for the very load
// that they report. A panic in a hook is contained and logged.
type Hooks struct {
	// Load is called after each call of a loader.
	Load func(LoadEvent)
	// Stale is called when a stale value was served.
	Stale func(StaleEvent)
	// Refused is called when a loaded value was not stored, because a change
	// overlapped its load.
	Refused func(key string)
	// RedisError is called for each operation that Redis did not answer
	// properly, for one about several keys once. Most such errors are absorbed:
	// this is where they show.
	RedisError func(op string, err error)
	// Breaker is called when the cache has stopped to ask Redis, or a node of a
	// cluster, because it does not answer, and when it asks all of it again. The
	// caches of one client share their breakers.
	Breaker func(open bool)
	// DeadLetter is called when the sink of a WriteBehind cache would not take a
	// value, in a process whose workers tried.
	DeadLetter func(key string, version uint64, err error)
}

// LoadEvent is one call of a loader.
type LoadEvent struct {
	// Key is "" for a load of several keys.
	Key string
	// Keys are those of a BatchLoader's call; nil for a load of one key.
	Keys []string
	// Refresh: the load ran in the background; nobody waited for it.
	Refresh bool
	Took    time.Duration
	// Err is what the loader returned; ErrNotFound is among it.
	Err error
}

// StaleEvent is one stale value that was served.
type StaleEvent struct {
	Key string
	// Age is the time since the load that produced the value.
	Age time.Duration
	// Err is why it was served under StaleIfError; nil under
	// StaleWhileRevalidate.
	Err error
}

// Stats is a snapshot of a cache's counters since New, and of what it is doing. Hits, Stale, Absent and
// Misses add up to the look-ups: the calls of Get and GetOrLoad, and of their
// batch forms one for each key; a call that was refused for its arguments is
// none. A look-up counts as what its own first read found, except that one which
// ends with a stale value counts as Stale.
type Stats struct {
	HitsL1       int64         // fresh values from this process's memory; part of Hits
	Hits         int64         // fresh values
	Stale        int64         // values past their soft expiry, under StaleWhileRevalidate or StaleIfError
	Absent       int64         // remembered absences
	Misses       int64         // all other look-ups, also those that failed, or never began: ErrClosed, ctx had ended
	Loads        int64         // loader calls
	LoadErrors   int64         // loader calls that failed, panics included, ErrNotFound not
	LoadsAbsent  int64         // loader calls that said ErrNotFound
	Coalesced    int64         // times that a look-up joined a load of another caller in this process
	LockWaits    int64         // flights that waited for a load in another process
	RefusedFills int64         // loaded values that were not stored because they may be outdated
	Refreshes    int64         // refreshes begun in the background; one that finds the key being loaded ends without a load
	Bypassed     int64         // reads and writes that went past the cache: Redis failed, or the record must not be touched
	Corrupt      int64         // records of ours that could not be used: damaged, another codec, an older schema, or not decoded
	Foreign      int64         // records that are not ours
	Pending      int64         // invalidations that are queued now
	Dirty        int64         // write-behind keys of all processes that are not in the sink, as this process last sampled
	DeadLetters  int64         // write-behind values that were given up, as last sampled
	Flushed      int64         // write-behind values that this process's workers brought to the sink
	FlushErrors  int64         // calls of the sink that failed
	RedisErrors  int64         // operations that Redis did not answer properly; each key of a batch is one
	Lag          time.Duration // for how long the oldest dirty key has waited, as last sampled
	Overdue      int64         // keys whose loader runs although its context has ended
	Refilling    int64         // 1 while loads are limited because the cache was emptied, else 0
	Unencodable  int64         // values that the codec refused, returned without being stored
	Unpublished  int64         // changes of this process that Redis did not publish to the L1s: its user may not
	Loading      int64         // keys that this process is loading now, for callers or to refresh them; waits for the load of another process included
	Waiting      int64         // look-ups of this process that wait for such a load now; each key of a batch is one
	Retrying     int64         // write-behind keys of all processes that the sink refused while it took others, and that are tried again, as last sampled
	OldestRetry  time.Duration // for how long the sink of this process has failed with the same key, at most, as last sampled
	SinkCalls    int64         // calls of the sink that have not returned
	WaitingPuts  int64         // write-behind puts of this process that wait for room now
}

// reporter is everything a cache reports through: counters and spans, hooks, log.
type reporter struct {
	telemetry.Recorder
	hanging   atomic.Int64 // loaders that run although their context has ended
	hooks     Hooks
	forbidden forbidden
	unread    sparing // of writes that are not flushed, and that this program cannot read
}

// forbidden is what Redis refuses for good, by operation and by what: they are told once
// an hour each, and not at every call.
type forbidden struct{ told sync.Map } // forbiddenOp -> when, by mono

type forbiddenOp struct{ op, what string }

func (r *forbidden) tell(logger *slog.Logger, op, what string) {
	now := mono.Now()
	if last, ok := r.told.Swap(forbiddenOp{op, what}, now); ok && now-last.(int64) < int64(time.Hour) {
		r.told.Store(forbiddenOp{op, what}, last)
		return
	}
	logger.Warn("Redis refuses what the cache needs, so that nothing or less is cached",
		"op", op, "refused", what, "mend", "allow the commands and keys that README lists")
}

// sparing lets one line a second into the log, of many of one kind. The zero value is ready
// for use.
type sparing struct {
	last atomic.Int64 // when there was one, by mono; 0: never
	left atomic.Int64 // how many were left out since
}

// may reports whether this one may be written, and how many were left out before it.
func (s *sparing) may() (left int64, ok bool) {
	last, now := s.last.Load(), mono.Now()
	if last != 0 && now-last < int64(time.Second) || !s.last.CompareAndSwap(last, now) {
		s.left.Add(1)
		return 0, false
	}
	return s.left.Swap(0), true
}

func newReporter(hooks Hooks, o telemetry.Options) *reporter {
	return &reporter{hooks: hooks, Recorder: telemetry.New(o)}
}

// call runs a hook. Hooks are user code on the library's path.
func (t *reporter) call(hook string, f func()) {
	var panicked *PanicError
	if errors.As(contain(func() error { f(); return nil }), &panicked) {
		t.Logger.Error("a hook panicked", "hook", hook, "panic", panicked.quiet(), "stack", string(panicked.Stack))
	}
}

// saw counts what is odd about a record that was read.
func (t *reporter) saw(r *record.Record) {
	switch r.State {
	case record.Foreign:
		t.Foreign.Add(1)
		t.Bypassed.Add(1)
	case record.Bypassed:
		t.Bypassed.Add(1)
		if r.Header.Kind == envelope.Dirty {
			t.Corrupt.Add(1)
			if more, ok := t.unread.may(); ok {
				t.Logger.Error("a write that is not flushed yet cannot be read by this program; it stays, and values are loaded beside it", "more", more)
			}
		}
	case record.Invalid:
		if r.Why.Corrupt() {
			t.Corrupt.Add(1)
		}
	}
}

// redisFailed reports errors that the caller may never see, those of one call and
// nils among them: each is counted, and the first is told with their number.
func (t *reporter) redisFailed(op telemetry.Op, errs ...error) {
	var first error
	n := int64(0)
	for _, err := range errs {
		if err == nil || errors.Is(err, store.ErrOpen) {
			continue // it was not asked
		}
		first = cmp.Or(first, err)
		n++
	}
	if n == 0 {
		return
	}
	t.RedisFailed(op, n)
	if what, ok := store.Forbidden(first); ok {
		if what != "" {
			t.forbidden.tell(t.Logger, string(op), what)
		}
	} else if n == 1 {
		t.Logger.Warn("redis failed", "op", string(op), "error", logged(first))
	} else {
		t.Logger.Warn("redis failed", "op", string(op), "error", logged(first), "count", n)
	}
	if f := t.hooks.RedisError; f != nil {
		t.call("RedisError", func() { f(string(op), first) })
	}
}

// breakerChanged reports that Redis is not asked any more, or is again.
func (t *reporter) breakerChanged(open bool) {
	if open {
		t.Logger.Warn("redis does not answer: the breaker is open")
	} else {
		t.Logger.Info("redis answers: the breaker is closed")
	}
	if f := t.hooks.Breaker; f != nil {
		t.call("Breaker", func() { f(open) })
	}
}

// refills reports that loads wait because the cache was emptied, or do so no more.
func (t *reporter) refills(began bool) {
	if began {
		t.Logger.Warn("the cache was emptied and refills: for a few seconds loads wait for a place")
	} else {
		t.Logger.Info("the refill is over: loads under a lease do not wait any more")
	}
}

// loaderHangs reports a loader that runs although its context has ended, or that it has
// returned. Of several at once the first and the last are told.
func (t *reporter) loaderHangs(hangs bool) {
	switch {
	case hangs && t.hanging.Add(1) == 1:
		t.Logger.Warn("a loader runs on although its context has ended; until it returns its key is not loaded again by this process")
	case !hangs && t.hanging.Add(-1) == 0:
		t.Logger.Info("no loader hangs any more")
	}
}

// servedStale reports a stale value; err is why, nil while it is refreshed.
func (t *reporter) servedStale(ctx context.Context, key string, age time.Duration, err error) {
	t.Aged(ctx, age, key)
	if f := t.hooks.Stale; f != nil {
		t.call("Stale", func() { f(StaleEvent{Key: key, Age: age, Err: err}) })
	}
}

// refused reports a loaded value that was not stored.
func (t *reporter) refused(key string) {
	t.RefusedFills.Add(1)
	if f := t.hooks.Refused; f != nil {
		t.call("Refused", func() { f(key) })
	}
}

// unencodable reports a value that the codec refused.
func (t *reporter) unencodable(err error) {
	t.Unencodable.Add(1)
	t.Logger.Error("a value cannot be encoded; it is returned and not stored", "error", logged(err))
}

// loaded reports one loader call and ends its span.
func (t *reporter) loaded(ctx context.Context, span trace.Span, e LoadEvent) {
	key := e.Key
	if len(e.Keys) > 0 {
		key = e.Keys[0]
	}
	label := telemetry.LoadOK
	switch {
	case isAbsent(e.Err):
		label = telemetry.LoadAbsent
	case e.Err != nil:
		label = telemetry.LoadError
	}
	t.Loaded(ctx, span, key, e.Took, label, e.Err)
	if f := t.hooks.Load; f != nil {
		t.call("Load", func() { f(e) })
	}
}

// spanOf is what a write by strategy is to those who look at spans: what the caller
// asked for, whatever record it leaves.
func spanOf(called string) telemetry.Op {
	if called == "set" {
		return telemetry.OpPut
	}
	return telemetry.OpRemove
}

// endWrite ends the span of a write by strategy: sent is the entry that was to be
// stored, nil if there was none.
func (t *reporter) endWrite(ctx context.Context, span trace.Span, op, key, redisKey string, sent *region.Entry, err error) {
	if spanOf(op) == telemetry.OpPut {
		t.EndPut(ctx, span, redisKey, sent.Put(key), err)
		return
	}
	t.EndRemove(ctx, span, redisKey, err, key)
}
