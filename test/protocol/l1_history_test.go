package protocol_test

import (
	"context"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// nearRows are so many that each changes once in a few seconds: a message that were
// lost, or a fill that were late, would show.
const nearRows = 400

// nearHistory is a history in which reads may be old, up to a bound, but never older
// than what their own process has changed.
type nearHistory struct {
	bound time.Duration
	began time.Time
	rows  [nearRows]struct {
		mu      sync.Mutex // one writer at a time; protects following
		version atomic.Int64
		log     []written // oldest first
	}
	gets, old, own, writes atomic.Int64
	oldest                 atomic.Int64 // for how long a change that was not seen had been made
	failure                atomic.Pointer[error]
}

// written is a version, and when the call that invalidated it had returned.
type written struct {
	version int64
	at      time.Duration
}

// nearProcess is a process with an L1.
type nearProcess struct {
	get    func(ctx context.Context, key, tag string, load cache.Loader[int64]) (int64, error)
	change func(ctx context.Context, key, tag string, write func()) error
	own    [nearRows]atomic.Int64
}

func (h *nearHistory) load(ctx context.Context, key string) (int64, error) {
	i, err := strconv.Atoi(key)
	if err != nil {
		return 0, err
	}
	v := h.rows[i].version.Load()
	return v, testkit.Pace(ctx, rand.N(time.Millisecond))
}

// missed is for how long the oldest change that v does not show had been made.
func (h *nearHistory) missed(i int, v int64, at time.Duration) time.Duration {
	row := &h.rows[i]
	row.mu.Lock()
	defer row.mu.Unlock()
	next := sort.Search(len(row.log), func(n int) bool { return row.log[n].version > v })
	if next == len(row.log) || row.log[next].at >= at {
		return 0
	}
	return at - row.log[next].at
}

func nearTag(i int) string { return "tag" + strconv.Itoa(i%20) }

func (h *nearHistory) read(ctx context.Context, p *nearProcess, i int) {
	own, asked := p.own[i].Load(), time.Since(h.began)
	v, err := p.get(ctx, strconv.Itoa(i), nearTag(i), h.load)
	if err != nil {
		h.failure.CompareAndSwap(nil, &err)
		return
	}
	h.gets.Add(1)
	if v < own {
		h.own.Add(1)
	}
	missed := h.missed(i, v, asked)
	testkit.Raise(&h.oldest, int64(missed))
	if missed > h.bound {
		h.old.Add(1)
	}
}

func (h *nearHistory) write(ctx context.Context, p *nearProcess, i int) {
	row := &h.rows[i]
	row.mu.Lock()
	v := row.version.Load() + 1
	row.mu.Unlock()
	err := p.change(ctx, strconv.Itoa(i), nearTag(i), func() { row.version.Store(v) })
	if err != nil {
		h.failure.CompareAndSwap(nil, &err)
		return
	}
	h.writes.Add(1)
	p.own[i].Store(v)
	row.mu.Lock()
	defer row.mu.Unlock()
	row.log = append(row.log, written{v, time.Since(h.began)})
}

// run lets three readers and a writer of each process work for d, and then lets each
// process read every row once more. Rows are written by one process each, so
// that versions grow.
func (h *nearHistory) run(ctx context.Context, d time.Duration, processes ...*nearProcess) {
	var workers sync.WaitGroup
	for n, p := range processes {
		for range 3 {
			workers.Go(func() {
				for time.Since(h.began) < d {
					h.read(ctx, p, rand.IntN(nearRows))
					_ = testkit.Pace(ctx, 20*time.Microsecond)
				}
			})
		}
		workers.Go(func() {
			for time.Since(h.began) < d && testkit.Pace(ctx, rand.N(4*time.Millisecond)) == nil {
				h.write(ctx, p, rand.IntN(nearRows/len(processes))*len(processes)+n)
			}
		})
	}
	workers.Wait()
	for _, p := range processes {
		for i := range nearRows {
			h.read(ctx, p, i)
		}
	}
}

func (h *nearHistory) report(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d gets, %d older than %v, %d older than their own process's writes; the oldest %v; %d writes", what,
		h.gets.Load(), h.old.Load(), h.bound, h.own.Load(), time.Duration(h.oldest.Load()), h.writes.Load())
	if err := h.failure.Load(); err != nil {
		assert.NoError(t, *err)
	}
}

