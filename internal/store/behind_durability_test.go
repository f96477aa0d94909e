package store_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

func TestWBAllkeysRefused(t *testing.T) {
	cases := map[string]struct {
		options []redistest.Option
		says    string // "": accepted
	}{
		"evicts any key":            {[]redistest.Option{redistest.MaxMemory(0, "allkeys-lru"), redistest.AppendOnly("no")}, "set it to noeviction or volatile-lru"},
		"evicts any key at random":  {[]redistest.Option{redistest.MaxMemory(0, "allkeys-random"), redistest.AppendOnly("no")}, "maxmemory-policy is allkeys-random"},
		"forgets all on a restart":  {nil, "set appendonly yes"},
		"keeps a log":               {[]redistest.Option{redistest.AppendOnly("everysec")}, ""},
		"keeps snapshots":           {[]redistest.Option{redistest.Config("save", "3600 1")}, ""},
		"evicts keys with TTL only": {[]redistest.Option{redistest.MaxMemory(0, "volatile-lru"), redistest.AppendOnly("no")}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := open(t, redistest.Single(t, c.options...).Client(t))
			err := s.CheckDurability(t.Context())
			if c.says == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, store.ErrVolatile)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

func TestRedisThatDoesNotTellIsRefused(t *testing.T) {
	s := open(t, dial(t, mini(t).Addr()))
	err := s.CheckDurability(t.Context())
	assert.ErrorIs(t, err, store.ErrVolatile)
	assert.ErrorContains(t, err, "INFO does not tell")
}

func TestRedisThatDoesNotAnswerIsAnotherError(t *testing.T) {
	t.Parallel() // it waits
	server := redistest.Single(t, redistest.AppendOnly("no"))
	s := open(t, server.Client(t))
	require.NoError(t, s.CheckDurability(t.Context()))
	server.Pause()
	start := time.Now()
	err := s.CheckDurability(t.Context())
	assert.True(t, store.Infrastructure(err), "%v", err)
	assert.NotErrorIs(t, err, store.ErrVolatile)
	assert.Less(t, time.Since(start), 10*time.Second, "it has 2 s")
	server.Resume()
}

func clusterIsAskedWhetherItLasts(t *testing.T, cluster *redistest.Cluster) {
	for _, n := range cluster.Nodes()[:3] {
		set(t, n, "save", "3600 1")
	}
	s := open(t, cluster.Client(t))
	require.NoError(t, s.CheckDurability(t.Context()))
	culprit := cluster.Nodes()[1]
	set(t, culprit, "maxmemory-policy", "allkeys-lfu")
	err := s.CheckDurability(t.Context())
	assert.ErrorIs(t, err, store.ErrVolatile)
	assert.ErrorContains(t, err, culprit.Addr())
}

// set changes a setting of the server until the test ends.
func set(t *testing.T, server *redistest.Server, name, value string) {
	t.Helper()
	ctx, c := context.WithoutCancel(t.Context()), server.Client(t)
	before := c.ConfigGet(ctx, name).Val()[name]
	require.NoError(t, c.ConfigSet(ctx, name, value).Err())
	t.Cleanup(func() { assert.NoError(t, c.ConfigSet(ctx, name, before).Err()) })
}

// A server without memory refuses puts as a whole, and still lets the workers
// get rid of what is dirty.
func TestWBOOM(t *testing.T) {
	const limit = 4 << 20
	b := newRealBehind(t, redistest.MaxMemory(limit, "noeviction"))
	ctx := t.Context()
	body := make([]byte, 20_000)
	puts, versions := 0, map[string]uint64{}
	for ; puts < 1000; puts++ {
		key := strconv.Itoa(puts)
		v, _, err := b.store.Put(ctx, store.Put{Partition: part, Key: key, Body: body, MaxDirty: 1000})
		if err != nil {
			assert.True(t, redis.HasErrorPrefix(err, "OOM"), "%v", err)
			break
		}
		versions[key] = v
	}
	require.Less(t, puts, 1000, "the limit was never reached: the test is blind")
	require.Greater(t, puts, 10)
	assert.Equal(t, [4]int64{int64(puts), int64(puts), 0, 0}, b.counts(), "no partial writes")
	assert.Equal(t, puts, b.recordsThere(ctx, puts+1))
	_, _, err := b.store.Put(ctx, store.Put{Partition: part, Key: "0", Body: body, MaxDirty: 1000})
	require.Error(t, err)
	assert.Equal(t, versions["0"], b.dirty("0"), "a refused put over a dirty key changes nothing either")

	tickets := b.take("worker")
	b.bury(settlement(tickets[0], versions["0"]))
	for _, ticket := range tickets[1:] {
		s := settlement(ticket, versions[ticket.Key])
		s.TTL = 0
		require.Equal(t, store.SettledClean, b.ack(s))
	}
	for _, ticket := range b.take("worker") {
		b.ack(settlement(ticket, versions[ticket.Key]))
	}
	assert.Equal(t, [4]int64{0, 0, 1, 1}, b.counts())
}

// recordsThere counts the records of the first n keys.
func (b *behind) recordsThere(ctx context.Context, n int) (there int) {
	b.t.Helper()
	for i := range n {
		there += int(b.redis.Exists(ctx, part.Record(strconv.Itoa(i))).Val())
	}
	return there
}
