package protocol_test

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// Scenario 1. A loader read the old row and was paused; the row changes and is
// invalidated; then the loader goes on.
//
//  1. R misses, takes the lease, reads v0 from the database, and stalls.
//  2. W commits v1, invalidates, and returns.
//  3. R goes on and sends its commit.
//
// With a plain SET the cache now holds v0 until its TTL: the control shows it.
// Here the commit is refused, since the invalidation removed the lease.
func TestStaleSetRace(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		gets := 100_000
		if _, real := rdb.(*redis.Client); !real {
			gets = 5_000
		}
		c := testkit.NewCache[int](t, rdb)
		var row atomic.Int64
		loader := testkit.NewGated(func() int { return int(row.Load()) })
		reader := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", loader.Load) })
		testkit.Soon(t, loader.Entered, "the loader to read the row")

		row.Store(1)
		require.NoError(t, c.Invalidate(t.Context(), "k"))
		close(loader.Release)
		got := testkit.Soon(t, reader, "the reader")
		require.NoError(t, got.Err)
		require.EqualValues(t, 1, c.Stats().RefusedFills)

		stale := readMany(t, gets, func(ctx context.Context) (int, error) {
			return c.GetOrLoad(ctx, "k", func(context.Context, string) (int, error) { return int(row.Load()), nil })
		}, func(v int) bool { return v < 1 })
		t.Logf("commits accepted after the invalidation: 0 of 1; stale: %d in %d gets", stale, gets)
		assert.Zero(t, stale)
	})
}

func TestStaleSetRaceControl(t *testing.T) {
	t.Parallel()
	rdb := redistest.Single(t).Client(t)
	var row atomic.Int64
	v := row.Load() // the naive reader missed and read the row
	row.Store(1)
	require.NoError(t, rdb.Del(t.Context(), "k").Err()) // the writer
	require.NoError(t, rdb.Set(t.Context(), "k", v, 0).Err())
	stale := readMany(t, 1000, func(ctx context.Context) (int, error) { return rdb.Get(ctx, "k").Int() },
		func(v int) bool { return v < 1 })
	t.Logf("naive control: stale %d in 1000 gets", stale)
	assert.EqualValues(t, 1000, stale, "the control must see the race, else the test is blind")
}

// readMany calls get n times from eight goroutines and counts what is stale.
func readMany(t *testing.T, n int, get func(context.Context) (int, error), isStale func(int) bool) int64 {
	t.Helper()
	var stale, failed atomic.Int64
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for range n / 8 {
				v, err := get(t.Context())
				if err != nil {
					failed.Add(1)
				} else if isStale(v) {
					stale.Add(1)
				}
			}
		})
	}
	readers.Wait()
	require.Zero(t, failed.Load(), "gets that failed")
	return stale.Load()
}

