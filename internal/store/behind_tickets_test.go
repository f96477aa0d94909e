package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// soon is younger than any version.
const soon = ^uint64(0)

func (b *behind) pending(idle time.Duration, after string, count int) []store.Pending {
	b.t.Helper()
	all, err := b.store.PendingTickets(b.t.Context(), behindGroup, idle, count,
		[]store.PendingRead{{Partition: part, After: after}})
	require.NoError(b.t, err)
	return all[0]
}

func (b *behind) sweep(before uint64) int {
	b.t.Helper()
	n, err := b.store.Sweep(b.t.Context(), behindGroup, part, before)
	require.NoError(b.t, err)
	return n
}

// A miniredis lets everybody claim at once.
func TestTicketGoesToOneWorkerUntilItIsIdleLongEnough(t *testing.T) {
	b := newRealBehind(t)
	b.put("k", "one")
	ticket := b.takeOne()
	claim := func() []store.Ticket {
		got, err := b.store.Claim(t.Context(), behindGroup, "other", part, time.Minute, []string{ticket.ID})
		require.NoError(t, err)
		return got
	}
	assert.Empty(t, b.pending(time.Minute, "", 10))
	assert.Empty(t, claim())
	require.NoError(t, b.redis.Do(t.Context(), "xclaim", part.Tickets, behindGroup, "worker", 0, ticket.ID,
		"idle", 90_000, "retrycount", 1).Err())
	idle := b.pending(time.Minute, "", 10)
	require.Len(t, idle, 1)
	assert.GreaterOrEqual(t, idle[0].Idle, 90*time.Second)
	idle[0].Idle = 0
	assert.Equal(t, store.Pending{ID: ticket.ID, Consumer: "worker", Deliveries: 1}, idle[0])
	assert.Equal(t, []store.Ticket{ticket}, claim())
	assert.Empty(t, claim(), "the second comes too late")
	again := b.pending(0, "", 10)
	require.Len(t, again, 1)
	assert.Equal(t, "other", again[0].Consumer)
	assert.Equal(t, 2, again[0].Deliveries)
}

func TestPendingTicketsComeInPages(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		for i := range 5 {
			b.put(strconv.Itoa(i), "x")
		}
		tickets := b.take("worker")
		require.Len(t, tickets, 5)
		page := b.pending(0, "", 3)
		require.Len(t, page, 3)
		rest := b.pending(0, page[2].ID, 3)
		require.Len(t, rest, 2)
		assert.Equal(t, tickets[3].ID, rest[0].ID)
	})
}

func TestReadDirtyTellsVersionsAndRecords(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("dirty", "one")
		require.NoError(t, b.redis.Set(t.Context(), part.Record("clean"), "hello", 0).Err())
		got, err := b.store.ReadDirty(t.Context(), []store.DirtyRead{
			{Partition: part, Keys: []string{"dirty", "clean", "none"}},
		})
		require.NoError(t, err)
		assert.Equal(t, v, got[0][0].Version)
		assert.Contains(t, string(got[0][0].Record), "one")
		assert.Equal(t, []store.Dirty{{Record: []byte("hello")}, {}}, got[0][1:])
		one, err := b.store.DirtyVersion(t.Context(), part, "dirty")
		require.NoError(t, err)
		assert.Equal(t, v, one)
	})
}

func TestGroupThatIsGoneIsNamedAndMadeAnew(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		require.NoError(t, b.redis.Del(t.Context(), part.Tickets).Err())
		b.put("k", "one")
		_, err := b.store.ReadTickets(t.Context(), behindGroup, "worker", []store.TicketRead{{Partition: part, Count: 1}})
		assert.True(t, store.NoGroup(err), "%v", err)
		assert.False(t, store.NoGroup(nil))
		assert.False(t, store.NoGroup(store.ErrClosed))
		require.NoError(t, b.store.EnsureGroups(t.Context(), behindGroup, []*store.Partition{part}))
		assert.Equal(t, "k", b.takeOne().Key, "tickets from before the group are not lost")
	})
}

