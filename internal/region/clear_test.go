package region_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/pending"
)

// turnBack brings an old clear token back.
func (w *world) turnBack() { w.rdb.Set(context.Background(), w.Space.Clear(), older.String(), 0) }

func TestInvalidateAllEndsWithTheClearTokenThatStays(t *testing.T) {
	const each = 5 // mints
	for _, c := range []struct {
		name  string
		reads func(w *world, nth int) // before the token is read, after each wait
		takes time.Duration
		fails error
	}{
		{"that it has minted", func(*world, int) {}, time.Second, nil},
		{"that it mints again after a failover", func(w *world, nth int) {
			if nth == 1 {
				w.turnBack()
			}
		}, 2 * time.Second, nil},
		{"that it mints again after the token was lost", func(w *world, nth int) {
			if nth == 1 {
				w.rdb.Del(context.Background(), w.Space.Clear())
			}
		}, 2 * time.Second, nil},
		{"that another caller has minted", func(w *world, _ int) {
			w.rdb.Set(context.Background(), w.Space.Clear(), "fffffffffffffAAA", 0)
		}, time.Second, nil},
		{"or with a queued clearing, if it is turned back each time", func(w *world, nth int) {
			w.turnBack()
			if nth == each {
				w.wire.meet("", "", nil)
				w.look([]string{"a"})
			}
		}, each * time.Second, pending.Err},
		{"or with a queued clearing, if it cannot be read", func(w *world, _ int) {
			w.turnBack()
			w.wire.meet("", "", nil)
			w.look([]string{"a"})
			w.wire.refuse(errRefused, w.Space.Clear())
		}, time.Second, errRefused},
	} {
		in(t, c.name, func(t *testing.T, w *world) {
			w.look([]string{"a"})
			nth := 0
			w.wire.meet("get", w.Space.Clear(), func() { nth++; c.reads(w, nth) })
			began := time.Now()
			err := w.InvalidateAll(t.Context())
			assert.Equal(t, c.takes, time.Since(began))
			require.ErrorIs(t, err, c.fails)
			assert.Equal(t, c.fails != nil, w.Pending.Has(pending.Key, "any"))
			assert.False(t, w.clearHeld(), "what was read meanwhile is not to be used: the L1 does not ask the queue")
			w.wire.refuse(nil)
			require.NoError(t, w.Pending.Flush(t.Context()))
			assert.NotEqual(t, older.String(), w.tokenAt(w.Space.Clear()))
		})
	}
	in(t, "or when the cache closes", func(t *testing.T, w *world) {
		time.AfterFunc(time.Second/2, w.shut)
		require.ErrorIs(t, w.InvalidateAll(t.Context()), load.ErrClosed)
	})
}

func TestInvalidateAllOutlivesItsContextAndTellsOfIt(t *testing.T) {
	in(t, "that was over before", func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, w.InvalidateAll(ctx), context.Canceled)
		assert.NotEmpty(t, w.tokenAt(w.Space.Clear()), "it is minted all the same")
		assert.Zero(t, w.Pending.Len())
	})
	in(t, "that ends during the second", func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		require.ErrorIs(t, w.InvalidateAll(ctx), context.DeadlineExceeded)
		assert.Zero(t, w.Pending.Len())
	})
}
