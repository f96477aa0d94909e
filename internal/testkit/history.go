package testkit

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
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

const HistoryRows = 4

// History is a few rows whose versions only grow, and a check of every read
// against them: who starts after a write has been invalidated, and its writer
// told so, must not get an older version. For one register with growing versions
// this check is complete. Beside that floor, which binds everybody, each process
// has its own, of writes whose invalidation is pending: those bind its own reads.
type History struct {
	rows [HistoryRows]struct {
		mu             sync.Mutex // one writer at a time, so the floor only grows
		version, floor atomic.Int64
	}
	gets, Stale, failed atomic.Int64
	Writes, Pending     atomic.Int64
	Slowest             atomic.Int64 // get, in nanoseconds

	failure atomic.Pointer[error] // the first one
}

// NewBudgeted is newCache with the budgets of a program: what is about a Redis
// that does not answer.
func NewBudgeted[T any](t testing.TB, rdb redis.UniversalClient, opts ...cache.Option) *cache.Cache[T] {
	t.Helper()
	c, err := cache.New(rdb, "test", cache.Aside[T](), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// Subject is a process as the history sees it.
type Subject struct {
	Ask func(ctx context.Context, key string) (int64, error)
	Put func(ctx context.Context, key string, write func()) error // writes the row, invalidates the entry
	own [HistoryRows]atomic.Int64
}

// load reads a row, and takes up to 2 ms more.
func (h *History) load(ctx context.Context, key string) (int64, error) {
	i, err := strconv.Atoi(key)
	if err != nil {
		return 0, err
	}
	v := h.rows[i].version.Load()
	return v, Pace(ctx, time.Duration(rand.Int64N(int64(2*time.Millisecond))))
}

// Pace lets some time pass between two steps of a process.
func Pace(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cached is a process with a cache. Its writes alternate between Update and
// Invalidate.
func (h *History) Cached(c *cache.Cache[int64]) *Subject {
	var n atomic.Int64
	return &Subject{
		Ask: func(ctx context.Context, key string) (int64, error) { return c.GetOrLoad(ctx, key, h.load) },
		Put: func(ctx context.Context, key string, write func()) error {
			if n.Add(1)%2 == 0 {
				return c.Update(ctx, key, func(context.Context) error { write(); return nil })
			}
			write()
			return c.Invalidate(ctx, key)
		},
	}
}

// Naive is a process that reads, loads and sets, and deletes after a write: the
// control, which must fail the check, else the run shows nothing.
func (h *History) Naive(rdb redis.UniversalClient) *Subject {
	return &Subject{
		Ask: func(ctx context.Context, key string) (int64, error) {
			v, err := rdb.Get(ctx, "naive:"+key).Int64()
			if err == nil {
				return v, nil
			}
			if v, err = h.load(ctx, key); err == nil {
				rdb.Set(ctx, "naive:"+key, v, time.Minute)
			}
			return v, err
		},
		Put: func(ctx context.Context, key string, write func()) error {
			write()
			return rdb.Del(ctx, "naive:"+key).Err()
		},
	}
}

// Run lets three readers and a writer of each process work for d, or until ctx
// ends.
func (h *History) Run(ctx context.Context, d time.Duration, processes ...*Subject) {
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

// Control lets naive processes work, for a second and then again and again until
// one has seen a stale read: on a busy machine the race may take its time.
func (h *History) Control(t *testing.T, processes ...*Subject) {
	t.Helper()
	for began := time.Now(); h.Stale.Load() == 0 && time.Since(began) < Forever; {
		h.Run(t.Context(), time.Second, processes...)
	}
	h.Log(t, "naive control")
	assert.Positive(t, h.Stale.Load(), "the control must see stale reads, else the test is blind")
}

// readUntil reads until ctx ends. The reads themselves have no deadline: how
// long they take is part of what is tested.
func (h *History) readUntil(ctx context.Context, p *Subject) {
	for ctx.Err() == nil {
		i := rand.IntN(HistoryRows)
		floor := max(h.rows[i].floor.Load(), p.own[i].Load())
		began := time.Now()
		v, err := p.Ask(context.WithoutCancel(ctx), strconv.Itoa(i))
		Raise(&h.Slowest, int64(time.Since(began)))
		switch {
		case err != nil:
			h.fail(err)
		case v < floor:
			h.Stale.Add(1)
		}
		h.gets.Add(1)
		_ = Pace(ctx, 100*time.Microsecond)
	}
}

func (h *History) writeUntil(ctx context.Context, p *Subject) {
	for ctx.Err() == nil {
		h.write(context.WithoutCancel(ctx), p, rand.IntN(HistoryRows))
		_ = Pace(ctx, 4*time.Millisecond)
	}
}

// write makes one write, and raises the floors when its invalidation has returned.
func (h *History) write(ctx context.Context, p *Subject, i int) {
	row := &h.rows[i]
	row.mu.Lock()
	defer row.mu.Unlock()
	v := row.version.Load() + 1
	err := p.Put(ctx, strconv.Itoa(i), func() { row.version.Store(v) })
	switch {
	case err == nil:
		h.Writes.Add(1)
		row.floor.Store(v)
	case errors.Is(err, cache.ErrPending):
		h.Pending.Add(1)
		p.own[i].Store(v)
	default:
		h.fail(err)
	}
}

func (h *History) fail(err error) {
	h.failed.Add(1)
	h.failure.CompareAndSwap(nil, &err)
}

// FirstFailure is nil if no call has failed.
func (h *History) FirstFailure() error {
	if err := h.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Log prints the figures of a run.
func (h *History) Log(t testing.TB, what string) {
	t.Helper()
	t.Logf("%s: %d gets, %d stale, %d failed, the slowest %v; %d writes invalidated, %d pending", what,
		h.gets.Load(), h.Stale.Load(), h.failed.Load(), time.Duration(h.Slowest.Load()).Round(time.Millisecond),
		h.Writes.Load(), h.Pending.Load())
}

// Raise sets most to v if that is more.
func Raise(most *atomic.Int64, v int64) {
	for old := most.Load(); v > old && !most.CompareAndSwap(old, v); old = most.Load() {
	}
}

// Span is short, and long where CACHE_LONG is set, as make stress does.
func Span[T any](long, short T) T {
	if os.Getenv("CACHE_LONG") != "" {
		return long
	}
	return short
}
