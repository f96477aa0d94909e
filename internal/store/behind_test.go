package store_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

func TestPutMakesAKeyDirtyOnce(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		first := s.put("k", "one")
		second := s.put("k", "two")
		assert.Greater(t, second, first)
		assert.Equal(t, [5]int64{1, 1, 0, 0, 0}, s.counts())
		h, body := s.record(part.Record("k"))
		assert.Equal(t, envelope.Header{Kind: envelope.Dirty, Token: envelope.NoToken, CID: envelope.NoToken, Version: second}, h)
		assert.Equal(t, "two", body)
		assert.Negative(t, s.redis.PTTL(t.Context(), part.Record("k")).Val(), "a dirty record never expires")
	})
}

// Letters take room, too: what the sink refuses must not fill Redis.
func TestPutRefusesOnlyKeysThatWouldBeOneTooMany(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		s.kill("letter", "x")
		require.False(t, s.tryPut("dirty", "x", 2).Full)
		assert.True(t, s.tryPut("k", "x", 2).Full)
		h, _ := s.record(part.Record("k"))
		assert.Equal(t, envelope.Header{}, h, "nothing was stored")
		assert.False(t, s.tryPut("dirty", "y", 2).Full, "it takes no more room")
		assert.False(t, s.tryPut("letter", "y", 2).Full, "nor does the key of a letter")
		assert.Equal(t, [5]int64{2, 2, 0, 0, 0}, s.counts(), "whose value is the newer one from then on")
		for key, want := range map[string]bool{"k": false, "dirty": true} {
			room, err := s.store.HasRoom(t.Context(), part, key, 2)
			require.NoError(t, err)
			assert.Equal(t, want, room, key)
		}
	})
}

func TestPutAndRequeueLeaveForeignAndNewerRecordsAlone(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		newer := record(envelope.Header{Kind: envelope.Value, CID: alice}, "body")
		for key, there := range map[string]string{"s": "hello", "kind": "K1Q" + newer[3:], "end": newer[:77] + "001body", "h": ""} {
			l := s.kill(key, "x")
			name := part.Record(key)
			if there == "" {
				require.NoError(t, s.redis.HSet(t.Context(), name, "f", 1).Err())
			} else {
				require.NoError(t, s.redis.Set(t.Context(), name, there, 0).Err())
			}
			before := s.redis.Dump(t.Context(), name).Val()
			assert.ErrorIs(t, s.tryPut(key, "y", 100).Err, store.ErrForeign, key)
			assert.ErrorIs(t, s.requeue(l), store.ErrForeign, key)
			assert.Equal(t, before, s.redis.Dump(t.Context(), name).Val(), key)
		}
	})
}

func TestVersionsGrowThroughTheLossOfTheClockAndItsGoingBack(t *testing.T) {
	m := mini(t)
	c := redistest.Dial(t, m.Addr())
	s := &schedule{t: t, ctx: t.Context(), store: open(t, c), redis: c}
	first := s.put("k", "x")
	m.SetTime(epoch.Add(-time.Hour))
	second := s.put("other", "x")
	assert.Greater(t, second, first, "by the counter")
	require.NoError(t, c.Del(t.Context(), part.Clock).Err())
	assert.Greater(t, s.put("k", "x"), first, "by the record's own")
}

func TestClaimGivesAKeyToOneWorkerAtATime(t *testing.T) {
	m := mini(t)
	c := redistest.Dial(t, m.Addr())
	s := &schedule{t: t, ctx: t.Context(), store: open(t, c), redis: c}
	for i := range 5 {
		s.put(strconv.Itoa(i), "x")
	}
	first, second := s.claim(3, time.Minute), s.claim(10, time.Minute)
	assert.Len(t, first, 3)
	assert.Len(t, second, 2)
	assert.Empty(t, s.claim(10, time.Minute))
	m.SetTime(epoch.Add(time.Minute - time.Millisecond))
	assert.Empty(t, s.claim(10, time.Minute))
	m.SetTime(epoch.Add(time.Minute))
	assert.Len(t, s.claim(10, time.Minute), 5, "nobody has settled them within the lease")
	assert.Empty(t, s.retry(first[0], 0, true), "the claim is another's by now")
	assert.Equal(t, store.DeadLost, s.dead(first[0], "no"))
	assert.Equal(t, store.AckClean, s.ack(first[0], time.Minute), "what is written is written")
}

