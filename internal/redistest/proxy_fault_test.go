package redistest_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

func TestCutLinkRefusesUntilHealed(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p, once)
		require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
		p.Cut()
		_, err := net.Dial("tcp", p.Addr())
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		assert.Error(t, c.Get(t.Context(), "k").Err())
		require.NoError(t, p.Heal())
		assert.Equal(t, "v", c.Get(t.Context(), "k").Val())
	})
}

func TestClosedConnectionsAreReplaced(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p)
		require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
		p.CloseConns()
		assert.Equal(t, "v", c.Get(t.Context(), "k").Val())
	})
}

// Two connections share the link, and each direction has one of its own.
func TestALimitedLinkTakesItsTime(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p)
		p.Limit(1 << 20)
		began := time.Now()
		var both sync.WaitGroup
		for _, key := range []string{"a", "b"} {
			both.Go(func() { assert.NoError(t, c.Set(t.Context(), key, make([]byte, 64<<10), 0).Err()) })
		}
		both.Wait()
		assert.GreaterOrEqual(t, time.Since(began), 125*time.Millisecond)
		began = time.Now()
		require.NoError(t, c.Get(t.Context(), "a").Err())
		assert.GreaterOrEqual(t, time.Since(began), 60*time.Millisecond, "replies")
		p.Limit(0)
		require.NoError(t, c.Set(t.Context(), "a", make([]byte, 1<<20), 0).Err())
	})
}

func TestBlackHoleAcceptsAndSwallows(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		direct := through(t, p, once)
		require.NoError(t, direct.Set(t.Context(), "n", 0, 0).Err())
		p.Reset()
		p.Swallow()
		assert.True(t, isTimeout(direct.Incr(briefly(t), "n").Err()), "an old connection")
		fresh := through(t, p, once)
		assert.True(t, isTimeout(fresh.Incr(briefly(t), "n").Err()), "a new connection")
		assert.Zero(t, p.Exchanges())
		require.NoError(t, p.Heal())
		assert.Equal(t, "0", fresh.Get(t.Context(), "n").Val(), "nothing reached the server")
		assert.Equal(t, "0", direct.Get(t.Context(), "n").Val())
	})
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func TestSwallowedRepliesBelongToExecutedCommands(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p, once)
		require.NoError(t, c.Set(t.Context(), "n", 0, 0).Err())
		p.SwallowReplies()
		for p.Swallowed() == 0 { // a busy machine may be late with the command itself
			assert.True(t, isTimeout(c.Incr(briefly(t), "n").Err()))
		}
		swallowed := p.Swallowed()
		require.NoError(t, p.Heal())
		assert.Equal(t, strconv.FormatInt(swallowed, 10), c.Get(t.Context(), "n").Val(), "the command was executed")
	})
}

// A healed link must not deliver the reply of a swallowed command to the next.
func TestHealClosesConnectionsThatLostSomething(t *testing.T) {
	p := redistest.NewProxy(t, miniredis.RunT(t).Addr())
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("*1\r\n$4\r\nPING\r\n"))
	require.NoError(t, err)
	answer := make([]byte, 7)
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	p.SwallowReplies()
	_, err = c.Write([]byte("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.Swallowed() == 1 }, patience, tick)
	require.NoError(t, p.Heal())
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = c.Read(answer)
	require.Error(t, err)
	assert.False(t, isTimeout(err), "it is closed")
}

func TestDroppedReplyBelongsToAnExecutedCommand(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p, once)
		require.NoError(t, c.Ping(t.Context()).Err())
		p.DropReply(3)
		failed := 0
		for range 9 {
			if c.Incr(t.Context(), "n").Err() != nil {
				failed++
			}
		}
		assert.Equal(t, 3, failed)
		p.DropReply(0)
		assert.Equal(t, "9", c.Get(t.Context(), "n").Val())
	})
}

func TestRetryingClientExecutesTwiceWhenAReplyIsDropped(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p)
		p.DropReplyTo(command("incr"))
		assert.Equal(t, int64(2), c.Incr(t.Context(), "n").Val())
		assert.Equal(t, int64(3), c.Incr(t.Context(), "n").Val(), "only once")
	})
}

func TestHeldReplyBelongsToAnExecutedCommand(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p)
		held := p.Hold(func(args [][]byte) bool {
			return command("set")(args) && string(args[1]) == "k"
		})
		require.NoError(t, c.Set(t.Context(), "other", "v", 0).Err())
		answer := make(chan error, 1)
		go func() { answer <- c.Set(context.Background(), "k", "v", 0).Err() }()
		<-held.Reached()
		assert.Equal(t, "v", c.Get(t.Context(), "k").Val(), "others go on")
		assert.Empty(t, answer)
		held.Release()
		held.Release()
		assert.NoError(t, <-answer)
		assert.NoError(t, c.Set(t.Context(), "k", "w", 0).Err(), "only once")
	})
}

func TestHeldRequestHasNotReachedTheServer(t *testing.T) {
	proxied(t, func(t *testing.T, p *redistest.Proxy) {
		c := through(t, p)
		held := p.HoldRequest(command("set"))
		answer := make(chan error, 1)
		go func() { answer <- c.Set(context.Background(), "k", "v", 0).Err() }()
		<-held.Reached()
		assert.ErrorIs(t, c.Get(t.Context(), "k").Err(), redis.Nil)
		assert.Empty(t, answer)
		held.Release()
		assert.NoError(t, <-answer)
		assert.Equal(t, "v", c.Get(t.Context(), "k").Val())
	})
}

func TestHoldsEachTakeOneCommand(t *testing.T) {
	p := redistest.NewProxy(t, miniredis.RunT(t).Addr())
	c := through(t, p)
	unused := p.Hold(command("get"))
	unused.Release()
	assert.ErrorIs(t, c.Get(t.Context(), "k").Err(), redis.Nil, "withdrawn")
	reply, request := p.Hold(command("get")), p.HoldRequest(command("get"))
	answer := make(chan error, 1)
	go func() { answer <- c.Get(context.Background(), "k").Err() }()
	<-request.Reached()
	request.Release()
	<-reply.Reached()
	reply.Release()
	assert.ErrorIs(t, <-answer, redis.Nil)
}

func TestClosingReleasesWhatIsHeld(t *testing.T) {
	p := redistest.NewProxy(t, miniredis.RunT(t).Addr())
	c := through(t, p, once)
	held := p.Hold(command("get"))
	answer := make(chan error, 1)
	go func() { answer <- c.Get(context.Background(), "k").Err() }()
	<-held.Reached()
	p.Close()
	assert.Error(t, <-answer)
	assert.NotErrorIs(t, c.Get(t.Context(), "k").Err(), redis.Nil)
}
