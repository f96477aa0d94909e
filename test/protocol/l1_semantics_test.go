package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestEveryLookUpUsesTheL1(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := hearing[int](t, s, testkit.Class(func(ttl *cache.TTL) { ttl.Absent = time.Minute }))
	keys := testkit.Numbers(300)
	through := c.ReadThrough(parseOne)
	var calls, asked atomic.Int64
	want := map[string]int{}
	for i, key := range keys {
		want[key] = i
	}
	for name, look := range map[string]func() error{
		"GetOrLoad":       func() error { _, err := c.GetOrLoad(ctx, "7", parseOne); return err },
		"Get":             func() error { _, err := c.Get(ctx, "7"); return err },
		"ReadThrough.Get": func() error { _, err := through.Get(ctx, "7"); return err },
		"GetOrLoadMany": func() error {
			got, err := c.GetOrLoadMany(ctx, append(keys, "none"), testkit.Parsing(&calls, &asked))
			assert.Equal(t, want, got)
			return err
		},
		"GetMany": func() error {
			got, err := c.GetMany(ctx, append(keys, "none"))
			assert.Subset(t, want, got)
			return err
		},
		"ReadThrough.GetMany": func() error {
			got, err := through.GetMany(ctx, append(keys, "none"))
			assert.Equal(t, want, got)
			return err
		},
		"an absence": func() error {
			_, err := c.GetOrLoad(ctx, "none", parseOne)
			if errors.Is(err, cache.ErrNotFound) {
				return nil
			}
			return errors.Join(err, errors.New("is there"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.GetOrLoadMany(ctx, append(keys, "none"), testkit.Parsing(&calls, &asked))
			require.NoError(t, err)
			s.Locally(t, look)
		})
	}
	got := c.Stats()
	assert.Positive(t, got.HitsL1)
	assert.LessOrEqual(t, got.HitsL1, got.Hits)
	assert.Positive(t, got.Absent)
}

// parseOne is the loader of numbers.
func parseOne(_ context.Context, key string) (int, error) {
	n, err := strconv.Atoi(key)
	if err != nil {
		return 0, cache.ErrNotFound
	}
	return n, nil
}

// A batch of which some are in the L1 asks Redis for the others alone.
func TestABatchAsksForWhatTheL1DoesNotHave(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := hearing[int](t, s)
	other := testkit.NewCache[int](t, s.Server.Client(t))
	near, far := testkit.Numbers(100)[:50], testkit.Numbers(100)[50:]
	var calls, asked atomic.Int64
	_, err := other.GetOrLoadMany(t.Context(), testkit.Numbers(100), testkit.Parsing(&calls, &asked))
	require.NoError(t, err)
	s.Locally(t, func() error { _, err := c.GetMany(t.Context(), near); return err })
	before := s.Link.CommandsNamed("get")
	got, err := c.GetOrLoadMany(t.Context(), slices.Concat(near, far), testkit.Parsing(&calls, &asked))
	require.NoError(t, err)
	assert.Len(t, got, 100)
	assert.LessOrEqual(t, s.Link.CommandsNamed("get")-before, int64(len(far)+1), "and the clear token perhaps")
	assert.EqualValues(t, 1, calls.Load())
}

// The L1 keeps a value for as long as it is fresh, whoever loaded it and whenever:
// the age counts from the start of the load.
func TestNoHitOutlivesItsEntry(t *testing.T) {
	t.Parallel()
	const fresh = 700 * time.Millisecond
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	ttl := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = fresh })
	c := hearing[int64](t, s, ttl, cache.WithXFetch(0))
	other := testkit.NewCache[int64](t, s.Server.Client(t), ttl, cache.WithXFetch(0))
	began := time.Now()
	since := func(context.Context, string) (int64, error) { return int64(time.Since(began)), nil }
	var oldest time.Duration
	for time.Since(began) < 4*fresh {
		_, err := other.GetOrLoad(t.Context(), "k", since)
		require.NoError(t, err)
		asked := time.Since(began)
		loaded, err := c.GetOrLoad(t.Context(), "k", since)
		require.NoError(t, err)
		oldest = max(oldest, asked-time.Duration(loaded))
	}
	t.Logf("the oldest value was %v old, of %v; %d hits in the L1", oldest, fresh, c.Stats().HitsL1)
	assert.LessOrEqual(t, oldest, fresh+2*time.Millisecond, "Redis counts milliseconds")
	assert.Positive(t, c.Stats().HitsL1)
}

func TestOnlyFreshValuesAreKept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	stale := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh, ttl.StaleWhileRevalidate = 50*time.Millisecond, time.Hour })
	c := hearing[int](t, s, stale, cache.WithXFetch(0))
	_, err := c.GetOrLoad(ctx, "k", testkit.Value(1))
	require.NoError(t, err)
	testkit.Eventually(t, func() bool { _, err := c.Get(ctx, "k"); return errors.Is(err, cache.ErrMiss) }, "the entry to be stale")
	load := testkit.NewGated(func() int { return 2 })
	t.Cleanup(func() { close(load.Release) })
	near, before := c.Stats().HitsL1, s.Link.Exchanges()
	for range 50 {
		got, err := c.GetOrLoad(ctx, "k", load.Load)
		require.NoError(t, err)
		require.Equal(t, 1, got)
	}
	assert.Equal(t, near, c.Stats().HitsL1)
	assert.GreaterOrEqual(t, s.Link.Exchanges()-before, int64(50))
	assert.EqualValues(t, 50, c.Stats().Stale)
}

