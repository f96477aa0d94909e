package region

import (
	"context"
	"sync"
	"time"

	"github.com/larder-go/cache/internal/load"
)

// Background counts the goroutines of a cache that are no flights: they must have ended
// before Close returns. Make it with newBackground.
type Background struct {
	mu      sync.Mutex // protects following
	closed  bool
	running sync.WaitGroup

	closing chan struct{}
}

func newBackground() *Background { return &Background{closing: make(chan struct{})} }

// Start counts one goroutine more, which calls End. It reports false after Close.
func (b *Background) Start() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.running.Add(1)
	return true
}

// End is the last thing that a goroutine does.
func (b *Background) End() { b.running.Done() }

// Closing is closed when the cache begins to close.
func (b *Background) Closing() <-chan struct{} { return b.closing }

// Sleep waits for d, for ctx, or for Close: the error is ctx's, or load.ErrClosed.
func (b *Background) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-b.closing:
		return load.ErrClosed
	}
}

// Shut ends the sleeps. It is called once.
func (b *Background) Shut() { close(b.closing) }

// Close waits for the goroutines, and lets no other start.
func (b *Background) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.running.Wait()
}
