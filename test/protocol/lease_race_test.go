package protocol_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// asksForLease matches the script that asks for a lease.
func asksForLease(args [][]byte) bool {
	return bytes.EqualFold(args[0], []byte("evalsha"))
}

// What happens to a key between the look-up that misses it and the loader's call.
func TestLeaseOfAMissAndWhatOthersDoMeanwhile(t *testing.T) {
	t.Parallel()
	type race struct {
		proxy    *redistest.Proxy
		c, other *cache.Cache[int]
		row      atomic.Int64
		loads    atomic.Int64
		load     cache.Loader[int]
	}
	open := func(t *testing.T) *race {
		server := redistest.Single(t)
		s := &race{proxy: redistest.NewProxy(t, server.Addr())}
		s.c = testkit.NewCache[int](t, testkit.ClientThrough(t, s.proxy), cache.WithXFetch(0))
		s.other = testkit.NewCache[int](t, server.Client(t), cache.WithXFetch(0))
		s.load = func(context.Context, string) (int, error) {
			s.loads.Add(1)
			return int(s.row.Load()), nil
		}
		s.row.Store(1)
		_, err := s.c.GetOrLoad(t.Context(), "warm", testkit.Value(0))
		require.NoError(t, err, "the clock, the clear token and the scripts are known")
		return s
	}
	get := func(t *testing.T, s *race) <-chan testkit.Result[int] {
		return testkit.Start(func() (int, error) { return s.c.GetOrLoad(t.Context(), "k", s.load) })
	}

	// overtaken lets W write and invalidate while what is held of R's acquire is.
	overtaken := func(t *testing.T, s *race, held *redistest.Held) {
		t.Helper()
		reader := get(t, s)
		testkit.Soon(t, held.Reached(), "R's acquire")
		s.row.Store(2)
		require.NoError(t, s.other.Invalidate(t.Context(), "k"))
		held.Release()
		assert.Equal(t, 2, testkit.Soon(t, reader, "the reader").V)
	}

	//  1. R reads nothing, and asks for the lease.
	//  2. W writes, and invalidates what is not there.
	//  3. Redis grants: R loads what W wrote, and stores it.
	t.Run("a write before Redis is asked", func(t *testing.T) {
		s := open(t)
		overtaken(t, s, s.proxy.HoldRequest(asksForLease))
		v, err := s.other.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, 2, v)
	})

	//  1. R reads nothing, and is granted the lease; the reply is late.
	//  2. W writes and invalidates: the lease is gone.
	//  3. R loads what W wrote; nothing is stored, for the load may have been older.
	t.Run("a write before R hears of it", func(t *testing.T) {
		s := open(t)
		overtaken(t, s, s.proxy.Hold(asksForLease))
		_, err := s.other.Get(t.Context(), "k")
		require.ErrorIs(t, err, cache.ErrMiss)
		assert.EqualValues(t, 1, s.c.Stats().RefusedFills)
	})

	//  1. R reads nothing, and asks for the lease.
	//  2. Another process loads the key, and stores it.
	//  3. R finds it there, and is answered with it: its loader is not called.
	t.Run("a load of another process", func(t *testing.T) {
		s := open(t)
		held := s.proxy.HoldRequest(asksForLease)
		reader := get(t, s)
		testkit.Soon(t, held.Reached(), "the request")
		_, err := s.other.GetOrLoad(t.Context(), "k", s.load)
		require.NoError(t, err)
		held.Release()
		assert.Equal(t, 1, testkit.Soon(t, reader, "the reader").V)
		assert.EqualValues(t, 1, s.loads.Load())
	})

	//  1. R reads nothing, and asks for the lease.
	//  2. W opens a write, which takes long.
	//  3. R is told of it: it loads, and stores nothing.
	t.Run("a write that is under way", func(t *testing.T) {
		s := open(t)
		held := s.proxy.HoldRequest(asksForLease)
		reader := get(t, s)
		testkit.Soon(t, held.Reached(), "the request")
		require.NoError(t, s.other.Update(t.Context(), "k", func(context.Context) error {
			held.Release()
			assert.Equal(t, 1, testkit.Soon(t, reader, "the reader").V)
			return nil
		}))
		_, err := s.other.Get(t.Context(), "k")
		require.ErrorIs(t, err, cache.ErrMiss)
	})
}

// A miss is a GET and two scripts, one of which asks for the lease and one of which
// stores, where the clock of the only Redis is known.
func TestMissSendsTwoScripts(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	c := testkit.NewCache[string](t, testkit.ClientThrough(t, proxy))
	var sent [3]int64
	for i := 0; sent != [3]int64{1, 2, 3} && i < 100; i++ { // now and then a look-up asks for the time as well
		proxy.Reset()
		_, err := c.GetOrLoad(t.Context(), fmt.Sprint("k", i), testkit.Value("v"))
		require.NoError(t, err)
		sent = [3]int64{proxy.CommandsNamed("get"), proxy.CommandsNamed("evalsha"), proxy.Exchanges()}
	}
	assert.Equal(t, [3]int64{1, 2, 3}, sent)
}
