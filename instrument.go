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
	"github.com/larder-go/cache/internal/store"
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

// outcome is what a look-up counts as. The zero value is none yet.
type outcome uint8

const (
	outcomeMiss outcome = iota
	outcomeHit
	outcomeHitL1
	outcomeStale
	outcomeAbsent
)

var outcomeNames = [...]string{"miss", "hit", "hit_l1", "stale", "absent"}

// telemetry is everything a cache reports through: counters, spans, hooks, log.
type telemetry struct {
	hanging atomic.Int64 // loaders that run although their context has ended
	stats   stats
	groups  *keyGroups
	metrics metrics
	hooks   Hooks
	logger  *slog.Logger

	forbidden forbidden
	spans
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

func newTelemetry(name string, c *config) *telemetry {
	groups := newKeyGroups(name, c)
	return &telemetry{
		stats:   stats{redisErrors: newRedisErrors()},
		groups:  groups,
		metrics: newMetrics(name, c),
		hooks:   c.hooks,
		logger:  c.logger.With("cache", name),
		spans:   newSpans(name, c, groups),
	}
}

// call runs a hook. Hooks are user code on the library's path.
func (t *telemetry) call(hook string, f func()) {
	var panicked *PanicError
	if errors.As(contain(func() error { f(); return nil }), &panicked) {
		t.logger.Error("a hook panicked", "hook", hook, "panic", panicked.Value, "stack", string(panicked.Stack))
	}
}

// lookedUp counts the look-up of a call that began then: 0 if its time is not
// measured.
func (t *telemetry) lookedUp(ctx context.Context, began int64, key string, o outcome) {
	g := t.groups.find(key)
	g.look(o)
	t.took(ctx, began, g, o)
}

// saw counts what is odd about a record that was read.
func (t *telemetry) saw(r *record.Record) {
	switch r.State {
	case record.Foreign:
		t.stats.foreign.Add(1)
		t.stats.bypassed.Add(1)
	case record.Bypassed:
		t.stats.bypassed.Add(1)
		if r.Header.Kind == envelope.Dirty {
			t.stats.corrupt.Add(1)
			t.logger.Error("a write that is not flushed yet cannot be read by this program; it stays, and values are loaded beside it")
		}
	case record.Invalid:
		if !r.Void {
			t.stats.corrupt.Add(1)
		}
	}
}

// redisFailed reports errors that the caller may never see, those of one call and
// nils among them: each is counted, and the first is told with their number.
func (t *telemetry) redisFailed(op op, errs ...error) {
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
	t.stats.redisErrors[op].Add(n)
	if what, ok := store.Forbidden(first); ok {
		t.forbidden.tell(t.logger, string(op), what)
	} else if n == 1 {
		t.logger.Warn("redis failed", "op", string(op), "error", first)
	} else {
		t.logger.Warn("redis failed", "op", string(op), "error", first, "count", n)
	}
	if f := t.hooks.RedisError; f != nil {
		t.call("RedisError", func() { f(string(op), first) })
	}
}

// breakerChanged reports that Redis is not asked any more, or is again.
func (t *telemetry) breakerChanged(open bool) {
	if open {
		t.logger.Warn("redis does not answer: the breaker is open")
	} else {
		t.logger.Info("redis answers: the breaker is closed")
	}
	if f := t.hooks.Breaker; f != nil {
		t.call("Breaker", func() { f(open) })
	}
}

// refills reports that loads wait because the cache was emptied, or do so no more.
func (t *telemetry) refills(began bool) {
	if began {
		t.logger.Warn("the cache was emptied and refills: for a few seconds loads wait for a place")
	} else {
		t.logger.Info("the refill is over: loads under a lease do not wait any more")
	}
}

// loaderHangs reports a loader that runs although its context has ended, or that it has
// returned. Of several at once the first and the last are told.
func (t *telemetry) loaderHangs(hangs bool) {
	switch {
	case hangs && t.hanging.Add(1) == 1:
		t.logger.Warn("a loader runs on although its context has ended; until it returns its key is not loaded again by this process")
	case !hangs && t.hanging.Add(-1) == 0:
		t.logger.Info("no loader hangs any more")
	}
}

// servedStale reports a stale value; err is why, nil while it is refreshed.
func (t *telemetry) servedStale(ctx context.Context, key string, age time.Duration, err error) {
	t.aged(ctx, age, key)
	if f := t.hooks.Stale; f != nil {
		t.call("Stale", func() { f(StaleEvent{Key: key, Age: age, Err: err}) })
	}
}

// refused reports a loaded value that was not stored.
func (t *telemetry) refused(key string) {
	t.stats.refusedFills.Add(1)
	if f := t.hooks.Refused; f != nil {
		t.call("Refused", func() { f(key) })
	}
}

// unencodable reports a value that the codec refused.
func (t *telemetry) unencodable(err error) {
	t.stats.unencodable.Add(1)
	t.logger.Error("a value cannot be encoded; it is returned and not stored", "error", err)
}

// loaded reports one loader call and ends its span.
func (t *telemetry) loaded(ctx context.Context, span trace.Span, e LoadEvent) {
	key := e.Key
	if len(e.Keys) > 0 {
		key = e.Keys[0]
	}
	g, r := t.groups.find(key), resultOf(e.Err)
	g.loads[r].Add(1)
	t.loadTook(ctx, e.Took, g, r)
	t.end(span, e.Err)
	if f := t.hooks.Load; f != nil {
		t.call("Load", func() { f(e) })
	}
}