// With replica reads allowed it is not known what a read is worth.
func TestReadsFromReplicasAreNotKept(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	_, err := testkit.NewCache[int](t, s.Server.Client(t)).GetOrLoad(t.Context(), "k", testkit.Value(1))
	require.NoError(t, err)
	c := hearing[int](t, s, cache.AllowReplicaReads())
	for range 50 {
		_, err := c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
		require.NoError(t, err)
	}
	assert.Zero(t, c.Stats().HitsL1)
}

// A look-up that failed has no value, though the record that it read may be fresh:
// the next caller must not get the zero value from the L1.
func TestAFailedLookUpKeepsNothing(t *testing.T) {
	t.Parallel()
	t.Run("its context ends while a tag's token is read", func(t *testing.T) {
		s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
		c := testkit.Brisk[int](t, s)
		_, err := testkit.NewCache[int](t, s.Server.Client(t)).GetOrLoad(t.Context(), "k", testkit.Value(1), cache.Tagged("tag"))
		require.NoError(t, err)
		_, err = c.GetOrLoad(t.Context(), "other", testkit.Value(1)) // the clear token and the meta record are known
		require.NoError(t, err)
		tokens := s.Link.HoldRequest(func(args [][]byte) bool {
			return bytes.EqualFold(args[0], []byte("get")) && bytes.HasPrefix(args[1], []byte("test!t")) ||
				bytes.EqualFold(args[0], []byte("mget"))
		})
		ctx, cancel := context.WithCancel(t.Context())
		got := testkit.Start(func() (int, error) { return c.GetOrLoad(ctx, "k", testkit.MustNotLoad[int](t)) })
		testkit.Soon(t, tokens.Reached(), "the read of the token")
		cancel()
		require.ErrorIs(t, testkit.Soon(t, got, "the caller to leave").Err, context.Canceled)
		tokens.Release()
		for range 20 {
			v, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
			require.NoError(t, err)
			require.Equal(t, 1, v)
		}
	})
	t.Run("the caches of the name disagree", func(t *testing.T) {
		s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
		c := hearing[int](t, s)
		_, err := testkit.NewCache[int](t, s.Server.Client(t)).GetOrLoad(t.Context(), "k", testkit.Value(1))
		require.NoError(t, err)
		require.NoError(t, s.Rdb.Set(t.Context(), "test!m", "K1 writebehind 16", 0).Err())
		for range 20 {
			_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
			require.NoError(t, err, "past Redis")
			_, err = c.Get(t.Context(), "k")
			require.ErrorContains(t, err, "writes behind")
		}
	})
}

// XFetch is drawn for hits in the L1 too: the entry is refreshed in the background
// before it expires, though no look-up reaches Redis.
func TestHitsInTheL1RefreshEarly(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := hearing[int](t, s, testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Second }), cache.WithXFetch(3))
	load := func(ctx context.Context, _ string) (int, error) { return 1, testkit.Pace(ctx, 30*time.Millisecond) }
	for end := time.Now().Add(testkit.Forever); c.Stats().Refreshes == 0; {
		require.True(t, time.Now().Before(end), "never refreshed: %+v", c.Stats())
		_, err := c.GetOrLoad(t.Context(), "k", load)
		require.NoError(t, err)
	}
	assert.Positive(t, c.Stats().HitsL1)
}

// Who was elected looks into Redis first: if somebody refreshed the entry meanwhile,
// and his message is late, it is not loaded again.
func TestWhoIsElectedDoesNotRefreshWhatWasRefreshed(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	ttl := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = 2 * time.Second })
	c := hearing[int](t, s, ttl, cache.WithXFetch(1000)) // elected as soon as half of the time is over
	other := testkit.NewCache[int](t, s.Server.Client(t), ttl, cache.WithXFetch(0))
	slowly := func(ctx context.Context, _ string) (int, error) { return 1, testkit.Pace(ctx, 30*time.Millisecond) }
	began := time.Now()
	_, err := other.GetOrLoad(t.Context(), "k", slowly)
	require.NoError(t, err)
	s.Locally(t, func() error { _, err := c.GetOrLoad(t.Context(), "k", slowly); return err })
	s.Ear.Delay(600 * time.Millisecond)
	require.NoError(t, testkit.Pace(t.Context(), 1050*time.Millisecond-time.Since(began)))
	require.NoError(t, other.Invalidate(t.Context(), "k"))
	_, err = other.GetOrLoad(t.Context(), "k", slowly)
	require.NoError(t, err)
	before := s.Link.CommandsNamed("get") + s.Link.CommandsNamed("mget")
	for range 10 {
		_, err := c.GetOrLoad(t.Context(), "k", slowly)
		require.NoError(t, err)
	}
	assert.Greater(t, s.Link.CommandsNamed("get")+s.Link.CommandsNamed("mget"), before, "somebody was elected")
	assert.Zero(t, c.Stats().Refreshes)
	assert.Zero(t, c.Stats().Loads)
}

