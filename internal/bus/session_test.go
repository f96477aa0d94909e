package bus_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/mono"
)

// inBubble gives the test a fake clock and a bus over an exchange.
func inBubble(t *testing.T, test func(t *testing.T, x *exchange, b *bus.Bus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{}
		b := openWire(x, bus.Options{})
		defer func() { assert.NoError(t, b.Close()) }()
		test(t, x, b)
	})
}

func TestNothingConnectsBeforeSomebodyListens(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		time.Sleep(time.Minute)
		assert.Empty(t, x.wires)
		_, m := listen(t, b)
		assert.Len(t, x.wires, 1)
		m.Leave()
		time.Sleep(time.Minute)
		assert.Len(t, x.wires, 1, "and it stays")
	})
}

func TestProvenIsWhenTheLastAnsweredPingWasSent(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		listen(t, b)
		for range 10 {
			time.Sleep(499 * time.Millisecond)
			synctest.Wait()
			assert.Less(t, age(b), 500*time.Millisecond)
		}
		x.mute.Store(true)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		stopped := b.Proven()
		time.Sleep(time.Second)
		assert.Equal(t, stopped, b.Proven(), "a PING that is not answered proves nothing")
	})
}

func TestAPongProvesTheTimeOfItsPing(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		listen(t, b)
		x.mute.Store(true)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		sent := mono.Now()
		time.Sleep(300 * time.Millisecond)
		w, _ := x.last()
		w.answer()
		synctest.Wait()
		assert.Equal(t, sent, b.Proven())
	})
}

// What is still read from a connection that was given up is not delivered: the
// listener has been told that it is lost.
func TestNothingComesAfterLost(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		e := newEar()
		e.onLost = func() {
			w, _ := x.last()
			w.say("late")
		}
		b.Join(channel, e)
		e.await(t, back, 1)
		x.broken.Store(true) // the pinger notices, while the receiver reads
		e.await(t, lost, 1)
		x.broken.Store(false)
		e.await(t, back, 2)
		assert.Equal(t, []string{back, lost, back}, e.all())
	})
}

// Nothing fails when a link becomes a black hole: the PONG just does not come.
func TestASilentConnectionIsLostWithinSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		e, m := listen(t, b)
		x.mute.Store(true)
		w, _ := x.last()
		for m.Up() {
			assert.LessOrEqual(t, age(b), 2*time.Second)
			w.say("also while it is silent") // messages are no proof
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		assert.LessOrEqual(t, age(b), 2*time.Second+10*time.Millisecond)
		assert.Greater(t, age(b), time.Second)
		<-w.closed
		x.mute.Store(false)
		e.await(t, back, 2)
		assert.Less(t, age(b), time.Second)
	})
}

func TestWhatBreaksAConnection(t *testing.T) {
	const stray = "of the old connection"
	for name, breaks := range map[string]func(x *exchange, w *wire){
		"an error":                              func(_ *exchange, w *wire) { _ = w.Close() },
		"a PING that cannot be written":         func(x *exchange, _ *wire) { x.broken.Store(true) },
		"a subscription that was not asked for": func(_ *exchange, w *wire) { w.confirm("foreign") },
		"a subscription that was made anew":     func(_ *exchange, w *wire) { w.confirm(channel) },
		"an answer to no question":              func(_ *exchange, w *wire) { w.in <- &redis.Pong{Payload: "1"} },
		"a part of a message, taken for a reply": func(x *exchange, w *wire) {
			x.mute.Store(true)
			time.Sleep(500 * time.Millisecond) // a PING is under way
			synctest.Wait()
			w.in <- &redis.Pong{Payload: channel}
			x.mute.Store(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
				e, m := listen(t, b)
				w, _ := x.last()
				breaks(x, w)
				w.say(stray) // may come before the break is noticed, and not after
				e.await(t, lost, 1)
				assert.False(t, m.Up())
				<-w.closed
				x.broken.Store(false)
				e.await(t, back, 2)
				assert.True(t, m.Up())
				now, n := x.last()
				assert.Equal(t, 2, n)
				now.say("of the new connection")
				e.await(t, "of the new connection", 1)
				heard := slices.DeleteFunc(e.all(), func(what string) bool { return what == stray })
				assert.Equal(t, []string{back, lost, back, "of the new connection"}, heard)
				for i, what := range e.all() {
					assert.True(t, what != stray || i < 2, "from a connection that was given up: %q", e.all())
				}
			})
		})
	}
}

