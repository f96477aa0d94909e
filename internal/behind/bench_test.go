package behind_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/redistest"
)

// BenchmarkDrain measures how fast dirty keys reach a sink that does nothing, and
// beside it raw SETs on the same server.
func BenchmarkDrain(b *testing.B) {
	c := redistest.Single(b, redistest.AppendOnly("everysec")).Client(b)
	s := open(b, c)
	const n = 16
	o := behind.Options{Store: s, Partitions: partitions(n), PartitionOf: hashed(n), MaxDirty: 1 << 30}
	putter := start(b, o)
	b.Run("drain", func(b *testing.B) {
		for i := range b.N {
			put(b, putter, strconv.Itoa(i), "some value")
		}
		o := o
		o.Sink = func(context.Context, []behind.Mutation) error { return nil }
		b.ResetTimer()
		e := start(b, o)
		require.NoError(b, e.Flush(b.Context()))
		b.StopTimer()
	})
	b.Run("put", func(b *testing.B) {
		for i := range b.N {
			put(b, putter, strconv.Itoa(i), "some value")
		}
	})
	b.Run("set", func(b *testing.B) {
		for i := range b.N {
			require.NoError(b, c.Set(b.Context(), strconv.Itoa(i), "some value", 0).Err())
		}
	})
}
