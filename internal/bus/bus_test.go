package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/redistest"
)

// eachServer runs the test on a real server and on miniredis, over both protocols.
func eachServer(t *testing.T, test func(t *testing.T, client *redis.Client)) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("Redis, RESP%d", protocol), func(t *testing.T) {
			s := redistest.Single(t)
			test(t, s.Client(t, func(o *redis.Options) { o.Protocol = protocol }))
		})
		t.Run(fmt.Sprintf("miniredis, RESP%d", protocol), func(t *testing.T) {
			client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), Protocol: protocol})
			t.Cleanup(func() { assert.NoError(t, client.Close()) })
			test(t, client)
		})
	}
}

func TestMessagesComeInTheirOrder(t *testing.T) {
	eachServer(t, func(t *testing.T, client *redis.Client) {
		b, e := open(t, client, bus.Options{}), newEar()
		assert.Zero(t, b.Proven())
		m := b.Join(channel, e)
		e.await(t, back, 1)
		assert.True(t, m.Up())
		assert.Less(t, age(b), time.Minute)
		want := []string{back}
		for i := range 500 {
			payload := fmt.Sprint("k", i)
			want = append(want, payload)
			if i%2 == 0 {
				publish(t, client, payload)
			} else {
				require.NoError(t, b.Publish(t.Context(), channel, payload))
			}
		}
		e.await(t, "k499", 1)
		assert.Equal(t, want, e.all())
	})
}

func TestChannelsJoinAndLeaveOneConnection(t *testing.T) {
	eachServer(t, func(t *testing.T, client *redis.Client) {
		b := open(t, client, bus.Options{})
		first, second, other := newEar(), newEar(), newEar()
		m := b.Join(channel, first)
		first.await(t, back, 1)
		b.Join(channel, second)
		o := b.Join("other", other)
		second.await(t, back, 1)
		other.await(t, back, 1)
		publish(t, client, "both")
		first.await(t, "both", 1)
		second.await(t, "both", 1)

		m.Leave()
		m.Leave()
		o.Leave()
		assert.False(t, m.Up())
		publish(t, client, "one")
		second.await(t, "one", 1)
		again := newEar()
		b.Join("other", again)
		again.await(t, back, 1)
		require.NoError(t, b.Publish(t.Context(), "other", "again"))
		again.await(t, "again", 1)

		assert.Equal(t, []string{back, "both"}, first.all())
		assert.Equal(t, []string{back, "both", "one"}, second.all())
		assert.Equal(t, []string{back}, other.all())
	})
}

func TestTickIsCalledUntilClose(t *testing.T) {
	s := redistest.Single(t)
	ticks := make(chan context.Context)
	b := open(t, s.Client(t), bus.Options{Ping: 10 * time.Millisecond, Tick: func(ctx context.Context) {
		select {
		case ticks <- ctx:
		case <-ctx.Done():
		}
	}})
	<-ticks
	ctx := <-ticks
	require.NoError(t, ctx.Err())
	require.NoError(t, b.Close())
	require.Error(t, ctx.Err())
}
