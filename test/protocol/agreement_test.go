package protocol_test

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// noWriter is a writer that must not be reached.
type noWriter struct{}

var errWritten = errors.New("the writer was called")

func (noWriter) Write(context.Context, string, string) error { return errWritten }
func (noWriter) Delete(context.Context, string) error        { return errWritten }

// A cache whose entries would be elsewhere fails with each call, the first one
// included, before user code is called, and says why.
func TestAWriteBehindNameIsRefusedByTheOtherStrategies(t *testing.T) {
	t.Parallel()
	for name, strategy := range map[string]cache.Strategy[string]{
		"aside": cache.Aside[string](), "write-through": cache.WriteThrough[string](noWriter{}),
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
				behind := testkit.NewPutter(t, rdb)
				require.NoError(t, behind.Set(t.Context(), "k", "v"))
				var methods []string
				for method := range testkit.EveryCall(behind, nil) {
					methods = append(methods, method)
				}
				for _, method := range methods {
					c, err := cache.New(rdb, "behind", strategy, testkit.Patient())
					require.NoError(t, err, "New asks Redis nothing")
					call := testkit.EveryCall(c, testkit.MustNotLoad[string](t))[method]
					for range 2 {
						err := call(t.Context())
						var opErr *cache.OpError
						require.ErrorAs(t, err, &opErr, method)
						assert.ErrorContains(t, opErr, "use WriteBehind, or another name", method)
						assert.NotErrorIs(t, err, cache.ErrPending, method)
					}
					assert.NoError(t, c.Close())
				}
				testkit.Has(t, behind, "k", "v", "untouched")
			})
		})
	}
}

func TestOtherNamesDoNotMindWriteBehind(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		require.NoError(t, testkit.NewPutter(t, rdb).Set(t.Context(), "k", "v"))
		c := testkit.NewCache[string](t, rdb)
		got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("aside"))
		require.NoError(t, err)
		assert.Equal(t, "aside", got)
	})
}

// The number of partitions says where the records are: the first process fixes it.
func TestWriteBehindRefusesAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Partitions: 4})
		_, err := testkit.OpenBehind(rdb, testkit.NewLedger(), cache.WriteBehindOptions{Partitions: 5})
		var opErr *cache.OpError
		require.ErrorAs(t, err, &opErr)
		assert.Equal(t, "new", opErr.Op)
		assert.ErrorContains(t, err, "fixed by its first process")
		again := testkit.NewBehind(t, rdb, testkit.NewLedger(), cache.WriteBehindOptions{Partitions: 4})
		require.NoError(t, c.Set(t.Context(), "k", "v"))
		testkit.Has(t, again, "k", "v")
	})
}

// Entries of another strategy under the name are nothing to write-behind, which
// keeps its own elsewhere.
func TestWriteBehindTakesANameOver(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		before, err := cache.New(rdb, "behind", cache.Aside[string](), testkit.Patient())
		require.NoError(t, err)
		require.NoError(t, before.Set(t.Context(), "k", "aside"))
		require.NoError(t, before.Close())
		c := testkit.NewPutter(t, rdb)
		_, err = c.Get(t.Context(), "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
		require.NoError(t, c.Set(t.Context(), "k", "behind"))
		testkit.Has(t, c, "k", "behind")
	})
}

// A Redis that does not answer is no disagreement: it is asked again.
func TestAgreementIsSettledWhenRedisAnswers(t *testing.T) {
	t.Parallel()
	rdb := cachetest.Redis(t)
	require.NoError(t, testkit.NewPutter(t, rdb).Set(t.Context(), "k", "v"))
	c, err := cache.New(rdb, "behind", cache.Aside[string](), testkit.Patient())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	rdb.Fail("LOADING Redis is loading the dataset in memory")
	got, err := c.GetOrLoad(t.Context(), "k", testkit.Value("loaded"))
	require.NoError(t, err)
	assert.Equal(t, "loaded", got)
	rdb.Heal()
	testkit.Eventually(t, func() bool {
		_, err := c.GetOrLoad(t.Context(), "k", testkit.Value("loaded"))
		return err != nil
	}, "the disagreement")
	_, err = c.Get(t.Context(), "k")
	assert.ErrorContains(t, err, "writes behind")
}
