package protocol_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
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

// panics is a codec that panics with a value that is 13.
type panics struct{}

func (panics) Append(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (panics) Decode(data []byte, v any) error {
	if string(data) == "13" {
		panic("13")
	}
	return json.Unmarshal(data, v)
}

var staleWhile = testkit.Class(func(ttl *cache.TTL) {
	ttl.Fresh, ttl.StaleWhileRevalidate, ttl.StaleIfError, ttl.Jitter = time.Second, time.Hour, time.Hour, -1
})

// A codec panics while a call looks several keys up, one of which it has found to be due
// for a refresh. The panic is the caller's; the refresh is made all the same, and Close
// has nothing to wait for.
func TestACodecPanicsBesideARefresh(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := testkit.NewCache[int](t, rdb, staleWhile, cache.WithCodec(panics{}))
		require.NoError(t, c.SetMany(t.Context(), map[string]int{"1": 1, "13": 13}))
		time.Sleep(2 * time.Second)
		w := testkit.NewWarehouse()
		assert.PanicsWithValue(t, "13", func() { _, _ = c.GetOrLoadMany(t.Context(), []string{"1", "13"}, w.Load) })
		synctest.Wait()
		assert.Equal(t, map[string]int{"1": 1}, w.Times())
		closed := make(chan struct{})
		go func() { _ = c.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(time.Minute):
			t.Error("Close waits for a flight that nobody runs")
		}
	})
}

// A call of several keys waits for the back-off of one while others are loaded, whatever
// their order: it is over when those are there.
func TestABackoffIsWaitedOutWhileOtherKeysAreLoaded(t *testing.T) {
	t.Parallel()
	for _, backsOff := range []string{"0", "1"} {
		testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
			c := testkit.NewCache[int](t, rdb)
			_, err := c.GetOrLoad(t.Context(), backsOff, func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				return 0, errors.New("no database")
			})
			require.Error(t, err)
			began := time.Now()
			got, err := c.GetOrLoadMany(t.Context(), testkit.Numbers(2), func(_ context.Context, keys []string) (map[string]int, error) {
				if keys[0] != backsOff {
					time.Sleep(900 * time.Millisecond)
				}
				return testkit.Numbered(keys...), nil
			})
			require.NoError(t, err)
			assert.Equal(t, testkit.Numbered("0", "1"), got)
			assert.Less(t, time.Since(began), 1100*time.Millisecond)
		})
	}
}

// WithNotFound's function panics: that is the load's error, whoever loads.
func TestThePanicOfWithNotFoundIsTheLoadsError(t *testing.T) {
	t.Parallel()
	var running atomic.Int64
	c := testkit.NewCache[int](t, cachetest.Redis(t), cache.WithNotFound(func(error) bool {
		assert.EqualValues(t, 1, running.Add(1), "it is called for one error at a time")
		defer running.Add(-1)
		time.Sleep(time.Millisecond)
		panic("what is that?")
	}))
	var panicked *cache.PanicError
	load := testkit.Failing[int](errors.New("no database"))
	_, err := c.GetOrLoad(t.Context(), "1", load)
	require.ErrorAs(t, err, &panicked)
	_, err = c.ReadThrough(load).GetMany(t.Context(), []string{"2", "3", "4", "5"})
	require.ErrorAs(t, err, &panicked)
	assert.Equal(t, "what is that?", panicked.Value)
}

// pipelines counts what is sent, and holds the commits back, then the reads.
type pipelines struct {
	sent    atomic.Int64
	held    chan struct{} // has one for each commit that is held
	commits chan struct{} // closed: commits go on
	reads   chan struct{} // closed: what comes after the commits goes on
}

// hold holds what has the body of a commit, and everything once commits go on.
func (p *pipelines) hold(cmds []redis.Cmder) error {
	p.sent.Add(1)
	for _, cmd := range cmds {
		for _, arg := range cmd.Args() {
			if body, ok := arg.([]byte); ok && len(body) > 0 {
				p.held <- struct{}{}
				<-p.commits
				return nil
			}
		}
	}
	select {
	case <-p.commits:
		<-p.reads
	default:
	}
	return nil
}

// asked is a context that counts how often it is asked whether it is over: by a look-up
// twice before its read is on the way.
type asked struct {
	context.Context
	times atomic.Int64
}

func (a *asked) Err() error {
	a.times.Add(1)
	return a.Context.Err()
}

// Callers who find a commit on its way wait for it, and then look again: their reads share
// batches, as their first ones did.
func TestCallersWhoLookAgainShareTheirReads(t *testing.T) {
	t.Parallel()
	rdb := redistest.Single(t).Client(t)
	p := &pipelines{held: make(chan struct{}, 1), commits: make(chan struct{}), reads: make(chan struct{})}
	c := testkit.NewCache[int](t, rdb)
	require.NoError(t, c.Set(t.Context(), "other", 1)) // what is asked at first only
	testkit.NewTap(rdb).Set(p.hold, nil)
	first := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", testkit.Value(1)) })
	testkit.Soon(t, p.held, "the commit")
	callers := make([]asked, 500)
	calls := make([]<-chan testkit.Result[int], len(callers))
	for i := range callers {
		callers[i].Context = t.Context()
		calls[i] = testkit.Start(func() (int, error) { return c.GetOrLoad(&callers[i], "k", testkit.MustNotLoad[int](t)) })
	}
	testkit.Eventually(t, testkit.Waiting(c, len(callers)+1), "all callers to wait for the commit")
	before, waited := p.sent.Load(), make([]int64, len(callers))
	for i := range callers {
		waited[i] = callers[i].times.Load()
	}
	close(p.commits)
	testkit.Soon(t, first, "the one who loads")
	testkit.Eventually(t, func() bool {
		for i := range callers {
			if callers[i].times.Load() < waited[i]+2 {
				return false
			}
		}
		return true
	}, "all callers to read again")
	close(p.reads)
	for _, call := range calls {
		require.NoError(t, testkit.Soon(t, call, "a caller").Err)
	}
	assert.Less(t, p.sent.Load()-before, int64(len(callers)/10))
}
