package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// part is the partition that the tests use.
var part = &store.Partition{
	Records: "{n!0}v", Letter: "{n!0}y", Dirty: "{n!0}d", Schedule: "{n!0}s", Tries: "{n!0}t",
	Clock: "{n!0}q", Letters: "{n!0}x", Reasons: "{n!0}r",
}

// schedule is a partition, and a client beside it.
type schedule struct {
	t     require.TestingT
	ctx   context.Context //nolint:containedctx // of one test
	store *store.Store
	redis redis.UniversalClient
}

// onEachSchedule runs f on a miniredis and on a real server.
func onEachSchedule(t *testing.T, f func(t *testing.T, s *schedule)) {
	t.Helper()
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		f(t, &schedule{t: t, ctx: t.Context(), store: open(t, c), redis: c})
	})
}

// tryPut puts within room for so many.
func (s *schedule) tryPut(key, body string, room int) store.Put {
	puts := []store.Put{{Partition: part, Key: key, Body: []byte(body), MaxDirty: room}}
	s.store.Put(s.ctx, puts)
	return puts[0]
}

// put stores a body and returns its version.
func (s *schedule) put(key, body string) uint64 {
	p := s.tryPut(key, body, 100)
	require.NoError(s.t, p.Err)
	require.False(s.t, p.Full)
	return p.Version
}

// claim takes what is due, at most so many, and reads it.
func (s *schedule) claim(count int, lease time.Duration) []store.Claimed {
	claims := []store.Claim{{Partition: part, Count: count}}
	s.store.Claim(s.ctx, claims, lease)
	require.NoError(s.t, claims[0].Err)
	var all []store.Claimed
	for _, key := range claims[0].Keys {
		records, err := s.store.Records(s.ctx, []string{part.Record(key)})
		require.NoError(s.t, err)
		all = append(all, store.Claimed{Partition: part, Key: key, Claim: claims[0].Name, Version: store.VersionIn(records[0])})
	}
	return all
}

// claimOne takes the only one that is due, for an hour.
func (s *schedule) claimOne() store.Claimed {
	all := s.claim(10, time.Hour)
	require.Len(s.t, all, 1)
	return all[0]
}

func (s *schedule) ack(c store.Claimed, ttl time.Duration) store.AckAnswer {
	acks := []store.Ack{{Claimed: c, TTL: ttl, Soft: ttl / 2}}
	s.store.Ack(s.ctx, acks)
	require.NoError(s.t, acks[0].Err)
	return acks[0].Answer
}

func (s *schedule) retry(c store.Claimed, delay time.Duration, counts bool) string {
	all := []store.Retry{{Claimed: c, Delay: delay, Counts: counts}}
	s.store.Retry(s.ctx, all)
	require.NoError(s.t, all[0].Err)
	return all[0].Until
}

func (s *schedule) dead(c store.Claimed, why string) store.DeadAnswer {
	all := []store.Dead{{Claimed: c, Reason: why}}
	s.store.Dead(s.ctx, all)
	require.NoError(s.t, all[0].Err)
	return all[0].Answer
}

// kill makes a letter of a value.
func (s *schedule) kill(key, body string) store.Letter {
	s.put(key, body)
	require.Equal(s.t, store.DeadLetter, s.dead(s.claimOne(), "no"))
	for _, l := range s.letters() {
		if l.Key == key {
			return l
		}
	}
	require.Fail(s.t, "no letter of "+key)
	return store.Letter{}
}

func (s *schedule) letters() (all []store.Letter) {
	for at := new(store.LetterPage); ; {
		page, err := s.store.Letters(s.ctx, part, at, time.UnixMilli(future), 2)
		require.NoError(s.t, err)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func (s *schedule) requeue(l store.Letter) error {
	all := []store.Letter{l}
	s.store.Requeue(s.ctx, all)
	return all[0].Err
}

func (s *schedule) drop(l store.Letter) error {
	all := []store.Letter{l}
	s.store.Drop(s.ctx, all)
	return all[0].Err
}

// record reads the record under a name; a zero header if there is none.
func (s *schedule) record(name string) (envelope.Header, string) {
	text, err := s.redis.Get(s.ctx, name).Result()
	if err == redis.Nil { //nolint:errorlint // bare
		return envelope.Header{}, ""
	}
	require.NoError(s.t, err)
	h, err := envelope.ParseHeader([]byte(text))
	require.NoError(s.t, err)
	return h, text[envelope.HeaderSize:]
}

// counts are dirty keys, keys in the schedule, with tries, letters, reasons.
func (s *schedule) counts() [5]int64 {
	return [5]int64{
		s.redis.ZCard(s.ctx, part.Dirty).Val(), s.redis.ZCard(s.ctx, part.Schedule).Val(), s.redis.HLen(s.ctx, part.Tries).Val(),
		s.redis.ZCard(s.ctx, part.Letters).Val(), s.redis.HLen(s.ctx, part.Reasons).Val(),
	}
}

// due is when the key may be taken, in ms; 0 if it is not in the schedule.
func (s *schedule) due(key string) int64 {
	score, err := s.redis.ZScore(s.ctx, part.Schedule, key).Result()
	if err == redis.Nil { //nolint:errorlint // bare
		return 0
	}
	require.NoError(s.t, err)
	return int64(score)
}
