package bus_test

import (
	"context"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/redistest"
)

// promptly is what Close may take on a busy machine; the waits that it must not
// share (dialling, a read of a black hole) are of 5 s and more.
const promptly = 3 * time.Second

// TestCloseAtAnyPoint is scenario 28's part of the bus: whatever it is doing, it
// ends, and leaves nothing.
func TestCloseAtAnyPoint(t *testing.T) {
	s := redistest.Single(t)
	for name, prepare := range map[string]func(*redistest.Proxy){
		"while it works":     func(*redistest.Proxy) {},
		"on a cut link":      (*redistest.Proxy).Cut,
		"in a black hole":    (*redistest.Proxy).Swallow,
		"without any answer": (*redistest.Proxy).SwallowReplies,
	} {
		t.Run(name, func(t *testing.T) {
			ignore := goleak.IgnoreCurrent()
			p, err := redistest.ListenProxy(s.Addr())
			require.NoError(t, err)
			for range 10 {
				client := redis.NewClient(&redis.Options{Addr: p.Addr(), DialTimeout: time.Minute, ReadTimeout: 100 * time.Millisecond})
				b := bus.Open(client, bus.Options{Ping: 5 * time.Millisecond, Silence: 20 * time.Millisecond})
				e := newEar()
				for range rand.N(4) {
					b.Join(channel, e)
				}
				if rand.N(2) == 0 {
					time.Sleep(rand.N(20 * time.Millisecond)) // any point
				}
				prepare(p)
				time.Sleep(rand.N(40 * time.Millisecond))
				began := time.Now()
				err := b.Close()
				assert.Less(t, time.Since(began), promptly)
				if err != nil {
					require.ErrorIs(t, err, bus.ErrStuck)
				}
				heal(t, p) // lets a handshake end that was swallowed
				assert.NoError(t, client.Close())
			}
			p.Close()
			goleak.VerifyNone(t, ignore)
		})
	}
}

// A dial that takes for ever is cancelled.
func TestCloseInterruptsADial(t *testing.T) {
	dialling := make(chan struct{}, 1)
	client := redis.NewClient(&redis.Options{
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialling <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	b := bus.Open(client, bus.Options{})
	b.Join(channel, newEar())
	<-dialling
	require.NoError(t, b.Close())
}

// A dead Redis is no error for the bus: it waits for it.
func TestItWaitsForADeadRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Single(t)
	s.Kill()
	client := s.Client(t, func(o *redis.Options) { o.MaxRetries = -1 })
	b := open(t, client, bus.Options{})
	e := newEar()
	m := b.Join(channel, e)
	require.Error(t, b.Publish(t.Context(), channel, "to nobody"))
	assert.False(t, m.Up())
	assert.Zero(t, b.Proven())
	s.Restart()
	e.await(t, back, 1)
	assert.Equal(t, []string{back}, e.all())
}
