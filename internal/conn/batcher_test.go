package conn_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

// patient is a store through a proxy, on a real server, that does not give up.
func patient(t *testing.T) (*conn.Client, *redistest.Proxy, *redis.Client) {
	t.Helper()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	client := redis.NewClient(&redis.Options{
		Addr: proxy.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1, Protocol: 2, DisableIdentity: true,
		ReadTimeout: patience,
	})
	s := conn.New(client, conn.Options{ReadBudget: patience})
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		_ = client.Close()
	})
	return s, proxy, server.Client(t)
}

// readsHeld keeps as many reads on their way as may be.
func readsHeld(t *testing.T, s *conn.Client, p *redistest.Proxy) (release func()) {
	t.Helper()
	return keepOut(t, p, conn.ReadsOut, func(key string) error { _, err := read(context.Background(), s, key); return err })
}

// readOf says whether args read key, alone or as the first of several.
func readOf(key string) func(args [][]byte) bool {
	return func(args [][]byte) bool {
		return (bytes.EqualFold(args[0], []byte("get")) || bytes.EqualFold(args[0], []byte("mget"))) && string(args[1]) == key
	}
}

// keepOut keeps n reads on their way.
func keepOut(t *testing.T, p *redistest.Proxy, n int, read func(key string) error) (release func()) {
	t.Helper()
	var held []*redistest.Held
	var out sync.WaitGroup
	for i := range n {
		key := fmt.Sprintf("held %d", i)
		h := p.Hold(readOf(key))
		held = append(held, h)
		out.Go(func() { assert.NoError(t, read(key)) })
		<-h.Reached()
	}
	return func() {
		for _, h := range held {
			h.Release()
		}
		out.Wait()
	}
}

func TestReadersWhoComeWhileOthersAreOutShareOnePipeline(t *testing.T) {
	s, p, beside := patient(t)
	s.NodeOf(t.Context(), "k").Learn(conn.IsOther)
	ctx := t.Context()
	for i := range 50 {
		require.NoError(t, beside.Set(ctx, fmt.Sprint(i), fmt.Sprint("value ", i), time.Minute).Err())
	}
	require.NoError(t, beside.HSet(ctx, "hash", "f", "v").Err())
	release := readsHeld(t, s, p)
	p.Reset()
	var readers sync.WaitGroup
	for i := range 200 { // four for each key
		readers.Go(func() {
			rec, err := read(ctx, s, fmt.Sprint(i%50))
			assert.NoError(t, err)
			assert.Equal(t, fmt.Sprint("value ", i%50), string(rec.Data))
			assert.Positive(t, rec.PTTL)
		})
	}
	readers.Go(func() {
		rec, err := read(ctx, s, "hash")
		assert.NoError(t, err)
		assert.True(t, rec.Foreign)
	})
	readers.Go(func() {
		rec, err := read(ctx, s, "nothing")
		assert.NoError(t, err)
		assert.Nil(t, rec.Data)
	})
	require.Eventually(t, func() bool { return conn.Collecting(s) == 202 }, patience, time.Millisecond)
	release()
	readers.Wait()
	assert.EqualValues(t, 52, p.CommandsNamed("get"), "equal keys of one batch are read once")
	assert.EqualValues(t, 1, p.Exchanges(), "and all of them in one pipeline")
}

// A read that is on its way may be answered with what was there before the
// reader came. So it is not joined:
//
//  1. R1's read of v1 has reached Redis, alone or in a batch; its reply is held.
//  2. W writes v2.
//  3. R2 reads the same key. It must get v2.
func TestAReadOnItsWayIsNeverJoined(t *testing.T) {
	for name, clock := range map[string]bool{"with a clock": true, "without": false} {
		for way, out := range map[string]int{"alone": 0, "in a batch": 1} {
			t.Run(name+" "+way, func(t *testing.T) {
				s, p, beside := patient(t)
				ctx := t.Context()
				if clock {
					conn.TellTime(s)
				} else {
					s.NodeOf(ctx, "k").Learn(conn.IsOther)
				}
				require.NoError(t, beside.Set(ctx, "k", "v1", 0).Err())
				release := keepOut(t, p, out, func(key string) error { _, err := read(ctx, s, key); return err })
				h := p.Hold(readOf("k"))
				var first sync.WaitGroup
				first.Go(func() {
					rec, err := read(ctx, s, "k")
					assert.NoError(t, err)
					assert.Equal(t, "v1", string(rec.Data))
				})
				<-h.Reached()
				require.NoError(t, beside.Set(ctx, "k", "v2", 0).Err())
				rec, err := read(ctx, s, "k")
				require.NoError(t, err)
				assert.Equal(t, "v2", string(rec.Data))
				h.Release()
				first.Wait()
				release()
			})
		}
	}
}

func TestAReaderLeavesItsBatchOnItsOwnContext(t *testing.T) {
	s, p, _ := patient(t)
	release := readsHeld(t, s, p)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := read(ctx, s, "k")
		left <- err
	}()
	stays := make(chan error, 1)
	go func() {
		_, err := read(t.Context(), s, "k")
		stays <- err
	}()
	require.Eventually(t, func() bool { return conn.Collecting(s) == 2 }, patience, time.Millisecond)
	cancel()
	assert.ErrorIs(t, <-left, context.Canceled)
	release()
	assert.NoError(t, <-stays)
}

// A frozen server costs nobody more than the budget, counted from the call.
func TestReadersInABatchLeaveWithinTheirBudget(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	s := conn.New(client, conn.Options{})
	require.NoError(t, client.Ping(t.Context()).Err())
	server.Pause()
	const bound = 2*conn.DefaultReadBudget + 200*time.Millisecond
	slowest := time.Hour
	for round := 0; round < 3 && slowest >= bound; round++ { // a busy machine may spoil one
		var took [100]time.Duration
		var readers sync.WaitGroup
		for i := range took {
			readers.Go(func() {
				began := time.Now()
				_, err := read(t.Context(), s, fmt.Sprint(i))
				assert.ErrorIs(t, err, conn.ErrBudget)
				took[i] = time.Since(began)
			})
		}
		readers.Wait()
		slowest = slices.Max(took[:])
	}
	assert.Less(t, slowest, bound)
	server.Resume()
	assert.NoError(t, s.Close())
}

// While replies travel for long, a reader who waits for another's waits for long.
func TestReadersOfAServerFarAwayDoNotWaitForEachOther(t *testing.T) {
	s, p, _ := patient(t)
	ctx := t.Context()
	p.Delay(2 * time.Millisecond)
	for range 3 {
		_, err := read(ctx, s, "k")
		require.NoError(t, err)
	}
	p.Delay(0)
	release := keepOut(t, p, 2*conn.ReadsOut, func(key string) error { // the pool has ten connections for each processor
		_, err := read(ctx, s, key)
		return err
	})
	release()
}