// nearCached is a process with a cache, whose changes take turns.
func nearCached(c *cache.Cache[int64]) *nearProcess {
	var n atomic.Int64
	return &nearProcess{
		get: func(ctx context.Context, key, tag string, load cache.Loader[int64]) (int64, error) {
			return c.GetOrLoad(ctx, key, load, cache.Tagged(tag))
		},
		change: func(ctx context.Context, key, tag string, write func()) error {
			switch n.Add(1) % 200 {
			case 0:
				write()
				return c.InvalidateAll(ctx)
			case 50, 100, 150:
				write()
				return c.InvalidateTags(ctx, tag)
			}
			if n.Load()%2 == 0 {
				return c.Update(ctx, key, func(context.Context) error { write(); return nil })
			}
			write()
			return c.Invalidate(ctx, key)
		},
	}
}

func TestL1History(t *testing.T) {
	t.Parallel()
	h := func(bound time.Duration) *nearHistory { return &nearHistory{bound: bound, began: time.Now()} }
	t.Run("standalone, messages alone", func(t *testing.T) {
		t.Parallel()
		server := redistest.Single(t)
		nearStress(t, h(l1Bound), time.Minute, testkit.Span(10*time.Second, time.Second), func() redis.UniversalClient { return server.Client(t) })
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		nodes := redistest.SharedCluster(t)
		nearStress(t, h(time.Second), time.Second, testkit.Span(10*time.Second, time.Second), func() redis.UniversalClient { return nodes.Client(t) })
	})
	t.Run("naive control", func(t *testing.T) {
		t.Parallel()
		server := redistest.Single(t)
		var processes []*nearProcess
		for range 2 {
			simple := newSimpleL1(t, server.Client(t), server.Client(t))
			processes = append(processes, &nearProcess{
				get: func(ctx context.Context, key, _ string, load cache.Loader[int64]) (int64, error) {
					return simple.get(ctx, key, load)
				},
				change: func(ctx context.Context, key, _ string, write func()) error {
					write()
					return simple.invalidate(ctx, key)
				},
			})
		}
		control := h(500 * time.Millisecond)
		for d := time.Second; control.old.Load() == 0 && d < testkit.Forever; d += time.Second {
			control.run(t.Context(), d, processes...)
		}
		control.report(t, "naive control")
		assert.Positive(t, control.old.Load()+control.own.Load(), "the control must see stale reads, else the test is blind")
	})
}

// l1Bound is how old a hit may be outside a cluster.
const l1Bound = 2 * time.Second

func nearStress(t *testing.T, h *nearHistory, ttl, d time.Duration, client func() redis.UniversalClient) {
	t.Helper()
	var processes []*nearProcess
	var caches []*cache.Cache[int64]
	for range 2 {
		c := testkit.NewCache[int64](t, client(), cache.WithL1(testkit.NewL1(t, client(), cache.L1Options{TTL: ttl})))
		testkit.InUse(t, c)
		caches, processes = append(caches, c), append(processes, nearCached(c))
	}
	h.began = time.Now()
	h.run(t.Context(), d, processes...)
	require.NoError(t, testkit.Pace(t.Context(), h.bound))
	for _, p := range processes { // what had not arrived by now never would
		for i := range nearRows {
			h.read(t.Context(), p, i)
		}
	}
	h.report(t, "with an L1")
	assert.Zero(t, h.old.Load())
	assert.Zero(t, h.own.Load())
	assert.Positive(t, h.writes.Load())
	for _, c := range caches {
		assert.Positive(t, c.Stats().HitsL1)
	}
}
