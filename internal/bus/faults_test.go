package bus_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/redistest"
)

// through returns a bus that hears s through a proxy.
func through(t *testing.T, s *redistest.Server, o bus.Options) (*redistest.Proxy, *bus.Bus) {
	t.Helper()
	p := redistest.NewProxy(t, s.Addr())
	client := s.Client(t, func(o *redis.Options) { o.Addr = p.Addr() })
	return p, open(t, client, o)
}

// heal ends what was done to the link.
func heal(t *testing.T, p *redistest.Proxy) {
	t.Helper()
	require.NoError(t, p.Heal())
}

// Every message is either heard, or a Lost came that covers it; and after Back
// messages are heard again.
func TestALostConnectionIsNoticedAtOnce(t *testing.T) {
	for name, fault := range map[string]struct {
		breaks, mends func(*testing.T, *redistest.Server, *redistest.Proxy)
	}{
		"the connection is cut": {
			func(_ *testing.T, _ *redistest.Server, p *redistest.Proxy) { p.Cut() },
			func(t *testing.T, _ *redistest.Server, p *redistest.Proxy) { heal(t, p) },
		},
		"the server dies": {
			func(_ *testing.T, s *redistest.Server, _ *redistest.Proxy) { s.Kill() },
			func(_ *testing.T, s *redistest.Server, _ *redistest.Proxy) { s.Restart() },
		},
		"the connection is closed and can be made again": {
			func(_ *testing.T, _ *redistest.Server, p *redistest.Proxy) { p.CloseConns() },
			func(*testing.T, *redistest.Server, *redistest.Proxy) {},
		},
		"the server kills its subscribers": {
			func(t *testing.T, s *redistest.Server, _ *redistest.Proxy) {
				require.NoError(t, s.Client(t).Do(t.Context(), "client", "kill", "type", "pubsub").Err())
			},
			func(*testing.T, *redistest.Server, *redistest.Proxy) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Single(t)
			// Silence would be noticed much later than the test waits.
			p, b := through(t, s, bus.Options{Silence: 10 * patience})
			e, m := listen(t, b)
			publish(t, s.Client(t), "before")
			e.await(t, "before", 1)

			began := time.Now()
			fault.breaks(t, s, p)
			noticed := e.await(t, lost, 1).Sub(began)
			fault.mends(t, s, p)
			mended := time.Now()
			e.await(t, back, 2)
			publish(t, s.Client(t), "after")
			e.await(t, "after", 1)
			assert.True(t, m.Up())
			assert.Equal(t, []string{back, "before", lost, back, "after"}, e.all())
			t.Logf("lost after %v, back %v after the mend", noticed, time.Since(mended))
		})
	}
}

// TestL1BlackHole is what no error tells of: nothing gets through any more, and
// the connection stays. No message that is missed may be missing for longer than
// Silence without either Proven being as old or Lost having been called.
func TestL1BlackHole(t *testing.T) {
	for name, swallow := range map[string]func(*redistest.Proxy){
		"in both directions": (*redistest.Proxy).Swallow,
		"of replies":         (*redistest.Proxy).SwallowReplies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			s := redistest.Single(t)
			other := s.Client(t)
			const silence = time.Second
			p, b := through(t, s, bus.Options{Ping: silence / 4, Silence: silence})
			e, m := listen(t, b)

			swallow(p)
			began := time.Now()
			publish(t, other, "missed")
			var oldest time.Duration // at which the bus still claimed to hear
			for m.Up() {
				oldest = max(oldest, age(b))
				time.Sleep(time.Millisecond)
			}
			noticed := e.await(t, lost, 1).Sub(began)
			// Silence and what a busy machine adds; go-redis' own health check took
			// more than a minute.
			assert.Less(t, noticed, 3*silence)
			assert.Greater(t, oldest, silence/4, "Proven has stopped")
			stopped := b.Proven()

			time.Sleep(silence) // new connections are swallowed as well
			assert.Equal(t, stopped, b.Proven())
			heal(t, p)
			healed := time.Now()
			e.await(t, back, 2)
			publish(t, other, "heard")
			e.await(t, "heard", 1)
			assert.Equal(t, []string{back, lost, back, "heard"}, e.all())
			assert.Greater(t, b.Proven(), stopped)
			t.Logf("lost after %v with Proven %v old, back %v after the heal", noticed, oldest, time.Since(healed))
		})
	}
}

// A server that is stopped keeps its connections, and delivers late.
func TestAStoppedServerIsSilence(t *testing.T) {
	s := redistest.Single(t)
	b := open(t, s.Client(t), bus.Options{Ping: 100 * time.Millisecond, Silence: 400 * time.Millisecond})
	e, _ := listen(t, b)
	s.Pause()
	e.await(t, lost, 1)
	s.Resume()
	e.await(t, back, 2)
	publish(t, s.Client(t), "after")
	e.await(t, "after", 1)
}
