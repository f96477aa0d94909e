package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// quiet drops what go-redis logs about servers that these tests stop and kill.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }

const historyRows = 4

// history is a few rows whose versions only grow, and a check of every read
// against them: who starts after a write has been invalidated, and its writer
// told so, must not get an older version. For one register with growing versions
// this check is complete. Beside that floor, which binds everybody, each process
// has its own, of writes whose invalidation is pending: those bind its own reads.
type history struct {
	rows [historyRows]struct {
		mu             sync.Mutex // one writer at a time, so the floor only grows
		version, floor atomic.Int64
	}
	gets, stale, failed atomic.Int64
	writes, pending     atomic.Int64
	slowest             atomic.Int64 // get, in nanoseconds

	failure atomic.Pointer[error] // the first one
}

// newBudgeted is newCache with the budgets of a program: what is about a Redis
// that does not answer.
func newBudgeted[T any](t testing.TB, rdb redis.UniversalClient, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	c, err := cache.New(rdb, "test", cache.Aside[T](), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// subject is a process as the history sees it.
type subject struct {
	get func(ctx context.Context, key string) (int64, error)
	put func(ctx context.Context, key string, write func()) error // writes the row, invalidates the entry
	own [historyRows]atomic.Int64
}

// load reads a row, and takes up to 2 ms more.
func (h *history) load(ctx context.Context, key string) (int64, error) {
	i, err := strconv.Atoi(key)
	if err != nil {
		return 0, err
	}
	v := h.rows[i].version.Load()
	return v, pace(ctx, time.Duration(rand.Int64N(int64(2*time.Millisecond))))
}

// pace lets some time pass between two steps of a process.
func pace(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cached is a process with a cache. Its writes alternate between Update and
// Invalidate.
func (h *history) cached(c *cache.Cache[int64]) *subject {
	var n atomic.Int64
	return &subject{
		get: func(ctx context.Context, key string) (int64, error) { return c.GetOrLoad(ctx, key, h.load) },
		put: func(ctx context.Context, key string, write func()) error {
			if n.Add(1)%2 == 0 {
				return c.Update(ctx, key, func(context.Context) error { write(); return nil })
			}
			write()
			return c.Invalidate(ctx, key)
		},
	}
}

// naive is a process that reads, loads and sets, and deletes after a write: the
// control, which must fail the check, else the run shows nothing.
func (h *history) naive(rdb redis.UniversalClient) *subject {
	return &subject{
		get: func(ctx context.Context, key string) (int64, error) {
			v, err := rdb.Get(ctx, "naive:"+key).Int64()
			if err == nil {
				return v, nil
			}
			if v, err = h.load(ctx, key); err == nil {
				rdb.Set(ctx, "naive:"+key, v, time.Minute)
			}
			return v, err
		},
		put: func(ctx context.Context, key string, write func()) error {
			write()
			return rdb.Del(ctx, "naive:"+key).Err()
		},
	}
}

// run lets three readers and a writer of each process work for d, or until ctx
// ends.
func (h *history) run(ctx context.Context, d time.Duration, processes ...*subject) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var workers sync.WaitGroup
	for _, p := range processes {
		for range 3 {
			workers.Go(func() { h.readUntil(ctx, p) })
		}
		workers.Go(func() { h.writeUntil(ctx, p) })
	}
	workers.Wait()
}

// control lets naive processes work, for a second and then again and again until
// one has seen a stale read: on a busy machine the race may take its time.
func (h *history) control(t *testing.T, processes ...*subject) {
	t.Helper()
	for began := time.Now(); h.stale.Load() == 0 && time.Since(began) < forever; {
		h.run(t.Context(), time.Second, processes...)
	}
	h.log(t, "naive control")
	assert.Positive(t, h.stale.Load(), "the control must see stale reads, else the test is blind")
}

// readUntil reads until ctx ends. The reads themselves have no deadline: how
// long they take is part of what is tested.
func (h *history) readUntil(ctx context.Context, p *subject) {
	for ctx.Err() == nil {
		i := rand.IntN(historyRows)
		floor := max(h.rows[i].floor.Load(), p.own[i].Load())
		began := time.Now()
		v, err := p.get(context.WithoutCancel(ctx), strconv.Itoa(i))
		raise(&h.slowest, int64(time.Since(began)))
		switch {
		case err != nil:
			h.fail(err)
		case v < floor:
			h.stale.Add(1)
		}
		h.gets.Add(1)
		_ = pace(ctx, 100*time.Microsecond)
	}
}

func (h *history) writeUntil(ctx context.Context, p *subject) {
	for ctx.Err() == nil {
		h.write(context.WithoutCancel(ctx), p, rand.IntN(historyRows))
		_ = pace(ctx, 4*time.Millisecond)
	}
}

// write makes one write, and raises the floors when its invalidation has returned.
func (h *history) write(ctx context.Context, p *subject, i int) {
	row := &h.rows[i]
	row.mu.Lock()
	defer row.mu.Unlock()
	v := row.version.Load() + 1
	err := p.put(ctx, strconv.Itoa(i), func() { row.version.Store(v) })
	switch {
	case err == nil:
		h.writes.Add(1)
		row.floor.Store(v)
	case errors.Is(err, cache.ErrPending):
		h.pending.Add(1)
		p.own[i].Store(v)
	default:
		h.fail(err)
	}
}

func (h *history) fail(err error) {
	h.failed.Add(1)
	h.failure.CompareAndSwap(nil, &err)
}

// firstFailure is nil if no call has failed.
func (h *history) firstFailure() error {
	if err := h.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// log prints the figures of a run.
func (h *history) log(t testing.TB, what string) {
	t.Helper()
	t.Logf("%s: %d gets, %d stale, %d failed, the slowest %v; %d writes invalidated, %d pending", what,
		h.gets.Load(), h.stale.Load(), h.failed.Load(), time.Duration(h.slowest.Load()).Round(time.Millisecond),
		h.writes.Load(), h.pending.Load())
}

// raise sets most to v if that is more.
func raise(most *atomic.Int64, v int64) {
	for old := most.Load(); v > old && !most.CompareAndSwap(old, v); old = most.Load() {
	}
}

// span is long, or short in a short test run.
func span[T any](long, short T) T {
	if testing.Short() {
		return short
	}
	return long
}
