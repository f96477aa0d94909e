package testkit

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// ErrRefused is how a sink fails for good.
var ErrRefused error = &cache.PermanentError{Err: errors.New("violates a constraint")}

// ErrDown is how it fails for a while.
var ErrDown = errors.New("the sink is down")

// Picky is a ledger that fails, by the given means, with batches in which a
// value is bad, as long as it is on.
func Picky(fail func() error) (l *ledger, on *atomic.Bool) {
	l, on = NewLedger(), &atomic.Bool{}
	on.Store(true)
	l.Before = func(_ context.Context, batch []cache.Mutation[string]) error {
		for _, m := range batch {
			if on.Load() && (m.Value == "bad" || m.Deleted) {
				return fail()
			}
		}
		return nil
	}
	return l, on
}

// OneTry makes a value a dead letter with the first try that counts.
var OneTry = cache.WriteBehindOptions{MaxAttempts: 1}

// VolatileIsFine is the reason for AcceptVolatile.
const VolatileIsFine = "a test loses nothing of value"

// ledger is a system of record behind a sink: fenced by versions, as it must be.
type ledger struct {
	// Before runs ahead of each batch; its error fails the batch. It must not be
	// changed while workers run.
	Before func(ctx context.Context, batch []cache.Mutation[string]) error

	Mu      sync.Mutex
	Rows    map[string]cache.Mutation[string]
	seen    []cache.Mutation[string] // all that was taken, in order
	batches int
}

// NewLedger is a ledger that takes everything.
func NewLedger() *ledger { return &ledger{Rows: map[string]cache.Mutation[string]{}} }

func (l *ledger) write(ctx context.Context, batch []cache.Mutation[string]) error {
	if l.Before != nil {
		if err := l.Before(ctx, batch); err != nil {
			return err
		}
	}
	l.Mu.Lock()
	defer l.Mu.Unlock()
	l.batches++
	for _, m := range batch {
		l.seen = append(l.seen, m)
		if l.Rows[m.Key].Version < m.Version {
			l.Rows[m.Key] = m
		}
	}
	return nil
}

// Values are the rows that are not deleted.
func (l *ledger) Values() map[string]string {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	all := map[string]string{}
	for key, m := range l.Rows {
		if !m.Deleted {
			all[key] = m.Value
		}
	}
	return all
}

// Of is what the sink was given of a key, in order.
func (l *ledger) Of(key string) []cache.Mutation[string] {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.seen), func(m cache.Mutation[string]) bool { return m.Key != key })
}

// Load is the loader of the rows.
func (l *ledger) Load(_ context.Context, key string) (string, error) {
	if v, ok := l.Values()[key]; ok {
		return v, nil
	}
	return "", cache.ErrNotFound
}

// Stuck is a ledger whose calls wait: each says so on entered, and goes on once
// it is released or its context ends.
func Stuck() (l *ledger, entered chan struct{}, release chan struct{}) {
	l, entered, release = NewLedger(), make(chan struct{}, 1000), make(chan struct{})
	l.Before = func(ctx context.Context, _ []cache.Mutation[string]) error {
		entered <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return l, entered, release
}

// Durable is a server that write-behind accepts.
func Durable(t testing.TB) *redistest.Server {
	return redistest.Single(t, redistest.AppendOnly("everysec"))
}

// EachBehind runs test on miniredis and on a redis-server with an append-only file.
func EachBehind(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Run("miniredis", func(t *testing.T) { test(t, cachetest.Redis(t)) })
	t.Run("redis", func(t *testing.T) { test(t, Durable(t).Client(t)) })
}

// NewBehind is a write-behind cache of few partitions and short intervals, closed
// with the test, whatever it leaves behind. Only an in-memory server, which does
// not tell how durable it is, is accepted unseen. A nil ledger makes a process
// that only puts.
func NewBehind(t testing.TB, rdb redis.UniversalClient, l *ledger, o cache.WriteBehindOptions, opts ...cache.Option) *cache.Cache[string] {
	t.Helper()
	c, err := OpenBehind(rdb, l, o, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// OpenBehind gives New several tries: its 2 s are few on a machine that is busy.
func OpenBehind(rdb redis.UniversalClient, l *ledger, o cache.WriteBehindOptions, opts ...cache.Option) (c *cache.Cache[string], err error) {
	for range 10 {
		c, err = OpenOnce(rdb, l, o, opts...)
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrBudget) {
			break
		}
	}
	return c, err
}

// OpenOnce is New of a write-behind cache, once; a nil ledger makes a process that only puts.
func OpenOnce(rdb redis.UniversalClient, l *ledger, o cache.WriteBehindOptions, opts ...cache.Option) (*cache.Cache[string], error) {
	if o.Partitions == 0 {
		o.Partitions = 4
	}
	if o.Interval == 0 {
		o.Interval = time.Millisecond
	}
	if _, ok := rdb.(*cachetest.Server); ok {
		o.AcceptVolatile = VolatileIsFine
	}
	var w cache.BatchWriter[string]
	if l != nil {
		w = l.write
	}
	return cache.New(rdb, "behind", cache.WriteBehind(w, o), Patient(), cache.Options(opts))
}

// NewPutter is a process that only puts.
func NewPutter(t testing.TB, rdb redis.UniversalClient, opts ...cache.Option) *cache.Cache[string] {
	t.Helper()
	return NewBehind(t, rdb, nil, cache.WriteBehindOptions{}, opts...)
}

// Has asserts what Get finds.
func Has(t testing.TB, c *cache.Cache[string], key, want string, why ...any) {
	t.Helper()
	got, err := c.Get(t.Context(), key)
	if assert.NoError(t, err, why...) {
		assert.Equal(t, want, got, why...)
	}
}

// Letters lists the dead letters.
func Letters(t testing.TB, c *cache.Cache[string]) []cache.DeadLetter {
	t.Helper()
	var all []cache.DeadLetter
	for l, err := range c.DeadLetters(t.Context()) {
		require.NoError(t, err)
		all = append(all, l)
	}
	return all
}

// SortedKeys are a map's.
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