// Before an entry's time in the L1 is over one caller reads it again. Who was elected for
// that is not served by a second look: then nobody would, and all would wait at the end.
func TestBeforeAnEntryEndsInTheL1SomebodyReadsItAgain(t *testing.T) {
	const ttl = 2 * time.Second
	load := testkit.Value(1)
	for name, read := range map[string]func(ctx context.Context, c *cache.Cache[int]) error{
		"Get": func(ctx context.Context, c *cache.Cache[int]) error { _, err := c.Get(ctx, "k"); return err },
		"GetOrLoad": func(ctx context.Context, c *cache.Cache[int]) error {
			_, err := c.GetOrLoad(ctx, "k", load)
			return err
		},
		"ReadThrough.Get": func(ctx context.Context, c *cache.Cache[int]) error {
			_, err := c.ReadThrough(load).Get(ctx, "k")
			return err
		},
		"GetMany": func(ctx context.Context, c *cache.Cache[int]) error {
			_, err := c.GetMany(ctx, []string{"k"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: ttl})
			c := hearing[int](t, s, testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Hour }), cache.WithXFetch(0))
			testkit.InTime(t, func() []testkit.Figure {
				require.NoError(t, c.Invalidate(t.Context(), "k"))
				began := time.Now() // the entry is there for two seconds from now, or longer
				testkit.Nearby(t, c, "k", load)
				for near := int64(-1); near != c.Stats().HitsL1; {
					require.NoError(t, testkit.Pace(t.Context(), 5*time.Millisecond))
					near = c.Stats().HitsL1
					require.NoError(t, read(t.Context(), c))
				}
				return []testkit.Figure{{What: "until it was read again", Took: time.Since(began), Bound: ttl}}
			})
		})
	}
}

func TestNewL1ReportsBadArguments(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	for name, tt := range map[string]struct {
		make func() (*cache.L1, error)
		want []string
	}{
		"no client": {func() (*cache.L1, error) { return cache.NewL1(nil, cache.L1Options{}) }, []string{"client: is nil"}},
		"all at once": {
			func() (*cache.L1, error) { return cache.NewL1(rdb, cache.L1Options{MaxBytes: -1, TTL: -1}) },
			[]string{"MaxBytes: -1 is negative", "TTL: -1ns is negative"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := tt.make()
			assert.Nil(t, l)
			var own *cache.OpError
			require.ErrorAs(t, err, &own)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
	_, err := cache.New(rdb, "test", cache.Aside[int](), cache.WithL1(nil))
	assert.ErrorContains(t, err, "the L1 is nil")
}

// While hits are served the clear token is renewed by the L1's own loop, and nobody
// else reads anything.
func TestAnIdleRedisIsAskedForTheClearTokenOnly(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := hearing[int](t, s)
	s.Locally(t, func() error { _, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1)); return err })
	near, commands, began := c.Stats().HitsL1, s.Link.Commands(), time.Now()
	n := hits(t, 2*time.Second, 1, func() (int, error) { return c.GetOrLoad(t.Context(), "k", testkit.Value(2)) })
	took := time.Since(began)
	commands = s.Link.Commands() - commands
	t.Logf("%d hits in %v, %d commands", n, took, commands)
	assert.LessOrEqual(t, float64(commands), 3*took.Seconds()+3)
	assert.Greater(t, c.Stats().HitsL1-near, int64(1000))
}

// After InvalidateAll of another process nothing older is served for longer than its
// clear token is held, also where the messages are late.
func TestTheClearTokenEndsHitsWithinASecond(t *testing.T) {
	t.Parallel()
	s := testkit.NewStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := hearing[int64](t, s)
	other := testkit.NewCache[int64](t, s.Server.Client(t))
	var row atomic.Int64
	load := func(context.Context, string) (int64, error) { return row.Load(), nil }
	s.Locally(t, func() error { _, err := c.GetOrLoad(t.Context(), "k", load); return err })
	s.Ear.SwallowReplies() // the last PING that was answered keeps the L1 in use for 2 s
	row.Store(1)
	began := time.Now()
	var cleared atomic.Bool
	all := testkit.Start(func() (int, error) {
		defer cleared.Store(true)
		return 0, other.InvalidateAll(t.Context())
	})
	old, late := 0, 0
	for time.Since(began) < 2500*time.Millisecond {
		returned := cleared.Load()
		got, err := c.GetOrLoad(t.Context(), "k", load)
		require.NoError(t, err)
		if got == 0 {
			old++
			if returned {
				late++
			}
		}
	}
	t.Logf("%d old hits, %d of them after InvalidateAll had returned", old, late)
	require.NoError(t, testkit.Soon(t, all, "InvalidateAll").Err)
	require.NoError(t, s.Ear.Heal())
	testkit.InUse(t, c) // else Close finds it connecting
	assert.Zero(t, late)
	assert.Positive(t, old, "the message was not lost: the test is blind")
}
