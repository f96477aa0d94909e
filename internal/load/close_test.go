package load_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/load"
)

// Close ends every caller at once, whatever the batch is doing, and returns when the
// batch has: a step that has a context that ends is ended by it, another one is waited for.
func TestCloseAtEachStep(t *testing.T) {
	stuck := func(ctx context.Context) { // a step that keeps to its context, and has a second without one
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	for _, test := range []struct {
		step   string
		script script
		takes  time.Duration // until Close returns, at most
	}{
		{"acquire", script{}, 0},
		{"poll", script{answers: busy, left: 3 * time.Second, polls: busy, leases: one}, 0},
		{"load", script{}, 0},
		{"renew", script{loads: func(ctx context.Context, k *load.Key) { <-ctx.Done(); k.Err = ctx.Err() }}, 0},
		{"encode", script{}, 3 * time.Second}, // of three keys
		{"commit", script{}, time.Second},
		{"release", script{loads: func(_ context.Context, k *load.Key) { k.Err = errLoader }}, time.Second},
		{"overtaken", script{}, 3 * time.Second},
	} {
		t.Run(test.step, func(t *testing.T) {
			each(t, func(t *testing.T, keys []string) {
				r := newRoom(t)
				reached := make(chan struct{}, 100)
				test.script.block = func(ctx context.Context, step string) {
					if step == test.step {
						reached <- struct{}{}
						stuck(ctx)
					}
					if step == "load" && test.step == "overtaken" {
						r.Detach(keys...)
					}
				}
				call := r.visit(t.Context(), play(test.script), request{keys: keys})
				<-reached
				closed, began := make(chan struct{}), time.Now()
				go func() { r.Close(); close(closed) }()
				for _, end := range <-call {
					assert.NoError(t, end.left)
					assert.ErrorIs(t, end.Err, load.ErrClosed)
				}
				assert.Zero(t, time.Since(began), "callers wait for Close")
				<-closed
				assert.LessOrEqual(t, time.Since(began), test.takes)
				_, err := r.Join("x", load.Caller{})
				assert.ErrorIs(t, err, load.ErrClosed)
				_, ok := r.Begin("x", false)
				assert.False(t, ok)
			})
		})
	}
}

// Close comes between the join and the batch.
func TestCloseBeforeABatchRuns(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r, s := newRoom(t), play(script{})
		var led []*load.Key
		for _, key := range keys {
			seat, err := r.Join(key, load.Caller{})
			assert.NoError(t, err)
			led = append(led, keyOf(&seat))
		}
		go r.Close()
		synctest.Wait()
		r.Run(t.Context(), s, false, led)
		r.Close()
		assert.Empty(t, s.log())
	})
}

// Close while loads wait for a place, and for an overdue loader.
func TestCloseWhileABatchWaits(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r := newRoom(t, func(s *load.Settings) { s.Places = load.NewPlaces(1, 1, func(bool) {}) })
		release := make(chan struct{})
		hangs := play(script{loads: func(context.Context, *load.Key) { <-release }})
		ctx, cancel := context.WithCancel(t.Context())
		r.visit(ctx, hangs, request{keys: keys})
		synctest.Wait()
		cancel() // its loader is overdue now, and has the only place
		synctest.Wait()
		late := r.visit(t.Context(), play(script{}), request{keys: keys})
		placeless := r.visit(t.Context(), play(script{}), request{keys: []string{"x", "y"}})
		synctest.Wait()
		closed := make(chan struct{})
		go func() { r.Close(); close(closed) }()
		for _, call := range []<-chan map[string]ended{late, placeless} {
			for _, end := range <-call {
				assert.ErrorIs(t, end.Err, load.ErrClosed)
			}
		}
		close(release)
		<-closed
	})
}
