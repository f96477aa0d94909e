package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// rowWriter is the writer of a racer: what it returns depends on the row that the
// other process changes.
type rowWriter struct{ r *racer }

func (w rowWriter) WriteReturning(context.Context, string, testkit.Revision) (testkit.Revision, error) {
	w.r.pause(pausePoint{exchange: -1})
	v := w.r.row.Load()
	w.r.pause(pausePoint{exchange: -1, behind: true})
	return testkit.Revision{V: v, Version: 8}, nil
}

func (w rowWriter) Write(context.Context, string, testkit.Revision) error {
	return errors.ErrUnsupported
}

func (w rowWriter) Delete(context.Context, string) error {
	w.r.pause(pausePoint{exchange: -1})
	w.r.row.Store(0)
	w.r.pause(pausePoint{exchange: -1, behind: true})
	return nil
}

// racedWrite is what A does in place of a load. A Set of Aside says nothing about
// what its caller has read before: it is raced from when its tokens are captured.
type racedWrite struct {
	name     string
	strategy func(r *racer) cache.Strategy[testkit.Revision]
	write    func(ctx context.Context, r *racer, read testkit.Revision) error
	from     pausePoint // the first point
}

func racedWrites() []racedWrite {
	guarded := func(r *racer) cache.Strategy[testkit.Revision] {
		return cache.WriteThrough[testkit.Revision](rowWriter{r})
	}
	aside := func(*racer) cache.Strategy[testkit.Revision] { return cache.Aside[testkit.Revision]() }
	set := func(ctx context.Context, r *racer, read testkit.Revision) error { return r.cache.Set(ctx, r.key, read) }
	return []racedWrite{
		{name: "Set of WriteThrough", strategy: guarded, write: set},
		{name: "SetMany of WriteThrough", strategy: guarded, write: func(ctx context.Context, r *racer, read testkit.Revision) error {
			return r.cache.SetMany(ctx, map[string]testkit.Revision{r.key: read})
		}},
		{name: "Delete of WriteThrough", strategy: guarded, write: func(ctx context.Context, r *racer, _ testkit.Revision) error {
			return r.cache.Delete(ctx, r.key)
		}},
		{name: "Set", strategy: aside, write: set, from: pausePoint{0, true}},
		{name: "SetMany", strategy: aside, write: func(ctx context.Context, r *racer, read testkit.Revision) error {
			return r.cache.SetMany(ctx, map[string]testkit.Revision{r.key: read})
		}, from: pausePoint{0, true}},
	}
}

// newWriter is a process A that is about to write over an entry.
func newWriter(t *testing.T, rdb redis.UniversalClient, way string, w racedWrite, at pausePoint) *racer {
	r := &racer{
		key: fmt.Sprintf("%s, %s, %v %d", way, w.name, at, at.exchange), point: at,
		reached: make(chan struct{}), released: make(chan struct{}),
	}
	r.row.Store(1)
	client := anotherClient(t, rdb)
	var err error
	r.cache, err = cache.New(client, "test", w.strategy(r), testkit.Patient(), cache.Tagged("shared"),
		testkit.Class(func(ttl *cache.TTL) { ttl.Absent = time.Minute }))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.cache.Close()) })
	_, err = r.cache.GetOrLoad(t.Context(), r.key, testkit.Value(testkit.Revision{V: 1, Version: 7}))
	require.NoError(t, err)
	r.release = sync.OnceFunc(func() { close(r.released) })
	t.Cleanup(r.release)
	r.tapped(client)
	return r
}

// writePoints are those of a write that is made undisturbed, twice: the first time
// loads the scripts.
func writePoints(t *testing.T, rdb redis.UniversalClient, way string, w racedWrite) (points []pausePoint) {
	var sent int
	for nowhere := range 2 {
		r := newWriter(t, rdb, way, w, pausePoint{exchange: -3 + nowhere})
		r.armed.Store(true)
		require.NoError(t, w.write(t.Context(), r, testkit.Revision{V: 1, Version: 8}))
		sent = int(r.sent.Load())
	}
	if w.from == (pausePoint{}) {
		points = []pausePoint{{-1, false}, {-1, true}, {0, false}}
	}
	points = append(points, pausePoint{0, true})
	for i := 1; i < sent; i++ {
		points = append(points, pausePoint{i, false}, pausePoint{i, true})
	}
	require.GreaterOrEqual(t, len(points), 3, "captured, stored")
	return points
}

