package bus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/bus"
)

// exchange is a Redis made of channels, whose connections misbehave as told: for
// what no real server does on demand, and for bubbles of testing/synctest.
type exchange struct {
	refuse atomic.Bool   // connections fail
	mute   atomic.Bool   // PINGs are not answered
	slow   atomic.Bool   // subscriptions are not confirmed
	broken atomic.Bool   // PINGs cannot be written
	stuck  chan struct{} // if not nil, reads that fail wait for it

	mu    sync.Mutex
	wires []*wire
	dials []time.Time
}

// wire is one connection to an exchange.
type wire struct {
	x      *exchange
	in     chan any
	closed chan struct{}
	once   sync.Once
	asked  atomic.Value // payload of the latest PING
}

var errWire = errors.New("broken wire")

// connect is for Options.Connect.
func (x *exchange) connect() bus.Conn {
	w := &wire{x: x, in: make(chan any, 100), closed: make(chan struct{})}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wires, x.dials = append(x.wires, w), append(x.dials, time.Now())
	return w
}

// last returns the connection of now, and how many there were.
func (x *exchange) last() (*wire, int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.wires[len(x.wires)-1], len(x.wires)
}

func (w *wire) confirm(channel string) {
	w.in <- &redis.Subscription{Kind: "subscribe", Channel: channel}
}

func (w *wire) say(payload string) { w.in <- &redis.Message{Channel: channel, Payload: payload} }

func (w *wire) Subscribe(_ context.Context, channels ...string) error {
	if w.x.refuse.Load() {
		return errWire
	}
	for _, c := range channels {
		if !w.x.slow.Load() {
			w.confirm(c)
		}
	}
	return nil
}

func (w *wire) Unsubscribe(_ context.Context, channels ...string) error {
	for _, c := range channels {
		w.in <- &redis.Subscription{Kind: "unsubscribe", Channel: c}
	}
	return nil
}

func (w *wire) Ping(_ context.Context, payload ...string) error {
	w.asked.Store(payload[0])
	switch {
	case w.x.broken.Load():
		return errWire
	case !w.x.mute.Load():
		w.answer()
	}
	return nil
}

// answer answers the latest PING.
func (w *wire) answer() { w.in <- &redis.Pong{Payload: w.asked.Load().(string)} }

func (w *wire) ReceiveTimeout(_ context.Context, timeout time.Duration) (any, error) {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case m := <-w.in:
		return m, nil
	case <-w.closed:
	case <-t.C:
	}
	if w.x.stuck != nil { // as go-redis, which dials again before it returns
		<-w.x.stuck
	}
	return nil, errWire
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// openWire returns a bus over the exchange, to be closed by the test.
func openWire(x *exchange, o bus.Options) *bus.Bus {
	o.Connect = x.connect
	return bus.Open(nil, o)
}

// listen joins, and waits for the subscription.
func listen(t *testing.T, b *bus.Bus) (*ear, *bus.Membership) {
	t.Helper()
	e := newEar()
	m := b.Join(channel, e)
	e.await(t, back, 1)
	return e, m
}
