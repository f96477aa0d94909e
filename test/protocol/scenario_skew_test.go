package protocol_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

const skew = 5 * time.Minute

// skewed is a Redis whose clock is that of no client. Its processes are bubbles
// of testing/synctest, one after the other: each has a wall clock of its own,
// which runs at the same rate as Redis' and is off by a constant. That is what a
// badly set clock is; moving the clock of a single bubble would also be a clock
// that runs wrong, which is another fault.
type skewed struct {
	mini   *miniredis.Miniredis
	epoch  time.Time // Redis time 0 of the test
	claims bool      // to be Redis, whose clock is sampled
	jump   atomic.Int64
}

func newSkewed(t *testing.T) *skewed {
	s := &skewed{mini: miniredis.RunT(t), epoch: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	s.mini.ClockTTL(true)
	s.mini.SetTime(s.epoch)
	return s
}

// process runs f in a process whose clock is off by d, from at after epoch on.
// Redis time follows the process' clock, less d.
func (s *skewed) process(t *testing.T, d, at time.Duration, f func(t *testing.T, rdb *redis.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(s.epoch.Add(at + d)))
		rdb := redis.NewClient(&redis.Options{
			Addr: s.mini.Addr(), Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1,
			Dialer: func(_ context.Context, network, addr string) (net.Conn, error) {
				conn, err := net.Dial(network, addr)
				return &skewedConn{Conn: conn, of: s, skew: d}, err
			},
		})
		defer func() { _ = rdb.Close() }()
		if s.claims {
			rdb.AddHook(testkit.Claims{})
		}
		f(t, rdb)
	})
}

// skewedConn sets Redis' clock before it sends something that may depend on it.
// Deadlines of sockets run in real time and are ignored.
type skewedConn struct {
	net.Conn
	of   *skewed
	skew time.Duration
}

func (c *skewedConn) Write(b []byte) (int, error) {
	c.of.mini.SetTime(time.Now().Add(time.Duration(c.of.jump.Load()) - c.skew))
	return c.Conn.Write(b)
}

func (c *skewedConn) SetDeadline(time.Time) error      { return nil }
func (c *skewedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *skewedConn) SetWriteDeadline(time.Time) error { return nil }

// until is when an entry that somebody wrote at 0 ends for a process whose clock
// is off by d: it is asked each millisecond around from, in Redis time.
func (s *skewed) until(t *testing.T, d, from time.Duration, alive func(t *testing.T, rdb *redis.Client) func() bool) (end time.Duration) {
	t.Helper()
	s.process(t, d, from, func(t *testing.T, rdb *redis.Client) {
		ask := alive(t, rdb)
		for end = from; ask(); end += time.Millisecond {
			require.Less(t, end, from+2*skew+time.Minute, "it does not end")
			time.Sleep(time.Millisecond)
		}
	})
	return end
}

// Scenario 19. Writers and readers whose wall clocks are five minutes slow, right
// or five minutes fast agree on the moment when an entry ends: what is left of it
// is Redis' PTTL less a constant in the record. The entry is written at 0; the
// readers ask from 20 ms before its end.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	for name, claims := range map[string]bool{"by what is left of a record": false, "by the clock of Redis": true} {
		t.Run(name, func(t *testing.T) { testClockSkew(t, claims) })
	}
}

func testClockSkew(t *testing.T, claims bool) {
	const fresh = time.Minute
	var ends []time.Duration
	for _, writer := range []time.Duration{-skew, 0, skew} {
		for _, reader := range []time.Duration{-skew, 0, skew} {
			s := newSkewed(t)
			s.claims = claims
			s.process(t, writer, 0, func(t *testing.T, rdb *redis.Client) {
				c := testkit.NewCache[int](t, rdb, testkit.Class(testkit.Unchanged))
				_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
				require.NoError(t, err)
			})
			end := s.until(t, reader, fresh-20*time.Millisecond, func(t *testing.T, rdb *redis.Client) func() bool {
				c := testkit.NewCache[int](t, rdb, testkit.Class(testkit.Unchanged))
				return func() bool {
					_, err := c.Get(t.Context(), "k")
					require.True(t, err == nil || errors.Is(err, cache.ErrMiss), "%v", err)
					return err == nil
				}
			})
			ends = append(ends, end)
		}
	}
	moved := spread(ends)
	t.Logf("soft expiry of %v as 3 readers of 3 writers see it: %v; moved by %v", fresh, ends, moved)
	assert.Less(t, moved, 5*time.Millisecond)
	assert.InDelta(t, fresh.Milliseconds(), ends[0].Milliseconds(), 5)
}

