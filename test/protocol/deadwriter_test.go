package protocol_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// A writer that dies between its commit and the end of its intent tells nobody of the
// change any more. Whoever holds the entry in an L1 has been told before the write.
func TestAWriterThatDiesLeavesNoStaleEntryInAnL1(t *testing.T) {
	server := redistest.Single(t)
	reader := testkit.NewStation(t, server, cache.L1Options{MaxBytes: 1 << 20, TTL: time.Hour})
	far := testkit.Class(func(ttl *cache.TTL) { ttl.Fresh = time.Hour })
	c := hearing[int64](t, reader, far)
	writer := testkit.NewCache[int64](t, server.Client(t), far)
	var row atomic.Int64
	row.Store(1)
	load := func(context.Context, string) (int64, error) { return row.Load(), nil }
	get := func() (int64, error) { return c.GetOrLoad(t.Context(), "k", load) }
	reader.Locally(t, func() error { _, err := get(); return err })

	committed, end := make(chan struct{}), make(chan struct{})
	update := testkit.Start(func() (struct{}, error) {
		return struct{}{}, writer.Update(t.Context(), "k", func(context.Context) error {
			row.Store(2)
			close(committed)
			<-end // as if it had died: it sends nothing more while this test looks
			return nil
		})
	})
	testkit.Soon(t, committed, "the commit")
	testkit.Eventually(t, func() bool { v, err := get(); return err == nil && v == 2 }, "the new value")
	for range 100 {
		v, err := get()
		require.NoError(t, err)
		require.EqualValues(t, 2, v)
	}
	close(end)
	assert.NoError(t, testkit.Soon(t, update, "the update").Err)
}
