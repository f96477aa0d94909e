package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/mono"
)

const (
	defaultPing    = 500 * time.Millisecond
	defaultSilence = 2 * time.Second
	// closeWait is how long Close waits for a go-redis that honours neither
	// cancellation nor deadlines while it connects.
	closeWait = time.Second
)

// ErrStuck says that Close left a goroutine behind: it waits for the client,
// which is connecting without regard to its context, and ends with that.
var ErrStuck = errors.New("bus: the client is still connecting; it was left to end by itself")

// Options configures a Bus. The zero value works.
type Options struct {
	// Ping is the interval of PINGs; zero or less is 500 ms.
	Ping time.Duration
	// Silence is how long after the last PING that was answered the subscription
	// counts as lost; less than two Pings is 2 s or four Pings, whichever is more.
	Silence time.Duration
	// Now is the clock of [Bus.Proven], positive nanoseconds that never run
	// backwards; nil is [mono.Now].
	Now func() int64
	// Tick, if not nil, is called once every Ping, on a goroutine of its own,
	// with a context that ends with Close, which waits for it. A call that takes
	// longer delays the next and nothing else.
	Tick func(ctx context.Context)
	// Connect, if not nil, makes the connections in place of the client: for
	// tests. It must not block; what takes time belongs into Subscribe.
	Connect func() Conn
}

func (o Options) withDefaults() Options {
	if o.Ping <= 0 {
		o.Ping = defaultPing
	}
	if o.Silence < 2*o.Ping {
		o.Silence = max(defaultSilence, 4*o.Ping)
	}
	if o.Now == nil {
		o.Now = mono.Now
	}
	return o
}

// Bus is a subscription. It is safe for concurrent use.
//
// Goroutines: one keeper for its life; and for each node that it listens to (one,
// but on a Ring) a receiver for its life, and a pinger and a closer for the
// connection of now. Close ends them all.
type Bus struct {
	client redis.UniversalClient
	o      Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{} // closed when all goroutines have ended

	proven atomic.Int64   // Proven
	wg     sync.WaitGroup // receivers

	// mu guards what follows, and is held while a listener is called, so that
	// calls come one after the other whichever goroutine makes them.
	mu       sync.Mutex
	channels map[string]map[*Membership]struct{}
	links    []*link
	deaf     error  // Deaf
	seq      uint64 // of the latest PING, on whichever connection
}

// Open returns a Bus over the client's server. It does no I/O: the connection is
// made when somebody joins. The caller closes the Bus before the client.
func Open(client redis.UniversalClient, o Options) *Bus {
	b := &Bus{client: client, o: o.withDefaults(), done: make(chan struct{}), channels: map[string]map[*Membership]struct{}{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.relink()
	go b.keep()
	return b
}

// keep is the keeper: it calls Tick and looks whether a Ring has other shards.
func (b *Bus) keep() {
	defer close(b.done)
	defer b.wg.Wait()
	ticker := time.NewTicker(b.o.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-ticker.C:
		}
		b.relink()
		if b.o.Tick != nil {
			b.o.Tick(b.ctx)
		}
	}
}

// Proven returns when the last PING was sent that was answered, as a time of
// Options.Now; the oldest of the nodes if there are several. Zero if never. Who
// serves what is kept compares it with now: in between messages may have been
// missed without anybody having noticed. It costs one atomic load.
func (b *Bus) Proven() int64 { return b.proven.Load() }

// Deaf returns why nothing is heard: what ended the last connection, or kept one from
// being made, as an ACL that does not allow the channels. It is nil while messages are
// heard, and before the first attempt has ended.
func (b *Bus) Deaf() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deaf
}

// Publish sends a message through the client, to hear whether it comes back. It
// says nothing about who hears it. Errors are the client's.
func (b *Bus) Publish(ctx context.Context, channel, payload string) error {
	return b.client.Publish(ctx, channel, payload).Err()
}

// Close ends the subscription. No listener is called once it has returned, and
// none is told. It returns promptly, whatever Redis does: [ErrStuck] after a
// second if the client could not be interrupted. A second call does the same. It
// must not be called by a listener or by Tick.
func (b *Bus) Close() error {
	b.mu.Lock()
	clear(b.channels)
	b.mu.Unlock()
	b.cancel()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-b.done:
		return nil
	case <-timer.C:
		return ErrStuck
	}
}
