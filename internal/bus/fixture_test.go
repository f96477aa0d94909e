package bus_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/mono"
)

const (
	channel = "notes!i"
	// patience is how long a test waits for what should come at once.
	patience = 20 * time.Second
	lost     = "<lost>"
	back     = "<back>"
)

// ear is a Listener that remembers what it was called with, in order.
type ear struct {
	mu    sync.Mutex
	heard []string
	at    []time.Time
	more  chan struct{}

	onLost func() // set before it joins
}

func newEar() *ear { return &ear{more: make(chan struct{}, 1)} }

func (e *ear) Message(payload string) { e.note(payload) }
func (e *ear) Back()                  { e.note(back) }

func (e *ear) Lost() {
	e.note(lost)
	if e.onLost != nil {
		e.onLost()
	}
}

func (e *ear) note(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard, e.at = append(e.heard, what), append(e.at, time.Now())
	select {
	case e.more <- struct{}{}:
	default:
	}
}

// all returns what was heard so far.
func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// await waits until what was heard n times, and returns when that was.
func (e *ear) await(t *testing.T, what string, n int) time.Time {
	t.Helper()
	timeout := time.After(patience)
	for {
		if at, ok := e.nth(what, n); ok {
			return at
		}
		select {
		case <-e.more:
		case <-timeout:
			require.Failf(t, "not heard", "%s %d times: %q", what, n, e.all())
		}
	}
}

func (e *ear) nth(what string, n int) (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, h := range e.heard {
		if h == what {
			n--
		}
		if n == 0 {
			return e.at[i], true
		}
	}
	return time.Time{}, false
}

// open returns a bus that ends with the test, and promptly.
func open(t *testing.T, client redis.UniversalClient, o bus.Options) *bus.Bus {
	t.Helper()
	b := bus.Open(client, o)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return b
}

// publish sends a message as another process would.
func publish(t *testing.T, client redis.UniversalClient, payload string) {
	t.Helper()
	require.NoError(t, client.Publish(t.Context(), channel, payload).Err())
}

// age returns how long ago the bus was proven to hear.
func age(b *bus.Bus) time.Duration { return time.Duration(mono.Now() - b.Proven()) }