// Back needs both: the subscription of that channel, and a PING that was sent
// after it and answered.
//
//	bus:    SUBSCRIBE          PING 1            PING 2
//	server:           (slow)           PONG 1; subscribed        PONG 2
//
// PONG 1 proves that the connection lives, not that the channel is heard.
func TestBackComesAfterAPingThatFollowedTheSubscription(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		x.slow.Store(true)
		e := newEar()
		m := b.Join(channel, e)
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		require.Positive(t, b.Proven(), "PINGs are answered")
		require.Empty(t, e.all())

		x.mute.Store(true)
		w, _ := x.last()
		w.confirm(channel)
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		assert.Empty(t, e.all(), "no PING was answered since")
		assert.False(t, m.Up())

		w.answer()
		e.await(t, back, 1)
		assert.True(t, m.Up())
	})
}

func TestAChannelThatIsAddedLaterIsProvenByItself(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		first, _ := listen(t, b)
		x.slow.Store(true)
		late := newEar()
		m := b.Join("late", late)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.False(t, m.Up())
		w, _ := x.last()
		began := mono.Now()
		w.confirm("late")
		late.await(t, back, 1)
		assert.Equal(t, began, mono.Now(), "it does not wait for the next interval")
		assert.Equal(t, []string{back}, first.all())
	})
}

// The PING that is under way proves nothing for it, so another follows at once.
func TestAChannelThatIsAddedDuringAPing(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		listen(t, b)
		x.mute.Store(true)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		late := newEar()
		b.Join("late", late)
		synctest.Wait()
		began := mono.Now()
		x.mute.Store(false)
		w, _ := x.last()
		w.answer()
		late.await(t, back, 1)
		assert.Equal(t, began, mono.Now())
	})
}

// One who joins a channel that others hear is told by the next PONG.
func TestASecondListenerIsToldToo(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		first, m := listen(t, b)
		second, _ := listen(t, b)
		m.Leave()
		w, _ := x.last()
		w.say("hello")
		second.await(t, "hello", 1)
		_ = w.Close()
		second.await(t, lost, 1)
		assert.Equal(t, []string{back}, first.all())
	})
}

func TestAttemptsBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, x *exchange, b *bus.Bus) {
		x.refuse.Store(true)
		b.Join(channel, newEar())
		time.Sleep(time.Minute)
		synctest.Wait()
		x.mu.Lock()
		defer x.mu.Unlock()
		assert.Greater(t, len(x.dials), 60)
		assert.Less(t, len(x.dials), 140)
		for i := 1; i < len(x.dials); i++ {
			pause := x.dials[i].Sub(x.dials[i-1])
			assert.Greater(t, pause, 24*time.Millisecond)
			assert.Less(t, pause, time.Second)
		}
		assert.Less(t, x.dials[1].Sub(x.dials[0]), 50*time.Millisecond)
	})
}

// go-redis dials again inside a read that failed, with its connection's lock held,
// and a dialler may ignore its context.
func TestAClientThatHangsDelaysNeitherLostNorClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{stuck: make(chan struct{})}
		b := openWire(x, bus.Options{})
		e, m := listen(t, b)
		x.mute.Store(true)
		w, _ := x.last()
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, w.Close())
		began := mono.Now()
		e.await(t, lost, 1)
		assert.LessOrEqual(t, mono.Now()-began, int64(2*time.Second))
		assert.False(t, m.Up())

		began = mono.Now()
		require.ErrorIs(t, b.Close(), bus.ErrStuck)
		assert.Equal(t, int64(time.Second), mono.Now()-began)
		close(x.stuck)
		require.NoError(t, b.Close())
	})
}

func TestAClosedBusCallsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{}
		b := openWire(x, bus.Options{})
		e, m := listen(t, b)
		require.NoError(t, b.Close())
		require.NoError(t, b.Close())
		late := newEar()
		b.Join(channel, late).Leave()
		m.Leave()
		time.Sleep(time.Minute)
		assert.Equal(t, []string{back}, e.all())
		assert.Empty(t, late.all())
	})
}
