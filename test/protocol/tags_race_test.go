package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// An invalidation against every point at which a load or a write can be: process A
// is stopped there, process B changes what the value depends on, invalidates, and
// returns; then callers start in both processes, and A goes on.

// pausePoint is where A is stopped: at one of what it sends, or of what it calls.
type pausePoint struct {
	exchange int // number of the sending, from 0; -1: the loader or the writer
	behind   bool
}

func (p pausePoint) String() string {
	side := map[bool]string{false: "before", true: "behind"}[p.behind]
	if p.exchange < 0 {
		return side + " the read of the row"
	}
	return side + " exchange " + strconv.Itoa(p.exchange)
}

// racer is one process A, on a key of its own.
type racer struct {
	key   string
	point pausePoint
	row   atomic.Int64 // what the value depends on
	cache *cache.Cache[testkit.Revision]
	fails bool // the loader does

	sent     atomic.Int64
	armed    atomic.Bool
	reached  chan struct{}
	released chan struct{}
	release  func()

	first, joiner, other <-chan testkit.Result[testkit.Revision]
}

// raced is what A does.
type raced struct {
	name    string
	absent  bool                // the row is not there before the change
	fails   bool                // the loader does
	left    time.Duration       // until the entry's soft expiry; 0: there is no entry
	tags    []cache.EntryOption // of the calls
	options []cache.Option
}

const raceWindow = time.Hour // Fresh, and the stale windows

// raceKinds are the loads.
func raceKinds() []raced {
	all := func(more ...cache.Option) []cache.Option {
		class := testkit.Class(func(ttl *cache.TTL) {
			ttl.Fresh, ttl.StaleWhileRevalidate, ttl.Absent = raceWindow, raceWindow, raceWindow
		})
		return append([]cache.Option{class}, more...)
	}
	sie := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.StaleIfError = raceWindow, raceWindow })
	named := []cache.EntryOption{cache.Tagged("shared", "own")}
	return []raced{
		{name: "cold", tags: named, options: all()},
		{name: "cold, the row is absent", absent: true, tags: named, options: all()},
		{name: "refreshed early", left: raceWindow / 4, tags: named, options: all(cache.WithXFetch(1e15))},
		{name: "refreshed early, only the entry names the tags", left: raceWindow / 4, options: all(cache.WithXFetch(1e15))},
		{name: "stale while it is refreshed", left: -raceWindow / 2, tags: named, options: all()},
		{
			name: "stale, and the loader fails", left: -raceWindow / 2, fails: true, tags: named,
			options: []cache.Option{sie, cache.WithLock(cache.Lock{Wait: time.Millisecond})},
		},
	}
}

func (r *racer) pause(at pausePoint) {
	if at == r.point && r.armed.CompareAndSwap(true, false) {
		close(r.reached)
		<-r.released
	}
}

// load reads the row, and stops before or behind that.
func (r *racer) load(context.Context, string) (testkit.Revision, error) {
	r.pause(pausePoint{exchange: -1})
	v := r.row.Load()
	r.pause(pausePoint{exchange: -1, behind: true})
	switch {
	case r.fails:
		return testkit.Revision{}, testkit.ErrFlaky
	case v == 0:
		return testkit.Revision{}, cache.ErrNotFound
	}
	return testkit.Revision{V: v, Version: 7}, nil
}

// tapped makes A's client stop at the point.
func (r *racer) tapped(rdb redis.UniversalClient) {
	var current atomic.Int64
	testkit.NewTap(rdb).Set(func([]redis.Cmder) error {
		if r.armed.Load() {
			current.Store(r.sent.Add(1) - 1)
			r.pause(pausePoint{exchange: int(current.Load())})
		}
		return nil
	}, func([]redis.Cmder) {
		if r.armed.Load() {
			r.pause(pausePoint{exchange: int(current.Load()), behind: true})
		}
	})
}

// race is a run of all racers at once: one invalidation serves them all.
type race struct {
	rdb    redis.UniversalClient
	b      *cache.Cache[testkit.Revision]
	way    string // of invalidating
	kind   raced
	racers []*racer
}

// newRacer is a process A that is about to begin.
func (x *race) newRacer(t *testing.T, point pausePoint) *racer {
	r := &racer{
		key: fmt.Sprintf("%s, %s, %v %d", x.way, x.kind.name, point, point.exchange), point: point,
		reached: make(chan struct{}), released: make(chan struct{}),
	}
	r.row.Store(1)
	r.fails = x.kind.fails
	if x.kind.absent {
		r.row.Store(0)
	}
	if x.kind.left != 0 {
		_, err := x.b.GetOrLoad(t.Context(), r.key, testkit.Value(testkit.Revision{V: 1, Version: 7}), cache.Tagged("shared", "own"))
		require.NoError(t, err)
		grow(t, x.rdb, "test:"+r.key, x.kind.left)
	}
	client := anotherClient(t, x.rdb)
	r.cache = testkit.NewCache[testkit.Revision](t, client, x.kind.options...)
	_, err := r.cache.Get(t.Context(), "warm")
	require.ErrorIs(t, err, cache.ErrMiss)
	r.tapped(client)
	r.release = sync.OnceFunc(func() { close(r.released) })
	t.Cleanup(r.release) // before the cache is closed, should the test fail
	return r
}

