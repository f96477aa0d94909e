package cache_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
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

const volatileIsFine = "a test loses nothing of value"

// ledger is a system of record behind a sink: fenced by versions, as it must be.
type ledger struct {
	// before runs ahead of each batch; its error fails the batch. It must not be
	// changed while workers run.
	before func(ctx context.Context, batch []cache.Mutation[string]) error

	mu      sync.Mutex
	rows    map[string]cache.Mutation[string]
	seen    []cache.Mutation[string] // all that was taken, in order
	batches int
}

func newLedger() *ledger { return &ledger{rows: map[string]cache.Mutation[string]{}} }

func (l *ledger) write(ctx context.Context, batch []cache.Mutation[string]) error {
	if l.before != nil {
		if err := l.before(ctx, batch); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches++
	for _, m := range batch {
		l.seen = append(l.seen, m)
		if l.rows[m.Key].Version < m.Version {
			l.rows[m.Key] = m
		}
	}
	return nil
}

// values are the rows that are not deleted.
func (l *ledger) values() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]string{}
	for key, m := range l.rows {
		if !m.Deleted {
			all[key] = m.Value
		}
	}
	return all
}

// of is what the sink was given of a key, in order.
func (l *ledger) of(key string) []cache.Mutation[string] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.seen), func(m cache.Mutation[string]) bool { return m.Key != key })
}

// load is the loader of the rows.
func (l *ledger) load(_ context.Context, key string) (string, error) {
	if v, ok := l.values()[key]; ok {
		return v, nil
	}
	return "", cache.ErrNotFound
}

// stuck is a ledger whose calls wait: each says so on entered, and goes on once
// it is released or its context ends.
func stuck() (l *ledger, entered chan struct{}, release chan struct{}) {
	l, entered, release = newLedger(), make(chan struct{}, 1000), make(chan struct{})
	l.before = func(ctx context.Context, _ []cache.Mutation[string]) error {
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

// durable is a server that write-behind accepts.
func durable(t testing.TB) *redistest.Server {
	return redistest.Single(t, redistest.AppendOnly("everysec"))
}

// eachBehind runs test on miniredis and on a redis-server with an append-only file.
func eachBehind(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Run("miniredis", func(t *testing.T) { test(t, cachetest.Redis(t)) })
	t.Run("redis", func(t *testing.T) { test(t, durable(t).Client(t)) })
}

// newBehind is a write-behind cache of few partitions and short intervals, closed
// with the test, whatever it leaves behind. Only an in-memory server, which does
// not tell how durable it is, is accepted unseen. A nil ledger makes a process
// that only puts.
func newBehind(t testing.TB, rdb redis.UniversalClient, l *ledger, o cache.WriteBehindOptions, opts ...cache.Option) *cache.Cache[string] {
	t.Helper()
	c, err := openBehind(rdb, l, o, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// openBehind gives New several tries: its 2 s are few on a machine that is busy.
func openBehind(rdb redis.UniversalClient, l *ledger, o cache.WriteBehindOptions, opts ...cache.Option) (c *cache.Cache[string], err error) {
	for range 10 {
		c, err = openOnce(rdb, l, o, opts...)
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrBudget) {
			break
		}
	}
	return c, err
}

func openOnce(rdb redis.UniversalClient, l *ledger, o cache.WriteBehindOptions, opts ...cache.Option) (*cache.Cache[string], error) {
	if o.Partitions == 0 {
		o.Partitions = 4
	}
	if o.Interval == 0 {
		o.Interval = time.Millisecond
	}
	if _, ok := rdb.(*cachetest.Server); ok {
		o.AcceptVolatile = volatileIsFine
	}
	var w cache.BatchWriter[string]
	if l != nil {
		w = l.write
	}
	return cache.New(rdb, "behind", cache.WriteBehind(w, o), patient(), cache.Options(opts))
}

// newPutter is a process that only puts.
func newPutter(t testing.TB, rdb redis.UniversalClient, opts ...cache.Option) *cache.Cache[string] {
	t.Helper()
	return newBehind(t, rdb, nil, cache.WriteBehindOptions{}, opts...)
}

// has asserts what Get finds.
func has(t testing.TB, c *cache.Cache[string], key, want string, why ...any) {
	t.Helper()
	got, err := c.Get(t.Context(), key)
	if assert.NoError(t, err, why...) {
		assert.Equal(t, want, got, why...)
	}
}

// letters lists the dead letters.
func letters(t testing.TB, c *cache.Cache[string]) []cache.DeadLetter {
	t.Helper()
	var all []cache.DeadLetter
	for l, err := range c.DeadLetters(t.Context()) {
		require.NoError(t, err)
		all = append(all, l)
	}
	return all
}

// dirtyLeft asserts that err is a *RemainingError with so many dirty keys.
func dirtyLeft(t testing.TB, err error, dirty int) {
	t.Helper()
	var left *cache.RemainingError
	if assert.ErrorAs(t, err, &left) {
		assert.Equal(t, cache.RemainingError{Dirty: dirty}, *left)
	}
}

// sortedKeys are a map's.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