func TestAckMakesAnOrdinaryEntry(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		ctx := t.Context()
		s.put("k", "one")
		k := s.claimOne()
		assert.Equal(t, store.AckClean, s.ack(k, time.Minute))
		h, body := s.record(part.Record("k"))
		assert.Equal(t, envelope.Value, h.Kind)
		assert.NotEqual(t, envelope.NoToken, h.CID)
		assert.Zero(t, h.Version)
		assert.NotZero(t, h.Fresh)
		assert.Equal(t, "one", body)
		assert.InDelta(t, time.Minute, s.redis.PTTL(ctx, part.Record("k")).Val(), float64(20*time.Second))
		assert.Equal(t, [5]int64{}, s.counts())
		assert.Equal(t, store.AckNothing, s.ack(k, time.Minute), "again")

		s.put("k", "two")
		assert.Equal(t, store.AckClean, s.ack(s.claimOne(), 0))
		h, _ = s.record(part.Record("k"))
		assert.Equal(t, envelope.Header{}, h, "nothing is to be kept")

		intent := []store.Intent{{Key: part.Record("k"), Token: alice}}
		s.store.BeginWrite(ctx, intent, time.Minute, nil)
		require.NoError(t, intent[0].Err)
		s.put("k", "three")
		s.put("k", "four")
		assert.Equal(t, store.AckClean, s.ack(s.claimOne(), time.Minute))
		h, _ = s.record(part.Record("k"))
		assert.Equal(t, envelope.Header{}, h, "which of the two writes the sink has last is not known")
	})
}

// The key's time among the dirty ones is that of the version that the sink has, and not that
// of the acknowledgement: a flush that began in between waits for what was put before it.
func TestAckOfAnOlderVersionLeavesTheKeyDirtyAndDue(t *testing.T) {
	m := mini(t)
	c := redistest.Dial(t, m.Addr())
	s := &schedule{t: t, ctx: t.Context(), store: open(t, c), redis: c}
	s.put("k", "one")
	m.SetTime(epoch.Add(time.Second))
	s.put("k", "two")
	k := s.claimOne()
	m.SetTime(epoch.Add(2 * time.Second))
	s.put("k", "three")
	m.SetTime(epoch.Add(3 * time.Second))
	assert.Equal(t, store.AckNewer, s.ack(k, time.Minute))
	assert.Equal(t, epoch.Add(time.Second).UnixMilli(), int64(c.ZScore(t.Context(), part.Dirty, "k").Val()))
	next := s.claimOne()
	assert.Greater(t, next.Version, k.Version)
	assert.Equal(t, store.AckClean, s.ack(next, time.Minute))
}

// Redis came back as it was before what the sink has.
func TestAckOfANewerVersionRemovesTheRecord(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		s.put("k", "one")
		old := s.redis.Get(t.Context(), part.Record("k")).Val()
		s.put("k", "two")
		k := s.claimOne()
		require.NoError(t, s.redis.Set(t.Context(), part.Record("k"), old, 0).Err())
		assert.Equal(t, store.AckClean, s.ack(k, time.Minute))
		assert.Equal(t, [5]int64{}, s.counts())
		h, _ := s.record(part.Record("k"))
		assert.Equal(t, envelope.Header{}, h)
	})
}

func TestManyAcksAreScriptsOf64(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		for i := range 150 {
			require.NoError(t, s.tryPut(strconv.Itoa(i), "x", 1000).Err)
		}
		var acks []store.Ack
		for _, k := range s.claim(1000, time.Minute) {
			acks = append(acks, store.Ack{Claimed: k, TTL: time.Minute, Notice: store.Notice{Channel: "c", Message: k.Key}})
		}
		s.store.Ack(t.Context(), acks)
		for _, a := range acks {
			require.NoError(t, a.Err)
			require.Equal(t, store.AckClean, a.Answer, a.Key)
		}
		assert.Equal(t, [5]int64{}, s.counts())
	})
}

func TestRetryCountsTheTriesWithOneValue(t *testing.T) {
	m := mini(t)
	c := redistest.Dial(t, m.Addr())
	s := &schedule{t: t, ctx: t.Context(), store: open(t, c), redis: c}
	tries := func() string {
		claims := []store.Claim{{Partition: part, Count: 1}}
		s.store.Claim(t.Context(), claims, time.Hour)
		require.NoError(t, claims[0].Err)
		require.Len(t, claims[0].Tries, 1)
		k := store.Claimed{Partition: part, Key: "k", Claim: claims[0].Name}
		require.NotEmpty(t, s.retry(k, 0, false), "no try")
		return claims[0].Tries[0]
	}
	s.put("k", "one")
	assert.Empty(t, tries())
	one := s.claimOne()
	one.Claim = s.retry(one, time.Hour, true)
	assert.Equal(t, epoch.Add(time.Hour).UnixMilli(), s.due("k"))
	require.NotEmpty(t, s.retry(one, 0, true))
	assert.Equal(t, one.Version+"2", tries())
	s.put("k", "two")
	two := s.claimOne()
	require.NotEmpty(t, s.retry(two, 0, true))
	assert.Equal(t, two.Version+"1", tries(), "another value has all of its tries")
}

