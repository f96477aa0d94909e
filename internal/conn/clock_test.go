package conn_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

func TestTheClockOfRedisIsBetweenItsBounds(t *testing.T) {
	server := redistest.Single(t)
	c := server.Client(t)
	s := open(t, c)
	ctx := t.Context()
	assert.Zero(t, conn.Latest(s), "nothing is known before a read")
	_, err := readAll(ctx, s, redistest.Keys(1)...)
	require.NoError(t, err)
	for range 100 {
		earliest := s.NodeOf(ctx, "k").Earliest() * 1000
		now := c.Time(ctx).Val().UnixMicro()
		latest := conn.Latest(s)
		if latest == 0 {
			_, err := readAll(ctx, s, redistest.Keys(1)...) // the sample is too old by now
			require.NoError(t, err)
			continue
		}
		assert.LessOrEqual(t, earliest, now)
		assert.GreaterOrEqual(t, latest, now)
	}
}

// miniredis lets keys grow old without its clock (FastForward), so a clock is
// believed only of what calls itself Redis.
func TestTheClockOfAnImitationIsNotUsed(t *testing.T) {
	c := redistest.Dial(t, redistest.Mini(t).Addr())
	s := open(t, c)
	for range 3 {
		_, err := readAll(t.Context(), s, redistest.Keys(2)...)
		require.NoError(t, err)
	}
	assert.Zero(t, conn.Latest(s))
	assert.Zero(t, s.NodeOf(t.Context(), "k").Earliest())
}

// timeAskers are what asks for the time on its way.
var timeAskers = map[string]func(*conn.Client, context.Context) error{
	"reads": func(s *conn.Client, ctx context.Context) error {
		_, err := readAll(ctx, s, redistest.Keys(2)...)
		return err
	},
	"scripts that ask": func(s *conn.Client, ctx context.Context) error {
		o := conn.NewOps("time", 1)
		o.Add(conn.NewScript("time", "return redis.call('TIME')").On("k"))
		s.DoAsking(ctx, o)
		return o.Err()
	},
}

func TestReadsAndScriptsThatAskTellTheTime(t *testing.T) {
	for name, ask := range timeAskers {
		t.Run(name, func(t *testing.T) {
			p := redistest.NewProxy(t, redistest.Single(t).Addr())
			s := open(t, redistest.Dial(t, p.Addr()))
			require.NoError(t, ask(s, t.Context()))
			assert.NotZero(t, conn.Latest(s))
			assert.EqualValues(t, 1, p.CommandsNamed("info"))
			assert.EqualValues(t, 1, p.CommandsNamed("time"))
		})
	}
}

func TestAServerThatDoesNotTellItsTimeIsNotAskedAgain(t *testing.T) {
	for _, test := range []struct{ asker, refused string }{
		{"reads", "-time"},
		{"reads", "-info"},
		{"scripts that ask", "-info"}, // this one needs TIME
	} {
		t.Run(test.asker+" "+test.refused, func(t *testing.T) {
			refusesItsTime(t, test.refused, timeAskers[test.asker])
		})
	}
}

// refusesItsTime checks that ask does not repeat what the server refuses it.
func refusesItsTime(t *testing.T, refused string, ask func(*conn.Client, context.Context) error) {
	t.Helper()
	server := redistest.Single(t)
	ctx := t.Context()
	require.NoError(t, server.Client(t).Do(ctx, "acl", "setuser", "reader", "on", "nopass", "~*", "+@all", refused).Err())
	p := redistest.NewProxy(t, server.Addr())
	s := open(t, redistest.Dial(t, p.Addr(), func(o *redis.Options) { o.Username, o.Password = "reader", "any" }))
	for range 3 {
		require.NoError(t, ask(s, ctx))
	}
	assert.Zero(t, conn.Latest(s))
	assert.EqualValues(t, 1, p.CommandsNamed("info"))
	assert.EqualValues(t, 1, p.CommandsNamed("time"))
}

func TestASampleOfTheClockIsUsedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := conn.NewClock()
		assert.Zero(t, c.Latest())
		sent := time.Now()
		time.Sleep(3 * time.Millisecond) // the way there and back
		c.Learn(5_000_000, sent)
		assert.EqualValues(t, 5_003_000, c.Latest(), "counted from when it was asked for")
		assert.EqualValues(t, 5_000_000, c.Earliest(), "and from when it was here")
		time.Sleep(990 * time.Millisecond)
		assert.EqualValues(t, 5_993_000, c.Latest())
		time.Sleep(10 * time.Millisecond)
		assert.Zero(t, c.Latest())
		assert.Zero(t, c.Earliest())
	})
}

// After a server has failed, another may be there, whose clock is not this one's:
//
//  1. R1 asks server A for the time; the reply is late.
//  2. Another operation fails; A is replaced by B.
//  3. R1 has its reply: A's time must not be used for what B keeps.
func TestASampleFromBeforeAFailureIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := conn.NewClock()
		c.Learn(1_000_000, time.Now())
		time.Sleep(time.Millisecond)
		late := time.Now()
		time.Sleep(time.Millisecond)
		c.Forget()
		assert.Zero(t, c.Latest())
		c.Learn(2_000_000, late)
		assert.Zero(t, c.Latest())
		time.Sleep(time.Millisecond)
		c.Learn(3_000_000, time.Now())
		assert.EqualValues(t, 3_000_000, c.Latest())
	})
}

func TestAFailureForgetsTheClock(t *testing.T) {
	server := redistest.Single(t)
	s := open(t, server.Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1 }))
	_, err := readAll(t.Context(), s, redistest.Keys(1)...)
	require.NoError(t, err)
	require.NotZero(t, conn.Latest(s))
	server.Kill()
	_, err = readAll(t.Context(), s, redistest.Keys(1)...)
	require.Error(t, err)
	assert.Zero(t, conn.Latest(s))
}

func TestWhatOneReplyHasTaughtIsForgottenAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &conn.Node{}
		assert.False(t, n.Knows(conn.NoMGet))
		n.Learn(conn.NoMGet)
		time.Sleep(59 * time.Second)
		assert.True(t, n.Knows(conn.NoMGet))
		assert.False(t, n.Knows(conn.NoTime))
		time.Sleep(time.Second)
		assert.False(t, n.Knows(conn.NoMGet))
	})
}