// After a failover, another server's clock decides: what Redis has left of a record
// moves by the difference of the clocks, which is nothing that a cache could mend. A
// cache that judges by the clock knows for at most a second only the old one; then an
// entry ends when one of the two servers says so, and never later than both do.
func TestFailoverToAServerWhoseClockIsOff(t *testing.T) {
	t.Parallel()
	const fresh, failover, sampled = time.Minute, time.Minute - 4*time.Second, time.Second
	for name, claims := range map[string]bool{"by what is left of a record": false, "by the clock of Redis": true} {
		for _, ahead := range []time.Duration{-3 * time.Second, 3 * time.Second} {
			t.Run(fmt.Sprintf("%s, the clock is %v ahead", name, ahead), func(t *testing.T) {
				s := newSkewed(t)
				s.claims = claims
				s.process(t, 0, 0, func(t *testing.T, rdb *redis.Client) {
					c := testkit.NewCache[int](t, rdb, testkit.Class(testkit.Unchanged))
					_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
					require.NoError(t, err)
				})
				at := failover - 20*time.Millisecond
				end := s.until(t, 0, at, func(t *testing.T, rdb *redis.Client) func() bool {
					c := testkit.NewCache[int](t, rdb, testkit.Class(testkit.Unchanged))
					began := time.Now()
					return func() bool {
						if time.Since(began) >= 20*time.Millisecond {
							s.jump.Store(int64(ahead))
						}
						_, err := c.Get(t.Context(), "k")
						require.True(t, err == nil || errors.Is(err, cache.ErrMiss), "%v", err)
						return err == nil
					}
				})
				t.Logf("ends at %v", end)
				old, next := fresh, fresh-ahead
				assert.GreaterOrEqual(t, end, min(old, next)-5*time.Millisecond)
				assert.LessOrEqual(t, end, max(old, next)+5*time.Millisecond)
				assert.LessOrEqual(t, end, max(failover+sampled, next)+5*time.Millisecond, "for a second at most by the old clock")
			})
		}
	}
}

// The same for MaxAge of an entry that slides: it is the only thing for which the
// library estimates Redis' time, by adding what has passed since a reply said it.
func TestClockSkewOfASlidingEntry(t *testing.T) {
	t.Parallel()
	const maxAge = 10 * time.Minute
	slides := testkit.Sliding(testkit.Unchanged)
	var ends []time.Duration
	for _, writer := range []time.Duration{-skew, 0, skew} {
		for _, reader := range []time.Duration{-skew, 0, skew} {
			s := newSkewed(t)
			s.process(t, writer, 0, func(t *testing.T, rdb *redis.Client) {
				c := testkit.NewCache[int](t, rdb, slides, cache.WithXFetch(0))
				for range 29 { // it is used every 20 s
					_, err := c.GetOrLoad(t.Context(), "k", testkit.Value(1))
					require.NoError(t, err)
					time.Sleep(20 * time.Second)
				}
			})
			end := s.until(t, reader, maxAge-20*time.Millisecond, func(t *testing.T, rdb *redis.Client) func() bool {
				c := testkit.NewCache[int](t, rdb, slides, cache.WithXFetch(0))
				_, err := c.GetOrLoad(t.Context(), "another", testkit.Value(1)) // a reply that tells Redis' time
				require.NoError(t, err)
				return func() bool { _, err := c.Get(t.Context(), "k"); return err == nil }
			})
			ends = append(ends, end)
		}
	}
	moved := spread(ends)
	t.Logf("MaxAge of %v as 3 readers of 3 writers see it: %v; moved by %v", maxAge, ends, moved)
	assert.Less(t, moved, 5*time.Millisecond)
	assert.InDelta(t, maxAge.Milliseconds(), ends[0].Milliseconds(), 5)
}

// A naive cache that stores when its entry ends by the writer's clock.
func TestClockSkewControl(t *testing.T) {
	t.Parallel()
	type naive struct {
		V   int
		End time.Time
	}
	const fresh = 15 * time.Minute
	var ends []time.Duration
	for _, writer := range []time.Duration{0, -skew} {
		s := newSkewed(t)
		s.process(t, writer, 0, func(t *testing.T, rdb *redis.Client) {
			entry, err := json.Marshal(naive{1, time.Now().Add(fresh)})
			require.NoError(t, err)
			require.NoError(t, rdb.Set(t.Context(), "k", entry, time.Hour).Err())
		})
		for _, reader := range []time.Duration{0, skew} {
			s.process(t, reader, time.Minute, func(t *testing.T, rdb *redis.Client) {
				var entry naive
				require.NoError(t, json.Unmarshal([]byte(rdb.Get(t.Context(), "k").Val()), &entry))
				ends = append(ends, time.Minute+time.Until(entry.End))
			})
		}
	}
	t.Logf("naive control: %v, moved by %v", ends, spread(ends))
	assert.Equal(t, 2*skew, spread(ends), "the control must see the clocks, else the test is blind: %s", fmt.Sprint(ends))
}

// spread is the distance between the first and the last.
func spread(ends []time.Duration) time.Duration {
	least, most := ends[0], ends[0]
	for _, end := range ends {
		least, most = min(least, end), max(most, end)
	}
	return most - least
}
