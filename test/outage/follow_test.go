package outage_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
)

// oneChange is a log with one change, whose Next fails as long as fails returns an
// error.
type oneChange struct {
	change cache.Change
	fails  func() error
	done   chan struct{}
}

func (l *oneChange) Next(ctx context.Context) ([]cache.Change, error) {
	if err := l.fails(); err != nil {
		return nil, err
	}
	select {
	case <-l.done:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
		return []cache.Change{l.change}, nil
	}
}

func (l *oneChange) Done(context.Context, []cache.Change) error { close(l.done); return nil }

// follow brings the change of log to the caches, and returns how long that took.
func follow(t *testing.T, log *oneChange, to ...cache.Invalidator) time.Duration {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- cache.Follow(ctx, log, to...) }()
	select {
	case <-log.done:
	case <-time.After(patience):
		assert.Fail(t, "the change is not done")
	}
	took := time.Since(began)
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	return took
}

func never() error { return nil }

// A transaction of any number of rows is followed in pieces, of 256 rows each.
func TestFollowOfALargeTransaction(t *testing.T) {
	t.Parallel()
	const n = 100_000
	var out logLines
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	rdb := server.Client(t, func(o *redis.Options) {
		universal := redis.UniversalOptions{Addrs: []string{proxy.Addr()}, MaintNotificationsConfig: o.MaintNotificationsConfig}
		cache.Tune(&universal)
		*o = *universal.Simple()
	})
	c := asideCache(t, rdb, out.option())
	for name, change := range map[string]cache.Change{
		"of keys": {Keys: manyKeys(n)},
		"of tags": {Tags: manyKeys(n)},
	} {
		t.Run(name, func(t *testing.T) {
			before := proxy.Exchanges()
			took := follow(t, &oneChange{change: change, fails: never, done: make(chan struct{})}, c)
			t.Logf("%d rows in %v, %d lines in the log", n, took, len(out.with("")))
			assert.Less(t, proxy.Exchanges()-before, int64(4*n/256), "a piece that fails on a busy machine is sent again")
			assert.Less(t, len(out.with("")), n/100, "whatever fails on the way, it is not told for each row")
		})
	}
}

// That something fails again and again is told once, and so is that it does not any
// more. What the log's own errors say is not told: they may quote data.
func TestFollowTellsOnceWhatFails(t *testing.T) {
	t.Parallel()
	t.Run("the log", func(t *testing.T) {
		var out logLines
		var calls atomic.Int64
		log := &oneChange{change: cache.Change{Keys: []string{"k"}}, done: make(chan struct{}), fails: func() error {
			if calls.Add(1) <= 4 {
				return errors.New("secret row")
			}
			return nil
		}}
		follow(t, log, asideCache(t, cachetest.Redis(t), out.option()))
		begins := out.with("changes cannot be followed")
		require.Len(t, begins, 1)
		assert.Contains(t, begins[0], "Next: an error of type *errors.errorString")
		ends := out.with("changes are followed again")
		require.Len(t, ends, 1)
		assert.Contains(t, ends[0], "failures=4")
		assert.Empty(t, out.with("secret"))
	})
	t.Run("a cache", func(t *testing.T) {
		var out logLines
		rdb := cachetest.Redis(t)
		c := asideCache(t, rdb, out.option())
		rdb.Fail("LOADING")
		heals := time.AfterFunc(time.Second, rdb.Heal)
		defer heals.Stop()
		follow(t, &oneChange{change: cache.Change{Keys: []string{"secret"}}, fails: never, done: make(chan struct{})}, c)
		begins := out.with("changes cannot be followed")
		require.Len(t, begins, 1)
		assert.Contains(t, begins[0], "a cache: LOADING")
		assert.Len(t, out.with("changes are followed again"), 1)
	})
}