// Scenario 7. What a flight found goes only to callers that could have found
// it themselves: a caller that comes after an invalidation has returned never
// gets the value of a load that began before it.
func TestFlightSharing(t *testing.T) {
	t.Parallel()
	t.Run("a joiner after an invalidation does not get the old load", func(t *testing.T) {
		testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
			c := testkit.NewCache[int](t, rdb)
			other := testkit.NewCache[int](t, rdb) // another process
			const rounds = 50
			old := 0
			for round := range rounds {
				var row atomic.Int64
				loader := testkit.NewGated(func() int { return int(row.Load()) })
				first := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", loader.Load) })
				testkit.Soon(t, loader.Entered, "the first load")
				row.Store(1)
				invalidator := other
				if round%2 == 0 {
					invalidator = c
				}
				require.NoError(t, invalidator.Invalidate(t.Context(), "k"))
				joiner := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", loader.Load) })
				if invalidator == c {
					testkit.Soon(t, loader.Entered, "the joiner's own load")
				} else {
					testkit.Eventually(t, testkit.Waiting(c, 2), "the joiner to join")
				}
				close(loader.Release)
				require.NoError(t, testkit.Soon(t, first, "the first caller").Err)
				got := testkit.Soon(t, joiner, "the joiner")
				require.NoError(t, got.Err)
				if got.V < 1 {
					old++
				}
				require.NoError(t, c.Invalidate(t.Context(), "k"))
			}
			t.Logf("old values to joiners: %d in %d rounds", old, rounds)
			assert.Zero(t, old)
		})
	})

	// The commit's reply is held while another process invalidates and a caller
	// of this process reads: variant 26b of the model, which sharing until the
	// reply is processed would violate.
	t.Run("the reply of the commit is held while somebody invalidates and reads", func(t *testing.T) {
		server := redistest.Single(t)
		proxy := redistest.NewProxy(t, server.Addr())
		c := testkit.NewCache[int](t, testkit.ClientThrough(t, proxy))
		other := testkit.NewCache[int](t, server.Client(t))
		var row atomic.Int64
		row.Store(7_000_001)
		load := func(context.Context, string) (int, error) { return int(row.Load()), nil }

		held := proxy.Hold(func(args [][]byte) bool {
			return bytes.EqualFold(args[0], []byte("evalsha")) && bytes.Contains(bytes.Join(args, nil), []byte("7000001"))
		})
		first := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
		testkit.Soon(t, held.Reached(), "the commit to be accepted, its reply held")
		row.Store(7_000_002)
		require.NoError(t, other.Invalidate(t.Context(), "k"))
		joiner := testkit.Start(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
		held.Release()
		require.NoError(t, testkit.Soon(t, first, "the first caller").Err)
		got := testkit.Soon(t, joiner, "the joiner")
		require.NoError(t, got.Err)
		t.Logf("old values to the joiner: %d in 1", map[bool]int{true: 1}[got.V < 7_000_002])
		assert.Equal(t, 7_000_002, got.V)
	})
}

// Scenario 8. Round trips as a proxy between client and server counts them.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	c := testkit.NewCache[string](t, testkit.ClientThrough(t, proxy), cache.WithXFetch(0))
	ctx := t.Context()
	trips := func(f func() error) int64 {
		proxy.Reset()
		require.NoError(t, f())
		return proxy.Exchanges()
	}
	get := func() error { _, err := c.GetOrLoad(ctx, "k", testkit.Value("v")); return err }
	require.NoError(t, get(), "scripts loaded, connection open")
	require.NoError(t, c.Invalidate(ctx, "k"))

	miss, hit := trips(get), trips(get)
	look := trips(func() error { _, err := c.Get(ctx, "k"); return err })
	require.NoError(t, c.Set(ctx, "k", "w"), "loads the script")
	set := trips(func() error { return c.Set(ctx, "k", "w") })
	invalidate := trips(func() error { return c.Invalidate(ctx, "k") })
	noWrite := func(context.Context) error { return nil }
	require.NoError(t, c.Update(ctx, "k", noWrite), "loads the scripts")
	update := trips(func() error { return c.Update(ctx, "k", noWrite) })
	require.NoError(t, c.Invalidate(ctx, "a", "b"), "loads the script on several")
	several := trips(func() error { return c.Invalidate(ctx, "a", "b", "c") })
	uncached := trips(func() error {
		_, err := c.GetOrLoad(ctx, "page 900", testkit.Value("v"), cache.StoreIf(false))
		return err
	})
	t.Logf("round trips: hit %d, miss that loads %d, look-up %d, set %d, invalidate %d, update %d, invalidate of three %d, uncached load %d",
		hit, miss, look, set, invalidate, update, several, uncached)
	assert.EqualValues(t, 1, hit)
	assert.EqualValues(t, 3, miss)
	assert.EqualValues(t, 1, look)
	assert.EqualValues(t, 1, set)
	assert.EqualValues(t, 1, invalidate)
	assert.EqualValues(t, 2, update)
	assert.EqualValues(t, 1, several)
	assert.EqualValues(t, 1, uncached)
}