func TestGaugesTellWhatWaits(t *testing.T) {
	m := mini(t)
	b := openBehind(t, redistest.Dial(t, m.Addr()))
	parts := []*store.Partition{part}
	all, err := b.store.Gauges(t.Context(), parts)
	require.NoError(t, err)
	assert.Equal(t, store.Gauge{Now: time.UnixMilli(epoch.UnixMilli())}, all[0])
	b.kill("dead", "x")
	b.put("a", "x")
	m.SetTime(epoch.Add(3 * time.Second))
	b.put("b", "x")
	all, err = b.store.Gauges(t.Context(), parts)
	require.NoError(t, err)
	assert.Equal(t, 2, all[0].Dirty)
	assert.Equal(t, 1, all[0].DeadLetters)
	assert.Equal(t, 3*time.Second, all[0].Lag)
	assert.True(t, store.Later(all[0].Newest, all[0].Oldest))
	assert.False(t, store.Later(all[0].Oldest, all[0].Oldest))
}

func TestSweepGivesLostKeysATicket(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		require.NoError(t, b.redis.XTrimMaxLen(t.Context(), part.Tickets, 0).Err())
		assert.Zero(t, b.sweep(v-1), "not yet")
		assert.Equal(t, 1, b.sweep(v))
		assert.Zero(t, b.sweep(soon), "it has one now")
		assert.Equal(t, store.SettledClean, b.ack(settlement(b.takeOne(), v)))
	})
}

// A key that fails for an hour is old all the time and still has its ticket.
func TestSweepLeavesKeysAloneThatWaitForTheirNextTry(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		b.put("delivered", "one")
		b.takeOne()
		b.put("fresh", "one")
		assert.Zero(t, b.sweep(soon))
		assert.Equal(t, [4]int64{2, 2, 0, 0}, b.counts())
	})
}

func TestSweepReplacesTicketsOfDeletedConsumers(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		b.takeOne()
		require.NoError(t, b.redis.XGroupDelConsumer(t.Context(), part.Tickets, behindGroup, "worker").Err())
		assert.Empty(t, b.take("worker"), "nobody would be given it any more")
		assert.Equal(t, 1, b.sweep(soon))
		assert.Equal(t, [4]int64{1, 1, 0, 0}, b.counts(), "in place of the old one")
		assert.Equal(t, store.SettledClean, b.ack(settlement(b.takeOne(), v)))
	})
}

func TestSweepReadsMoreThanAPage(t *testing.T) {
	server := newRealBehind(t)
	pipe := server.redis.Pipeline()
	for i := range 1500 {
		pipe.HSet(t.Context(), part.Dirty, "k"+strconv.Itoa(i), 1)
		if i%3 > 0 {
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: part.Tickets, Values: []string{"k", "k" + strconv.Itoa(i)}})
		}
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	server.take("worker")
	assert.Equal(t, 500, server.sweep(1))
	assert.Zero(t, server.sweep(1))
}

func TestPruneRemovesIdleConsumersWithoutTickets(t *testing.T) {
	b := newRealBehind(t)
	b.put("k", "one")
	b.take("busy")
	v := b.put("other", "one")
	b.ack(settlement(b.take("idle")[0], v))
	for _, c := range []struct {
		idle    time.Duration
		removed int
		left    []string
	}{{time.Hour, 0, []string{"busy", "idle"}}, {0, 1, []string{"busy"}}} {
		n, err := b.store.PruneConsumers(t.Context(), behindGroup, part, c.idle)
		require.NoError(t, err)
		assert.Equal(t, c.removed, n)
		left, err := b.redis.XInfoConsumers(t.Context(), part.Tickets, behindGroup).Result()
		require.NoError(t, err)
		var names []string
		for _, c := range left {
			names = append(names, c.Name)
		}
		assert.ElementsMatch(t, c.left, names)
	}
}
