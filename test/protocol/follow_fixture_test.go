package protocol_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// fakeLog is an InvalidationLog in memory.
type fakeLog struct {
	nextFails, doneFails func() error              // nil: never
	finishing            func(done []cache.Change) // called by each Done
	patience             bool                      // false: Next does not wait
	more                 chan struct{}             // has an element after something was added
	mu                   sync.Mutex                // protects following
	left                 []cache.Change            // those that are not done
	done                 []string                  // the IDs of the others
	nexts                []time.Time               // when Next was called
}

func newFakeLog(changes ...cache.Change) *fakeLog {
	return &fakeLog{left: changes, patience: true, more: make(chan struct{}, 1)}
}

func (l *fakeLog) add(changes ...cache.Change) {
	l.mu.Lock()
	l.left = append(l.left, changes...)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *fakeLog) Next(ctx context.Context) ([]cache.Change, error) {
	l.mu.Lock()
	l.nexts = append(l.nexts, time.Now())
	l.mu.Unlock()
	if l.nextFails != nil {
		if err := l.nextFails(); err != nil {
			return nil, err
		}
	}
	for {
		if left := l.undone(); len(left) > 0 || !l.patience {
			return left, nil
		}
		select {
		case <-l.more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *fakeLog) Done(_ context.Context, changes []cache.Change) error {
	if l.finishing != nil {
		l.finishing(changes)
	}
	if l.doneFails != nil {
		if err := l.doneFails(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		l.left = slices.DeleteFunc(l.left, func(left cache.Change) bool { return left.ID == c.ID })
		l.done = append(l.done, c.ID)
	}
	return nil
}

func (l *fakeLog) undone() []cache.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.left)
}

func (l *fakeLog) finished() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.done)
}

func (l *fakeLog) asked() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.nexts)
}

// witness is an Invalidator that remembers what it was called with.
type witness struct {
	fails func(call string) error // nil: never
	mu    sync.Mutex              // protects following
	calls []string                // those that returned nil
	tries []time.Time
}

func (w *witness) called(format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries = append(w.tries, time.Now())
	if w.fails != nil {
		if err := w.fails(call); err != nil {
			return err
		}
	}
	w.calls = append(w.calls, call)
	return nil
}

func (w *witness) Invalidate(_ context.Context, keys ...string) error {
	return w.called("keys %v", keys)
}

func (w *witness) InvalidateTags(_ context.Context, tags ...string) error {
	return w.called("tags %v", tags)
}

func (w *witness) InvalidateAll(context.Context) error { return w.called("all") }

func (w *witness) accepted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *witness) tried() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.tries)
}

// times is a failure of the first n calls.
func times(n int, err error) func() error {
	var mu sync.Mutex
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}

// following runs Follow in the background; end stops it and returns its error.
func following(t testing.TB, log cache.InvalidationLog, to ...cache.Invalidator) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cache.Follow(ctx, log, to...) }()
	end = sync.OnceValue(func() error {
		cancel()
		return testkit.Soon(t, ended, "the end of Follow")
	})
	t.Cleanup(func() { _ = end() })
	return end
}

// assertPauses checks that n follow each other at the distances of the back-off.
func assertPauses(t testing.TB, at []time.Time, n int) {
	t.Helper()
	if !assert.Greater(t, len(at), n) {
		return
	}
	want := 50 * time.Millisecond
	for i := range n {
		pause := at[i+1].Sub(at[i])
		assert.GreaterOrEqual(t, pause, want*3/4, "pause %d", i)
		assert.LessOrEqual(t, pause, want*5/4, "pause %d", i)
		want = min(2*want, time.Second)
	}
}
