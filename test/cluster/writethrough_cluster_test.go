package cluster_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestWriteThroughOnACluster(t *testing.T) {
	rdb := redistest.SharedCluster(t).Client(t)
	ctx := t.Context()
	rows := testkit.NewTable()
	c := testkit.NewThrough(t, rdb, testkit.Returning{Table: rows})
	keys := make([]string, 60)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
		var both sync.WaitGroup // two writers of each key
		for _, title := range []string{"A", "B"} {
			both.Go(func() { assert.NoError(t, c.Set(ctx, keys[i], testkit.Book{Title: title})) })
		}
		both.Wait()
		got, err := c.GetOrLoad(ctx, keys[i], rows.Load)
		require.NoError(t, err)
		assert.Equal(t, rows.Rows[keys[i]], got)
	}
	require.NoError(t, c.Delete(ctx, keys...))
	for _, key := range keys {
		_, err := c.GetOrLoad(ctx, key, rows.Load)
		assert.ErrorIs(t, err, cache.ErrNotFound)
	}
}
