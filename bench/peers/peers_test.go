package peers_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/work"
	"github.com/larder-go/cache/internal/redistest"
)

// No goleak here: some of the libraries leave goroutines behind when they are closed.

// counted is a source that counts.
type counted struct{ loads, calls atomic.Int64 }

func (c *counted) load(_ context.Context, key string) (work.Doc, error) {
	c.loads.Add(1)
	return work.New(work.ID(key), work.Nested), nil
}

func (c *counted) loadMany(ctx context.Context, keys []string) (map[string]work.Doc, error) {
	c.calls.Add(1)
	all := map[string]work.Doc{}
	for _, key := range keys {
		all[key], _ = c.load(ctx, key)
	}
	return all, nil
}

// sameDoc fails unless got is the document of id. msgpack brings times back in the
// local zone.
func sameDoc(t *testing.T, id int64, got work.Doc) {
	t.Helper()
	got.Created = got.Created.UTC()
	assert.Equal(t, work.New(id, work.Nested), got)
}

// A row that does not cache, or hands out something else than it was given, would
// look quick.
func TestEveryRowLoadsOnceAndReturnsWhatWasLoaded(t *testing.T) {
	for _, row := range peers.All() {
		t.Run(row.Name, func(t *testing.T) {
			var source counted
			p, err := row.Open(peers.Env{Addr: redistest.Single(t).Addr(), Load: source.load, LoadMany: source.loadMany})
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			var first, second work.Doc
			require.NoError(t, p.Get(t.Context(), work.Key(7), &first))
			sameDoc(t, 7, first)
			assert.Equal(t, int64(1), source.loads.Load())
			require.Eventually(t, func() bool { // some store in the background
				before := source.loads.Load()
				return p.Get(t.Context(), work.Key(7), &second) == nil && source.loads.Load() == before
			}, 10*time.Second, 10*time.Millisecond)
			sameDoc(t, 7, second)
			require.NoError(t, p.Get(t.Context(), work.Key(8), &second))
			sameDoc(t, 8, second)
		})
	}
}

func TestEveryRowOverRedisHitsWhatAnotherInstanceStored(t *testing.T) {
	memory := map[string]bool{peers.OtterRow: true, "ristretto": true}
	for _, row := range peers.All() {
		if memory[row.Name] {
			continue
		}
		t.Run(row.Name, func(t *testing.T) {
			server := redistest.Single(t)
			rdb := server.Client(t)
			var source counted
			writer, err := row.Open(peers.Env{Addr: server.Addr(), Load: source.load})
			require.NoError(t, err)
			var doc work.Doc
			require.NoError(t, writer.Get(t.Context(), work.Key(7), &doc))
			require.Eventually(t, func() bool { return rdb.DBSize(t.Context()).Val() > 0 }, 10*time.Second, 10*time.Millisecond)
			require.NoError(t, writer.Close())

			reader, err := row.Open(peers.Env{Addr: server.Addr(), Load: source.load})
			require.NoError(t, err)
			defer func() { require.NoError(t, reader.Close()) }()
			doc = work.Doc{}
			require.NoError(t, reader.Get(t.Context(), work.Key(7), &doc))
			sameDoc(t, 7, doc)
			assert.Equal(t, int64(1), source.loads.Load())
		})
	}
}

func TestRowsWithBatchesLoadWhatIsMissingAtOnce(t *testing.T) {
	for _, name := range []string{peers.FloorRow, peers.SameCodec, peers.Default, peers.NearRow, "sturdyc"} {
		t.Run(name, func(t *testing.T) {
			row, err := peers.Find(name)
			require.NoError(t, err)
			var source counted
			p, err := row.Open(peers.Env{Addr: redistest.Single(t).Addr(), Load: source.load, LoadMany: source.loadMany})
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			many, ok := p.(peers.Many)
			require.True(t, ok)
			var doc work.Doc
			require.NoError(t, p.Get(t.Context(), work.Key(3), &doc))
			found, err := many.GetMany(t.Context(), work.Keys(10))
			require.NoError(t, err)
			require.Len(t, found, 10)
			for key, d := range found {
				sameDoc(t, work.ID(key), d)
			}
			assert.Equal(t, int64(1), source.calls.Load())
			assert.Equal(t, int64(10), source.loads.Load(), "the one that was there is not loaded again")
		})
	}
}

func TestNamesOfRowsAreUniqueAndKnown(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range peers.All() {
		assert.False(t, seen[row.Name], row.Name)
		seen[row.Name] = true
		assert.NotContains(t, row.Name, ",", "-rows separates by commas")
	}
	_, err := peers.Find("none")
	require.Error(t, err)
	assert.Panics(t, func() { peers.Named("none") })
}
