package bus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/redistest"
)

func TestOnAClusterMessagesComeFromEveryNode(t *testing.T) {
	t.Parallel()
	c := redistest.SharedCluster(t)
	client := c.Client(t)
	b := open(t, client, bus.Options{})
	e, _ := listen(t, b)
	for i, node := range c.Nodes() {
		payload := fmt.Sprint("from node ", i)
		publish(t, node.Client(t), payload)
		e.await(t, payload, 1)
	}
	require.NoError(t, b.Publish(t.Context(), channel, "own"))
	e.await(t, "own", 1)

	owner := c.Owner(channel) // where go-redis subscribes
	owner.Kill()
	e.await(t, lost, 1)
	c.Await()
	e.await(t, back, 2)
	for i, node := range c.Nodes() {
		if node.Pid() == 0 {
			continue
		}
		payload := fmt.Sprint("after the failover, from node ", i)
		publish(t, node.Client(t), payload)
		e.await(t, payload, 1)
	}
}

func TestTheSubscriptionFollowsThePrimary(t *testing.T) {
	t.Parallel()
	s := redistest.SharedSentinel(t)
	client := s.Client(t)
	b := open(t, client, bus.Options{})
	e, _ := listen(t, b)

	began := time.Now()
	from := s.Primary()
	from.Kill()
	e.await(t, lost, 1)
	noticed := time.Since(began)
	primary := s.AwaitFailover(from)
	e.await(t, back, 2)
	publish(t, primary.Client(t), "after")
	e.await(t, "after", 1)
	t.Logf("lost after %v, heard on the new primary after %v", noticed, time.Since(began))
}

// The former primary lives: its sentinel closes the subscriptions.
func TestAnOrderlyFailoverIsALossToo(t *testing.T) {
	t.Parallel()
	s := redistest.SharedSentinel(t)
	b := open(t, s.Client(t), bus.Options{})
	e, _ := listen(t, b)
	primary := s.Failover()
	e.await(t, lost, 1)
	e.await(t, back, 2)
	publish(t, primary.Client(t), "after")
	e.await(t, "after", 1)
}

// Scripts publish on the shard of their key.
func TestOnARingEveryShardIsHeard(t *testing.T) {
	t.Parallel()
	a, z := redistest.Single(t), redistest.Single(t)
	ring := redis.NewRing(&redis.RingOptions{
		Addrs:              map[string]string{"a": a.Addr(), "z": z.Addr()},
		HeartbeatFrequency: 50 * time.Millisecond,
		NewClient: func(o *redis.Options) *redis.Client {
			o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
			return redis.NewClient(o)
		},
	})
	t.Cleanup(func() { assert.NoError(t, ring.Close()) })
	b := open(t, ring, bus.Options{Ping: 50 * time.Millisecond})
	e, _ := listen(t, b)
	assert.Positive(t, b.Proven())
	publish(t, a.Client(t), "of a")
	publish(t, z.Client(t), "of z")
	e.await(t, "of a", 1)
	e.await(t, "of z", 1)

	z.Kill() // its keys move to a
	e.await(t, lost, 1)
	e.await(t, back, 2)
	publish(t, a.Client(t), "of a alone")
	e.await(t, "of a alone", 1)

	z.Restart() // and come back
	require.Eventually(t, func() bool { return ring.Len() == 2 }, patience, time.Millisecond)
	e.await(t, lost, 2)
	e.await(t, back, 3)
	publish(t, z.Client(t), "of z again")
	e.await(t, "of z again", 1)
}
