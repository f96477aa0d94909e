package store_test

import (
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

const behindGroup = "w"

// part is the partition that the tests use.
var part = &store.Partition{
	Records: "{n!0}v", Dirty: "{n!0}d", Tickets: "{n!0}s",
	Clock: "{n!0}q", Dead: "{n!0}x", Doomed: "{n!0}g",
}

// behind is a store with a group in the partition, and a client beside it.
type behind struct {
	t     testing.TB
	store *store.Store
	redis redis.UniversalClient
}

func openBehind(t testing.TB, c redis.UniversalClient) *behind {
	t.Helper()
	s := open(t, c)
	require.NoError(t, s.EnsureGroups(t.Context(), behindGroup, []*store.Partition{part}))
	return &behind{t: t, store: s, redis: c}
}

// onEachBehind runs f on a miniredis and on a real server.
func onEachBehind(t *testing.T, f func(t *testing.T, b *behind)) {
	t.Helper()
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) { f(t, openBehind(t, c)) })
}

// put stores a body and returns its version.
func (b *behind) put(key, body string) uint64 {
	b.t.Helper()
	v, full, err := b.store.Put(b.t.Context(), store.Put{Partition: part, Key: key, Body: []byte(body), MaxDirty: 100})
	require.NoError(b.t, err)
	require.False(b.t, full)
	return v
}

// take delivers all fresh tickets to consumer.
func (b *behind) take(consumer string) []store.Ticket {
	b.t.Helper()
	got, err := b.store.ReadTickets(b.t.Context(), behindGroup, consumer, []store.TicketRead{{Partition: part, Count: 100}})
	require.NoError(b.t, err)
	return got[0]
}

// takeOne delivers the only fresh ticket.
func (b *behind) takeOne() store.Ticket {
	b.t.Helper()
	got := b.take("worker")
	require.Len(b.t, got, 1)
	return got[0]
}

func settlement(t store.Ticket, v uint64) store.Settlement {
	return store.Settlement{Partition: part, Ticket: t.ID, Key: t.Key, Version: v, TTL: 60_000_000_000, Soft: 30_000_000_000}
}

func (b *behind) ack(s store.Settlement) store.Settled {
	b.t.Helper()
	answers, errs := b.store.Ack(b.t.Context(), behindGroup, []store.Settlement{s})
	require.NoError(b.t, errs[0])
	return answers[0]
}

func (b *behind) bury(s store.Settlement) store.Settled {
	b.t.Helper()
	answers, errs := b.store.Bury(b.t.Context(), behindGroup, []store.Settlement{s})
	require.NoError(b.t, errs[0])
	return answers[0]
}

// record reads the record of key; a zero header if there is none.
func (b *behind) record(key string) (envelope.Header, string) {
	b.t.Helper()
	text, err := b.redis.Get(b.t.Context(), part.Record(key)).Result()
	if err == redis.Nil { //nolint:errorlint // bare
		return envelope.Header{}, ""
	}
	require.NoError(b.t, err)
	h, err := envelope.ParseHeader([]byte(text))
	require.NoError(b.t, err)
	return h, text[envelope.HeaderSize:]
}

// counts are tickets, dirty keys, dead letters and doomed keys.
func (b *behind) counts() [4]int64 {
	b.t.Helper()
	ctx := b.t.Context()
	return [4]int64{
		b.redis.XLen(ctx, part.Tickets).Val(), b.redis.HLen(ctx, part.Dirty).Val(),
		b.redis.XLen(ctx, part.Dead).Val(), b.redis.HLen(ctx, part.Doomed).Val(),
	}
}

// dirty is the version in the dirty hash, 0 if there is none.
func (b *behind) dirty(key string) uint64 {
	b.t.Helper()
	text, err := b.redis.HGet(b.t.Context(), part.Dirty, key).Result()
	if err == redis.Nil { //nolint:errorlint // bare
		return 0
	}
	require.NoError(b.t, err)
	v, err := strconv.ParseUint(text, 10, 64)
	require.NoError(b.t, err)
	return v
}

// letters lists the dead letters.
func (b *behind) letters() []store.Letter {
	b.t.Helper()
	all, err := b.store.Letters(b.t.Context(), part, "", 100)
	require.NoError(b.t, err)
	return all
}

// newRealBehind is openBehind on a real server.
func newRealBehind(t *testing.T, opts ...redistest.Option) *behind {
	t.Helper()
	return openBehind(t, redistest.Single(t, opts...).Client(t))
}