// stop starts a racer for each point, and waits until all are stopped there.
func (x *race) stop(t *testing.T) {
	for _, point := range x.points(t) {
		r := x.newRacer(t, point)
		r.armed.Store(true)
		r.first = testkit.Start(func() (testkit.Revision, error) { return r.cache.GetOrLoad(t.Context(), r.key, r.load, x.kind.tags...) })
		testkit.Soon(t, r.reached, r.key)
		x.racers = append(x.racers, r)
	}
}

// change is that of all that the values depend on.
func (x *race) change() {
	for _, r := range x.racers {
		r.row.Add(1)
	}
}

// goOn starts callers, lets the racers go on, and counts who is served the old value.
func (x *race) goOn(t *testing.T) (stale int) {
	for _, r := range x.racers {
		x.join(t, r)
		r.release()
	}
	for _, r := range x.racers {
		stale += x.check(t, r)
	}
	return stale
}

// points are all of a call. It is made undisturbed to count its exchanges: twice,
// for the first time loads the scripts.
func (x *race) points(t *testing.T) []pausePoint {
	x.exchanges(t, -3)
	points := []pausePoint{{-1, false}, {-1, true}}
	for i := range x.exchanges(t, -2) {
		points = append(points, pausePoint{i, false}, pausePoint{i, true})
	}
	require.GreaterOrEqual(t, len(points), 8, "read, acquire, loader, commit or release")
	return points
}

// exchanges is how many a call makes.
func (x *race) exchanges(t *testing.T, nowhere int) int {
	r := x.newRacer(t, pausePoint{exchange: nowhere})
	r.armed.Store(true)
	_, _ = r.cache.GetOrLoad(t.Context(), r.key, r.load, x.kind.tags...)
	testkit.Eventually(t, func() bool { return r.cache.Stats().Loading == 0 }, "the flight to end")
	return int(r.sent.Load())
}

// join starts a caller in each process, and waits until that of A is in a flight
// or has its answer.
func (x *race) join(t *testing.T, r *racer) {
	ctx := t.Context()
	busy := func() int64 { return r.cache.Stats().Waiting }
	before := busy()
	r.joiner = testkit.Start(func() (testkit.Revision, error) { return r.cache.GetOrLoad(ctx, r.key, r.load, x.kind.tags...) })
	testkit.Eventually(t, func() bool { return len(r.joiner) == 1 || busy() > before }, "a joiner of "+r.key)
	r.other = testkit.Start(func() (testkit.Revision, error) { return x.b.GetOrLoad(ctx, r.key, r.load, x.kind.tags...) })
}

// check counts those who began after the invalidation and were served the old value.
func (x *race) check(t *testing.T, r *racer) (stale int) {
	ctx := t.Context()
	want := r.row.Load()
	judge := func(who string, v testkit.Revision, err error) {
		old := err == nil && v.V < want || x.kind.absent && errors.Is(err, cache.ErrNotFound)
		if old {
			stale++
			t.Errorf("%s: %s was served %v %v", r.key, who, v, err)
		}
		if !x.kind.fails && !errors.Is(err, cache.ErrMiss) && !old {
			assert.NoError(t, err, "%s: %s", r.key, who)
		}
	}
	testkit.Soon(t, r.first, "the caller that began before")
	for who, c := range map[string]<-chan testkit.Result[testkit.Revision]{"the joiner": r.joiner, "a caller of B": r.other} {
		got := testkit.Soon(t, c, who)
		judge(who, got.V, got.Err)
	}
	for who, c := range map[string]*cache.Cache[testkit.Revision]{"A": r.cache, "B": x.b} {
		v, err := c.Get(ctx, r.key)
		judge("later, Get of "+who, v, err)
		v, err = c.GetOrLoad(ctx, r.key, r.load, x.kind.tags...)
		judge("later, "+who, v, err)
	}
	return stale
}

// Scenario 14, and variants 31, 34 and 35 of the model. One invalidation, by a third
// process, serves all kinds of loads at once.
func TestInvalidationAtEveryPointOfALoad(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ways := map[string]func(context.Context, *cache.Cache[testkit.Revision]) error{
			"InvalidateTags": func(ctx context.Context, c *cache.Cache[testkit.Revision]) error {
				return c.InvalidateTags(ctx, "shared")
			},
			"InvalidateAll": func(ctx context.Context, c *cache.Cache[testkit.Revision]) error { return c.InvalidateAll(ctx) },
		}
		for way, invalidate := range ways {
			t.Run(way, func(t *testing.T) {
				var races []*race
				for _, kind := range raceKinds() {
					b := testkit.NewCache[testkit.Revision](t, anotherClient(t, rdb), kind.options...)
					x := &race{rdb: rdb, b: b, way: way, kind: kind}
					x.stop(t)
					races = append(races, x)
				}
				for _, x := range races {
					x.change()
				}
				require.NoError(t, invalidate(t.Context(), testkit.NewCache[testkit.Revision](t, anotherClient(t, rdb))))
				for _, x := range races {
					stale := x.goOn(t)
					t.Logf("%s: %d points, served the old value afterwards: %d", x.kind.name, len(x.racers), stale)
					assert.Zero(t, stale)
				}
			})
		}
	})
}