// Variants 54 and 55 of the model: the tokens of what a write stores are captured
// before it is made.
func TestInvalidationAtEveryPointOfAWrite(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for way, invalidate := range map[string]func(context.Context, *cache.Cache[testkit.Revision]) error{
			"InvalidateTags": func(ctx context.Context, c *cache.Cache[testkit.Revision]) error {
				return c.InvalidateTags(ctx, "shared")
			},
			"InvalidateAll": func(ctx context.Context, c *cache.Cache[testkit.Revision]) error { return c.InvalidateAll(ctx) },
		} {
			t.Run(way, func(t *testing.T) {
				ctx := t.Context()
				b := testkit.NewCache[testkit.Revision](t, anotherClient(t, rdb), cache.Tagged("shared"))
				var racers []*racer
				var writes []<-chan testkit.Result[int]
				for _, w := range racedWrites() {
					for _, point := range writePoints(t, rdb, way, w) {
						r := newWriter(t, rdb, way, w, point)
						r.armed.Store(true)
						read := testkit.Revision{V: r.row.Load(), Version: 8}
						writes = append(writes, testkit.Start(func() (int, error) { return 0, w.write(ctx, r, read) }))
						testkit.Soon(t, r.reached, r.key)
						racers = append(racers, r)
					}
				}
				for _, r := range racers {
					r.row.Store(2)
				}
				require.NoError(t, invalidate(ctx, b))
				for i, r := range racers {
					r.release()
					require.NoError(t, testkit.Soon(t, writes[i], r.key).Err)
				}
				stale := 0
				judge := func(r *racer, v testkit.Revision, err error) {
					gone := r.row.Load() == 0 && errors.Is(err, cache.ErrNotFound) // deleted after the change
					if !gone && !errors.Is(err, cache.ErrMiss) && (err != nil || v.V < 2) {
						stale++
						t.Errorf("%s: served %v %v", r.key, v, err)
					}
				}
				for _, r := range racers {
					for _, c := range []*cache.Cache[testkit.Revision]{r.cache, b} {
						v, err := c.Get(ctx, r.key)
						judge(r, v, err)
						v, err = c.GetOrLoad(ctx, r.key, r.load)
						judge(r, v, err)
					}
				}
				t.Logf("%d points of %d kinds of writes, served the old value afterwards: %d", len(racers), len(racedWrites()), stale)
				assert.Zero(t, stale)
			})
		}
	})
}

// Writes that are not flushed are the newest there is: neither touches them. Once
// they are flushed they are entries like others, and as old as their tokens.
func TestWritesThatAreNotFlushedOutliveInvalidations(t *testing.T) {
	t.Parallel()
	for way, invalidate := range map[string]func(context.Context, *cache.Cache[string]) error{
		"InvalidateTags": func(ctx context.Context, c *cache.Cache[string]) error { return c.InvalidateTags(ctx, "x") },
		"InvalidateAll":  func(ctx context.Context, c *cache.Cache[string]) error { return c.InvalidateAll(ctx) },
	} {
		t.Run(way, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx := t.Context()
				l, entered, release := testkit.Stuck()
				c := testkit.NewBehind(t, rdb, l, cache.WriteBehindOptions{}, cache.Tagged("x"))
				for _, key := range []string{"put", "later"} {
					require.NoError(t, c.Set(ctx, key, "old"))
				}
				require.NoError(t, c.Delete(ctx, "deleted"))
				testkit.Soon(t, entered, "the sink")
				require.NoError(t, invalidate(ctx, c))
				testkit.Has(t, c, "put", "old", "it is dirty")
				_, err := c.Get(ctx, "deleted")
				require.Equal(t, cache.ErrNotFound, err, "so is the tombstone")
				require.NoError(t, c.Set(ctx, "later", "new"))
				close(release)
				require.NoError(t, c.Flush(ctx))
				for _, key := range []string{"put", "deleted"} {
					_, err := c.Get(ctx, key)
					assert.ErrorIs(t, err, cache.ErrMiss, "%s: its tokens are from before the invalidation", key)
				}
				testkit.Has(t, c, "later", "new", "its tokens are from after it")
				assert.Equal(t, map[string]string{"put": "old", "later": "new"}, l.Values(), "nothing was lost")
				got, err := c.GetOrLoad(ctx, "put", l.Load)
				require.NoError(t, err)
				assert.Equal(t, "old", got, "what the sink has")
			})
		})
	}
}

// A put that Redis took while the tags' invalidation is queued here is newer.
func TestPutsAreReadWhileTheirTagIsQueued(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		c := testkit.NewBehind(t, rdb, nil, cache.WriteBehindOptions{}, cache.Tagged("x"))
		require.NoError(t, c.Set(ctx, "k", "dirty"))
		p := testkit.NewTap(rdb)
		p.Set(func(cmds []redis.Cmder) error {
			if len(cmds) == 1 && cmds[0].Name() == "evalsha" {
				return redis.ErrPoolTimeout
			}
			return nil
		}, nil)
		testkit.Queued(t, c.InvalidateTags(ctx, "x"), "invalidate tags")
		testkit.Queued(t, c.InvalidateAll(ctx), "invalidate all")
		testkit.Has(t, c, "k", "dirty")
		p.Set(nil, nil)
		testkit.Drained(t, c)
		testkit.Has(t, c, "k", "dirty")
	})
}