func TestGaugesTellWhatWaits(t *testing.T) {
	m := mini(t)
	c := redistest.Dial(t, m.Addr())
	s := &schedule{t: t, ctx: t.Context(), store: open(t, c), redis: c}
	parts := []*store.Partition{part}
	all, err := s.store.Gauges(t.Context(), parts)
	require.NoError(t, err)
	assert.Equal(t, store.Gauge{Now: time.UnixMilli(epoch.UnixMilli())}, all[0])
	s.kill("dead", "x")
	s.put("a", "x")
	m.SetTime(epoch.Add(3 * time.Second))
	s.put("b", "x")
	require.NotEmpty(t, s.retry(s.claim(2, time.Hour)[0], 0, true))
	all, err = s.store.Gauges(t.Context(), parts)
	require.NoError(t, err)
	assert.Equal(t, store.Gauge{
		Now: time.UnixMilli(epoch.UnixMilli()).Add(3 * time.Second), Dirty: 2, DeadLetters: 1, Retrying: 1, Since: time.UnixMilli(epoch.UnixMilli()),
	}, all[0])
	waiting, err := s.store.Scheduled(t.Context(), parts)
	require.NoError(t, err)
	assert.Equal(t, []int{2}, waiting)
	sizes, err := s.store.Sizes(t.Context(), []string{part.Record("a"), part.Record("none"), part.Dirty})
	require.NoError(t, err)
	assert.Equal(t, []int{envelope.HeaderSize + 1, 0, 0}, sizes)
}

func TestGaugesTellWhatIsTriedAgain(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		retrying := func() int {
			all, err := s.store.Gauges(t.Context(), []*store.Partition{part})
			require.NoError(t, err)
			return all[0].Retrying
		}
		s.put("k", "x")
		one := s.claimOne()
		one.Claim = s.retry(one, 0, false)
		assert.Zero(t, retrying(), "that was no try")
		one.Claim = s.retry(one, 0, true)
		one.Claim = s.retry(one, 0, true)
		assert.Equal(t, 1, retrying())
		require.Equal(t, store.AckClean, s.ack(one, 0))
		assert.Zero(t, retrying())
	})
}

func TestAPartitionOfAnEarlierProgramIsNamed(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		parts := []*store.Partition{part}
		require.NoError(t, s.store.CheckPartitions(t.Context(), parts))
		s.put("k", "x")
		require.NoError(t, s.store.CheckPartitions(t.Context(), parts))
		require.NoError(t, s.redis.Del(t.Context(), part.Schedule).Err())
		require.NoError(t, s.redis.XAdd(t.Context(), &redis.XAddArgs{Stream: part.Schedule, Values: []string{"k", "k"}}).Err())
		err := s.store.CheckPartitions(t.Context(), parts)
		assert.ErrorContains(t, err, part.Schedule+" is a stream")
	})
}

// A server without memory refuses puts as a whole, and still lets the workers
// get rid of what is dirty: also workers that come later.
func TestWBOOM(t *testing.T) {
	c := redistest.Single(t, redistest.MaxMemory(4<<20, "noeviction")).Client(t)
	s := &schedule{t: t, ctx: t.Context(), store: open(t, c), redis: c}
	_, err := s.store.ClaimMeta(t.Context(), "meta", "behind")
	require.NoError(t, err)
	body := strings.Repeat("x", 20_000)
	puts := 0
	for ; puts < 1000; puts++ {
		if p := s.tryPut(strconv.Itoa(puts), body, 1000); p.Err != nil {
			assert.True(t, redis.HasErrorPrefix(p.Err, "OOM"), "%v", p.Err)
			break
		}
	}
	require.Less(t, puts, 1000, "the limit was never reached: the test is blind")
	require.Greater(t, puts, 10)
	n := int64(puts)
	assert.Equal(t, [5]int64{n, n, 0, 0, 0}, s.counts(), "no partial writes")
	before, _ := s.record(part.Record("0"))
	require.Error(t, s.tryPut("0", body, 1000).Err)
	after, _ := s.record(part.Record("0"))
	assert.Equal(t, before.Version, after.Version, "a refused put over a dirty key changes nothing either")

	meta, err := s.store.ClaimMeta(t.Context(), "meta", "another")
	require.NoError(t, err)
	assert.Equal(t, "behind", meta, "New of a process that comes later")
	all := s.claim(1000, time.Hour)
	require.Len(t, all, puts)
	all[0].Claim = s.retry(all[0], time.Minute, true)
	require.NotEmpty(t, all[0].Claim)
	for _, k := range all[1:] {
		require.Equal(t, store.AckClean, s.ack(k, 0))
	}
	require.Equal(t, store.DeadLetter, s.dead(all[0], "no"))
	assert.Equal(t, [5]int64{0, 0, 0, 1, 1}, s.counts())
}
