package protocol_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestFollowInvalidatesWhatTheLogNames(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for _, test := range []struct {
			name    string
			change  cache.Change
			fresh   []string // what must be loaded again
			theSame []string
		}{
			{"a key", cache.Change{Keys: []string{"a"}}, []string{"a"}, []string{"b", "c"}},
			{"two keys", cache.Change{Keys: []string{"a", "b"}}, []string{"a", "b"}, []string{"c"}},
			{"a tag", cache.Change{Tags: []string{"of c"}}, []string{"c"}, []string{"a", "b"}},
			{"a key and a tag", cache.Change{Keys: []string{"a"}, Tags: []string{"of c"}}, []string{"a", "c"}, []string{"b"}},
			{"everything", cache.Change{All: true}, []string{"a", "b", "c"}, nil},
		} {
			t.Run(test.name, func(t *testing.T) {
				c := testkit.NewCache[int](t, rdb)
				for _, key := range []string{"a", "b", "c"} {
					require.NoError(t, c.Set(t.Context(), key, 1, cache.Tagged("of "+key)))
				}
				log := newFakeLog()
				following(t, log, c)
				log.add(test.change)
				testkit.Eventually(t, func() bool { return len(log.undone()) == 0 }, "the change is done")

				for _, key := range test.fresh {
					v, err := c.GetOrLoad(t.Context(), key, testkit.Value(2))
					require.NoError(t, err)
					assert.Equal(t, 2, v, key)
				}
				for _, key := range test.theSame {
					v, err := c.GetOrLoad(t.Context(), key, testkit.MustNotLoad[int](t))
					require.NoError(t, err)
					assert.Equal(t, 1, v, key)
				}
			})
		}
	})
}

func TestFollowMergesTheChangesOfOneCall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		changes []cache.Change
		want    []string
	}{
		{"each key once", []cache.Change{{Keys: []string{"a", "b"}}, {Keys: []string{"b", "a", "c"}}}, []string{"keys [a b c]"}},
		{"each tag once", []cache.Change{{Tags: []string{"t"}}, {Tags: []string{"u", "t"}}}, []string{"tags [t u]"}},
		{"keys and tags", []cache.Change{{Keys: []string{"a"}}, {Tags: []string{"t"}}}, []string{"keys [a]", "tags [t]"}},
		{"everything covers the others", []cache.Change{{Keys: []string{"a"}}, {All: true}, {Tags: []string{"t"}}}, []string{"all"}},
		{"an empty tag is no entry's", []cache.Change{{Keys: []string{"a"}, Tags: []string{""}}}, []string{"keys [a]"}},
		{"an empty key may be one's", []cache.Change{{Keys: []string{""}}}, []string{"keys []"}},
		{"what names nothing is only done", []cache.Change{{}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range test.changes {
				test.changes[i].ID = strconv.Itoa(i)
			}
			log, one, two := newFakeLog(test.changes...), new(witness), new(witness)
			end := following(t, log, one, two)
			testkit.Eventually(t, func() bool { return len(log.undone()) == 0 }, "the changes are done")
			assert.ErrorIs(t, end(), context.Canceled)
			assert.Equal(t, test.want, one.accepted())
			assert.Equal(t, test.want, two.accepted())
			assert.Len(t, log.finished(), len(test.changes))
		})
	}
}

func TestAChangeIsDoneOnlyAfterEveryCacheHasAcceptedIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failure := times(8, errors.New("refused"))
		steady, late := new(witness), &witness{fails: func(string) error { return failure() }}
		log := newFakeLog(cache.Change{ID: "1", Keys: []string{"a"}}, cache.Change{ID: "2", Tags: []string{"t"}})
		log.finishing = func([]cache.Change) {
			assert.Equal(t, []string{"keys [a]", "tags [t]"}, steady.accepted())
			assert.ElementsMatch(t, []string{"keys [a]", "tags [t]"}, late.accepted())
		}
		end := following(t, log, late, steady)

		time.Sleep(10 * time.Millisecond)
		assert.Equal(t, []string{"keys [a]", "tags [t]"}, steady.accepted(), "it does not wait for the other")
		assert.Len(t, log.undone(), 2)
		time.Sleep(10 * time.Second)
		assert.Empty(t, log.undone())
		assert.Len(t, steady.tried(), 2, "what it has accepted is not repeated")
		assert.Len(t, late.tried(), 10)
		assert.Len(t, log.asked(), 2, "the log is not asked while changes wait")
		assert.ErrorIs(t, end(), context.Canceled)
	})
}

