package redistest_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

// proxied runs test against a proxy in front of miniredis and of a real server.
func proxied(t *testing.T, test func(t *testing.T, p *redistest.Proxy)) {
	t.Run("miniredis", func(t *testing.T) {
		test(t, redistest.NewProxy(t, miniredis.RunT(t).Addr()))
	})
	t.Run("redis", func(t *testing.T) {
		test(t, redistest.NewProxy(t, redistest.Single(t).Addr()))
	})
}

// through returns a client of p.
func through(t *testing.T, p *redistest.Proxy, mutate ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{
		Addr:                     p.Addr(),
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	for _, m := range mutate {
		m(o)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// command returns a matcher for commands of one name.
func command(name string) func([][]byte) bool {
	return func(args [][]byte) bool { return strings.EqualFold(string(args[0]), name) }
}

func TestProxyCountsRoundTripsAndCommands(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		ctx, c := t.Context(), through(t, p)
		require.NoError(t, c.Set(ctx, "k", "v", 0).Err())
		assert.Equal(t, [2]int64{1, 1}, counts(p), "the handshake does not count")
		assert.Positive(t, p.CommandsNamed("HELLO"))

		p.Reset()
		for range 5 {
			require.Equal(t, "v", c.Get(ctx, "k").Val())
		}
		assert.Equal(t, [2]int64{5, 5}, counts(p))

		p.Reset()
		_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for range 50 {
				pipe.Get(ctx, "k")
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, [2]int64{1, 50}, counts(p), "a pipeline is one round trip")
		assert.Equal(t, int64(50), p.CommandsNamed("get"))

		p.Reset()
		require.NoError(t, c.Ping(ctx).Err())
		assert.Equal(t, [2]int64{0, 0}, counts(p))
	})
}

// counts returns exchanges and commands.
func counts(p *redistest.Proxy) [2]int64 { return [2]int64{p.Exchanges(), p.Commands()} }

func TestProxyCarriesLargePipelinesAsOneRoundTrip(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		ctx, c := t.Context(), through(t, p)
		value := strings.Repeat("x", 10_007) // 100 of them leave in some 30 pieces
		require.NoError(t, c.Ping(ctx).Err())
		cmds, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for range 100 {
				pipe.Set(ctx, "k", value, 0)
				pipe.Get(ctx, "k")
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, value, cmds[199].(*redis.StringCmd).Val())
		assert.Equal(t, [2]int64{1, 200}, counts(p))
	})
}

// A pipeline that comes in pieces goes on while a reply is owed.
func TestPiecesOfAPipelineAreOneRoundTrip(t *testing.T) {
	p := redistest.NewProxy(t, miniredis.RunT(t).Addr())
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	held := p.HoldRequest(command("incr"))
	piece := []byte("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n")
	for i := range 2 {
		_, err = c.Write(piece)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return p.Commands() == int64(i+1) }, patience, tick)
	}
	<-held.Reached()
	held.Release()
	answers := make([]byte, len(":1\r\n:2\r\n"))
	_, err = io.ReadFull(c, answers)
	require.NoError(t, err)
	assert.Equal(t, [2]int64{1, 2}, counts(p))

	_, err = c.Write(piece)
	require.NoError(t, err)
	_, err = io.ReadFull(c, answers[:4])
	require.NoError(t, err)
	assert.Equal(t, [2]int64{2, 3}, counts(p), "the next begins when all is answered")
}

func TestProxyCarriesEveryKindOfReply(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		proxied(t, func(t *testing.T, p *redistest.Proxy) {
			ctx := t.Context()
			c := through(t, p, func(o *redis.Options) { o.Protocol = protocol })
			require.NoError(t, c.HSet(ctx, "h", "a", "1", "b", "").Err())
			assert.Equal(t, map[string]string{"a": "1", "b": ""}, c.HGetAll(ctx, "h").Val())
			assert.ErrorIs(t, c.Get(ctx, "none").Err(), redis.Nil)
			assert.ErrorContains(t, c.Get(ctx, "h").Err(), "WRONGTYPE")
			assert.Equal(t, []any{nil, nil}, c.MGet(ctx, "x", "y").Val())
			require.NoError(t, c.ZAdd(ctx, "z", redis.Z{Score: 1.5, Member: "m"}).Err())
			assert.Equal(t, 1.5, c.ZScore(ctx, "z", "m").Val())
			assert.Empty(t, c.HGetAll(ctx, "none").Val())
			nested, err := c.Eval(ctx, "return {1,{'a',false,{}},'b'}", nil).Result()
			require.NoError(t, err)
			assert.Equal(t, []any{int64(1), []any{"a", nil, []any{}}, "b"}, nested)
			_, err = c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				return pipe.Incr(ctx, "n").Err()
			})
			require.NoError(t, err)
			assert.Equal(t, int64(9+1), p.Exchanges())
		})
	}
}

func TestProxyCarriesMessages(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		proxied(t, func(t *testing.T, p *redistest.Proxy) {
			c := through(t, p, func(o *redis.Options) { o.Protocol = protocol })
			sub := c.Subscribe(t.Context(), "ch")
			defer sub.Close()
			_, err := sub.Receive(t.Context())
			require.NoError(t, err)
			for _, text := range []string{"one", "two"} {
				require.NoError(t, c.Publish(t.Context(), "ch", text).Err())
				m, err := sub.ReceiveMessage(t.Context())
				require.NoError(t, err)
				assert.Equal(t, text, m.Payload)
			}
		})
	}
}

func TestProxyCountsUnderConcurrentConnections(t *testing.T) {
	p := redistest.NewProxy(t, miniredis.RunT(t).Addr())
	c := through(t, p)
	const workers, each = 8, 50
	done := make(chan error, workers)
	for range workers {
		go func() {
			var err error
			for range each {
				err = firstError(err, c.Incr(context.Background(), "n").Err())
			}
			done <- err
		}()
	}
	for range workers {
		require.NoError(t, <-done)
	}
	assert.Equal(t, [2]int64{workers * each, workers * each}, counts(p))
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func TestProxyWithoutTargetClosesConnections(t *testing.T) {
	m := miniredis.RunT(t)
	p := redistest.NewProxy(t, m.Addr())
	m.Close()
	assert.Error(t, through(t, p, once).Ping(t.Context()).Err())
	require.NoError(t, m.Restart())
	assert.NoError(t, through(t, p, once).Ping(t.Context()).Err())
}

func TestClosedProxyRefusesForGood(t *testing.T) {
	p, err := redistest.ListenProxy(miniredis.RunT(t).Addr())
	require.NoError(t, err)
	c := through(t, p, once)
	require.NoError(t, c.Ping(t.Context()).Err())
	p.Close()
	p.Close()
	require.NoError(t, p.Heal())
	assert.Error(t, c.Ping(t.Context()).Err())
}

func TestProxyDelaysEachWay(t *testing.T) {
	p := redistest.NewProxy(t, miniredis.RunT(t).Addr())
	c := through(t, p)
	require.NoError(t, c.Ping(t.Context()).Err())
	p.Delay(40 * time.Millisecond)
	begin := time.Now()
	_, err := c.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for range 100 {
			pipe.Get(t.Context(), "k")
		}
		return nil
	})
	assert.ErrorIs(t, err, redis.Nil)
	took := time.Since(begin)
	assert.GreaterOrEqual(t, took, 80*time.Millisecond)
	assert.Less(t, took, 4*time.Second, "a pipeline is delayed once, not by 8 s")
	assert.Equal(t, int64(1), p.Exchanges())
}
