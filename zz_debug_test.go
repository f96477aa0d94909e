package cache_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
)

func TestZZ(t *testing.T) {
	s := newStation(t, redistest.Single(t), cache.L1Options{TTL: time.Minute})
	c := brisk[int64](t, s)
	other := newCache[int64](t, s.server.Client(t))
	var row atomic.Int64
	load := func(context.Context, string) (int64, error) { return row.Load(), nil }
	s.locally(t, func() error { _, err := c.GetOrLoad(t.Context(), "k", load); return err })
	s.server.Kill()
	s.server.Restart()
	row.Add(1)
	fmt.Println(other.Invalidate(t.Context(), "k"))
	for range 40 {
		_, err := c.GetOrLoad(t.Context(), "k", load)
		require.NoError(t, err)
		fmt.Printf("%v %+v %s\n", cache.HearsL1(c), c.Stats(), cache.DebugL1(c))
		time.Sleep(50 * time.Millisecond)
	}
	for range 40 {
		_, err := c.GetOrLoad(t.Context(), "k", load)
		require.NoError(t, err)
		fmt.Printf("%v %+v %s\n", cache.HearsL1(c), c.Stats(), cache.DebugL1(c))
		time.Sleep(2 * time.Millisecond)
	}
}