func TestFollowPausesAreABackOff(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for _, test := range []struct {
		name string
		log  func(*fakeLog)
		fail func(string) error
		at   func(*fakeLog, *witness) []time.Time
	}{
		{
			"a cache fails", func(*fakeLog) {}, func(string) error { return refused },
			func(_ *fakeLog, w *witness) []time.Time { return w.tried() },
		},
		{
			"an invalidation is queued", func(*fakeLog) {}, func(string) error { return cache.ErrPending },
			func(_ *fakeLog, w *witness) []time.Time { return w.tried() },
		},
		{
			"Next fails", func(l *fakeLog) { l.nextFails = func() error { return refused } }, nil,
			func(l *fakeLog, _ *witness) []time.Time { return l.asked() },
		},
		{
			"Done fails", func(l *fakeLog) { l.doneFails = func() error { return refused } }, nil,
			func(l *fakeLog, _ *witness) []time.Time { return l.asked() },
		},
		{
			"the log does not wait", func(l *fakeLog) { l.patience, l.left = false, nil }, nil,
			func(l *fakeLog, _ *witness) []time.Time { return l.asked() },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, w := newFakeLog(cache.Change{ID: "1", Keys: []string{"a"}}), &witness{fails: test.fail}
				test.log(log)
				end := following(t, log, w)
				time.Sleep(20 * time.Second)
				assert.ErrorIs(t, end(), context.Canceled)
				assertPauses(t, test.at(log, w), 12)
				assert.Empty(t, log.finished())
			})
		})
	}
}

func TestTheBackOffBeginsAnewAfterASuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		log.patience = false
		following(t, log, new(witness))
		time.Sleep(20 * time.Second)
		log.add(cache.Change{ID: "1", Keys: []string{"a"}})
		time.Sleep(10 * time.Second)
		require.Empty(t, log.undone())
		asked := log.asked()
		for i := len(asked) - 1; i > 0; i-- {
			if asked[i].Sub(asked[i-1]) == 0 { // the change was done in between
				assertPauses(t, asked[i:], 5)
				return
			}
		}
		assert.Fail(t, "Next was not called at once after a change")
	})
}

func TestWhatCouldNotBeMarkedAsDoneIsInvalidatedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, w := newFakeLog(cache.Change{ID: "1", Keys: []string{"a"}}), new(witness)
		log.doneFails = times(2, errors.New("lost connection"))
		following(t, log, w)
		time.Sleep(time.Second)
		assert.Equal(t, []string{"keys [a]", "keys [a]", "keys [a]"}, w.accepted())
		assert.Equal(t, []string{"1"}, log.finished())
	})
}

func TestAChangeWaitsForARedisThatIsDown(t *testing.T) {
	t.Parallel()
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		rdb := b.Redis(t)
		c := testkit.NewCache[int](t, rdb)
		require.NoError(t, c.Set(t.Context(), "a", 1))
		rdb.Fail("LOADING Redis is loading the dataset in memory")
		log := newFakeLog(cache.Change{ID: "1", Keys: []string{"a"}, Tags: []string{"t"}})
		following(t, log, c)
		time.Sleep(time.Minute)
		assert.Len(t, log.undone(), 1, "queued is not done")

		rdb.Heal()
		time.Sleep(2500 * time.Millisecond) // the longest pause, and that of the queue
		synctest.Wait()
		assert.Empty(t, log.undone())
		_, err := c.Get(t.Context(), "a")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
}

func TestAChangeLandsWhenARealRedisIsBack(t *testing.T) {
	t.Parallel()
	for _, way := range testkit.Downs {
		t.Run(way.Name, func(t *testing.T) {
			server := redistest.Single(t)
			c, err := cache.New(testkit.TunedClient(t, server), "test", cache.Aside[int]())
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, c.Shutdown(context.Background())) }) // its own queue may have more to do
			other := testkit.NewCache[int](t, server.Client(t))                       // a process that knows of nothing
			require.NoError(t, c.Set(t.Context(), "a", 1))
			way.Down(server)

			refused := make(chan struct{}, 1000)
			log := newFakeLog(cache.Change{ID: "1", Keys: []string{"a"}})
			following(t, log, observed{c, refused})
			for range 3 {
				testkit.Soon(t, refused, "an attempt")
			}
			assert.Len(t, log.undone(), 1)

			way.Back(server)
			testkit.Eventually(t, func() bool { return len(log.undone()) == 0 }, "the change is done")
			v, err := other.GetOrLoad(t.Context(), "a", testkit.Value(2))
			require.NoError(t, err)
			assert.Equal(t, 2, v)
		})
	}
}

// observed tells of the invalidations that failed.
type observed struct {
	cache.Invalidator
	failed chan<- struct{}
}

func (o observed) Invalidate(ctx context.Context, keys ...string) error {
	err := o.Invalidator.Invalidate(ctx, keys...)
	if errors.Is(err, cache.ErrPending) {
		o.failed <- struct{}{}
	}
	return err
}

func TestFollowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		log  *fakeLog
		to   *witness
	}{
		{"while it waits for changes", newFakeLog(), new(witness)},
		{"while a cache fails", newFakeLog(cache.Change{ID: "1", All: true}), &witness{fails: func(string) error { return cache.ErrPending }}},
		{"while the log fails", &fakeLog{nextFails: func() error { return errors.New("no log") }}, new(witness)},
	} {
		t.Run(test.name, func(t *testing.T) {
			left := test.log.undone()
			end := following(t, test.log, test.to)
			testkit.Eventually(t, func() bool { return len(test.log.asked()) > 0 }, "Next is called")
			err := end()
			assert.Equal(t, context.Canceled, err)
			assert.Equal(t, left, test.log.undone())
		})
	}
	t.Run("before it began", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		log := newFakeLog(cache.Change{ID: "1", All: true})
		assert.Equal(t, context.Canceled, cache.Follow(ctx, log, new(witness)))
		assert.Empty(t, log.asked())
	})
}

func TestFollowEndsWhenACacheOrTheLogIsClosed(t *testing.T) {
	t.Parallel()
	t.Run("a cache", func(t *testing.T) {
		c, err := cache.New(cachetest.Redis(t), "test", cache.Aside[int]())
		require.NoError(t, err)
		require.NoError(t, c.Close())
		log, w := newFakeLog(cache.Change{ID: "1", Keys: []string{"a"}}), new(witness)
		assert.ErrorIs(t, cache.Follow(t.Context(), log, c, w), cache.ErrClosed)
		assert.Len(t, log.undone(), 1)
		assert.Equal(t, []string{"keys [a]"}, w.accepted(), "the other had its turn")
	})
	t.Run("the log", func(t *testing.T) {
		log := newFakeLog()
		log.nextFails = func() error { return cache.ErrClosed }
		assert.ErrorIs(t, cache.Follow(t.Context(), log, new(witness)), cache.ErrClosed)
	})
}

func TestAPanicOfTheLogIsTheCallersAndNothingIsLost(t *testing.T) {
	t.Parallel()
	log, w := newFakeLog(cache.Change{ID: "1", Keys: []string{"a"}}), new(witness)
	for _, where := range []*func() error{&log.nextFails, &log.doneFails} {
		*where = func() error { panic("a bug") }
		assert.PanicsWithValue(t, "a bug", func() { _ = cache.Follow(t.Context(), log, w) })
		*where = nil
		assert.Len(t, log.undone(), 1)
	}
	following(t, log, w)
	testkit.Eventually(t, func() bool { return len(log.undone()) == 0 }, "the next Follow does it")
}

func TestSeveralConsumersOfOneLog(t *testing.T) {
	t.Parallel()
	const consumers, changes = 4, 200
	log, w := newFakeLog(), new(witness)
	var mu sync.Mutex
	seen := map[string]bool{}
	w.fails = func(call string) error {
		mu.Lock()
		defer mu.Unlock()
		seen[call] = true
		return nil
	}
	log.finishing = func(done []cache.Change) {
		mu.Lock()
		defer mu.Unlock()
		assert.True(t, seen["keys ["+done[0].Keys[0]+"]"], "done before it was invalidated")
	}
	one := &oneByOne{fakeLog: log}
	for i := range changes {
		log.add(cache.Change{ID: strconv.Itoa(i), Keys: []string{strconv.Itoa(i)}})
	}
	for range consumers {
		following(t, one, w)
	}
	testkit.Eventually(t, func() bool { return len(log.undone()) == 0 }, "all changes are done")
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, seen, changes)
}

// oneByOne gives one change at a time.
type oneByOne struct{ *fakeLog }

func (l *oneByOne) Next(ctx context.Context) ([]cache.Change, error) {
	changes, err := l.fakeLog.Next(ctx)
	return changes[:min(1, len(changes))], err
}

func TestFollowRefusesWhatItCannotWorkWith(t *testing.T) {
	t.Parallel()
	var none *cache.Cache[int]
	var noLog *fakeLog
	for _, test := range []struct {
		name string
		log  cache.InvalidationLog
		to   []cache.Invalidator
		want string
	}{
		{"no log", nil, []cache.Invalidator{new(witness)}, "the log is nil"},
		{"a nil log", noLog, []cache.Invalidator{new(witness)}, "the log is nil"},
		{"no cache, which would mark all changes as done", newFakeLog(), nil, "no cache"},
		{"a nil cache", newFakeLog(), []cache.Invalidator{new(witness), none}, "a cache is nil"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := cache.Follow(t.Context(), test.log, test.to...)
			var opErr *cache.OpError
			require.ErrorAs(t, err, &opErr)
			assert.Equal(t, "follow", opErr.Op)
			assert.ErrorContains(t, err, test.want)
		})
	}
}
